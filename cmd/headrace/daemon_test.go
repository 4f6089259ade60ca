package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestReadinessCarriesTheOutcome(t *testing.T) {
	for _, c := range []struct {
		outcome error
		code    int
	}{{nil, exitOK}, {fail(exitNoBucket, nil, "there is no bucket b"), exitNoBucket}} {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		child := exec.Command("true")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		ready := readiness{pipe: writer}
		ready.tell(c.outcome)
		ready.tell(os.ErrClosed) // without effect
		got := awaitReady(reader, child)
		if exitCode(got) != c.code || got != nil && got.Error() != c.outcome.Error() {
			t.Errorf("told %v, heard %v", c.outcome, got)
		}
		reader.Close()
		child.Wait()
	}
}

func TestChildThatDiesSilentlyIsNoticed(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	child := exec.Command("sh", "-c", "exit 3")
	child.ExtraFiles = []*os.File{writer}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	if err := awaitReady(reader, child); exitCode(err) != exitFailure || !strings.Contains(err.Error(), "--foreground") {
		t.Errorf("got %v", err)
	}
}
