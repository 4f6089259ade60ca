package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// stoppable reads a file, such as standard input, as far as it comes before a context ends: then it is at its end, also
// while it waits for more, which nothing else would interrupt.
type stoppable struct {
	file  *os.File
	woken *os.File // can be read from when the context has ended
}

// untilEnd has from be read until ctx ends. What is no file is never waited for, and is given back. release is called
// when nobody reads any more.
func untilEnd(ctx context.Context, from io.Reader) (_ io.Reader, release func(), err error) {
	file, ok := from.(*os.File)
	if !ok {
		return from, func() {}, nil
	}
	woken, wake, err := os.Pipe()
	if err != nil {
		return nil, nil, fail(exitFailure, err, "%v", err)
	}
	forget := context.AfterFunc(ctx, func() { _ = wake.Close() }) // as nothing was written to it
	return &stoppable{file: file, woken: woken}, func() {
		if forget() {
			_ = wake.Close()
		}
		_ = woken.Close()
	}, nil
}

func (s *stoppable) Read(p []byte) (int, error) {
	ready := []unix.PollFd{{Fd: int32(s.file.Fd()), Events: unix.POLLIN}, {Fd: int32(s.woken.Fd())}}
	for {
		_, err := unix.Poll(ready, -1)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, os.NewSyscallError("poll", err)
		case ready[1].Revents != 0:
			return 0, io.EOF
		}
		return s.file.Read(p)
	}
}
