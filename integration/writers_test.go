package integration

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// What this mount changes, this mount sees at once: on every other descriptor, in stat, and in a listing, stored or
// not.
func TestReadYourOwnWrites(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("dir/old", "old content")
	m := mountBucket(t, b)
	m.names("dir")
	writer, reader := m.openFile(os.O_RDWR, "dir", "old"), m.open("dir", "old")
	if _, err := writer.WriteAt([]byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	if err := writer.Truncate(20); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 30)
	n, _ := reader.ReadAt(buf, 0)
	if want := "new content" + strings.Repeat("\x00", 9); string(buf[:n]) != want {
		t.Errorf("another descriptor reads %q", buf[:n])
	}
	if info, err := os.Stat(m.path("dir", "old")); err != nil || info.Size() != 20 {
		t.Errorf("stat: %v %v", info, err)
	}
	fresh := m.openFile(os.O_CREATE|os.O_EXCL|os.O_RDWR, "dir", "fresh")
	if _, err := fresh.WriteString("fresh"); err != nil {
		t.Fatal(err)
	}
	if got := m.names("dir"); len(got) != 2 {
		t.Errorf("the directory has %q", got)
	}
	if got := m.read("dir", "fresh"); got != "fresh" {
		t.Errorf("by its name it reads %q", got)
	}
	b.want("dir/old", "old content")
	b.wantNothing("dir/fresh")
}

// Several processes and threads may write one file of one mount: each byte is the last one that was written there.
func TestSeveralWriters(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	const writers, piece = 8, 100_000
	m.write("", "file")
	var g errgroup.Group
	for w := range writers {
		g.Go(func() error {
			f, err := os.OpenFile(m.path("file"), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			content := bytes.Repeat([]byte{byte('a' + w)}, piece)
			for off := 0; off < piece; off += 7_000 {
				if _, err := f.WriteAt(content[off:min(off+7_000, piece)], int64(w*piece+off)); err != nil {
					return err
				}
			}
			return f.Close()
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for w := range writers {
		want.WriteString(strings.Repeat(string(rune('a'+w)), piece))
	}
	b.want("file", want.String())
}

// Any number of writers may append to one file of one mount (O_APPEND), and nothing is lost.
func TestAppenders(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	b.putText("log", "begin\n")
	var g errgroup.Group
	const writers, lines = 4, 50
	for w := range writers {
		f := m.openFile(os.O_WRONLY|os.O_APPEND, "log")
		g.Go(func() error {
			for i := range lines {
				if _, err := fmt.Fprintf(f, "writer %d line %02d\n", w, i); err != nil {
					return err
				}
			}
			return f.Close()
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(b.stored("log"))), "\n")
	seen := make(map[string]bool)
	for _, line := range got {
		seen[line] = true
	}
	if len(got) != 1+writers*lines || len(seen) != len(got) {
		t.Errorf("%d lines, %d different, should be %d", len(got), len(seen), 1+writers*lines)
	}
}
