package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
)

// What waits for more of its input is at its end when it is told to end, and has got all that came before.
func TestStoppable(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	from, release, err := untilEnd(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	var lines []string
	done := make(chan error)
	go func() {
		done <- eachLine(from, func(line string) error {
			lines = append(lines, line)
			cancel()
			return nil
		})
	}()
	if _, err := io.WriteString(w, "one\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || len(lines) != 1 || lines[0] != "one" {
		t.Errorf("%q, %v", lines, err)
	}
	if _, err := io.WriteString(w, "two\n"); err != nil {
		t.Fatal(err)
	}
	if n, err := from.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}

// A file is read to its end, and what is no file as it is.
func TestStoppableToTheEnd(t *testing.T) {
	name := t.TempDir() + "/names"
	if err := os.WriteFile(name, []byte("one\ntwo"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, from := range []io.Reader{file, strings.NewReader("one\ntwo")} {
		r, release, err := untilEnd(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "one\ntwo" {
			t.Errorf("%q, %v", got, err)
		}
		release()
	}
}
