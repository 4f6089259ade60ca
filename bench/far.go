package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// ShapeCommand is the name under which the headrace binary must run [Shape] for a benchmark.
const ShapeCommand = "bench-shaper"

// Shape is a proxy that makes the plain HTTP store at server, HOST:PORT, look farther away, as [Options] say. It writes
// its own URL to out, as a line, and serves until ctx ends.
func Shape(ctx context.Context, server string, firstByte time.Duration, rate int64, out io.Writer) error {
	p, err := startShaper(server, shape{firstByte, rate})
	if err != nil {
		return err
	}
	defer p.stop()
	if _, err := fmt.Fprintln(out, p.endpoint()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// farStore is the shaper in a process of its own: what it takes of the processor is not the reader's, and it goes on
// while this process is in a page fault that only it can end.
type farStore struct {
	*process
	endpoint string
}

// startFarStore puts a shaper before server. The caller ends it.
func startFarStore(binary, server string, s shape) (*farStore, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer r.Close()
	p, err := startProcess(binary, os.Environ(), w, ShapeCommand, server, s.firstByte.String(), fmt.Sprint(s.rate))
	w.Close()
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(r).ReadString('\n') // ends with the process at the latest
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %s: %w", p.what, err), p.end())
	}
	return &farStore{p, strings.TrimSpace(line)}, nil
}
