package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// spooled are names that can be read more than once.
type spooled struct{ *os.File }

// spool reads what comes into a file without a name, since names may be more than memory should hold.
func spool(from io.Reader) (*spooled, error) {
	file, err := os.CreateTemp("", "headrace-names-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(file.Name())
	if err == nil {
		_, err = io.Copy(file, from)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &spooled{file}, nil
}

// rewind has names be read from their beginning again, where they can be.
func rewind(names io.Reader) error {
	if s, ok := names.(*spooled); ok {
		_, err := s.Seek(0, io.SeekStart)
		return err
	}
	return nil
}

// usesStdin tells whether names come from standard input.
func (o *warmOptions) usesStdin() bool { return o.list == "-" || slices.Contains(o.args, "-") }

// listIsOnce tells whether the list is a pipe, as a shell's <(...) is: who opens it a second time finds nothing, or
// takes what the first one should have.
func (o *warmOptions) listIsOnce() bool {
	if o.list == "" || o.list == "-" {
		return false
	}
	info, err := os.Stat(o.list)
	return err == nil && !info.Mode().IsRegular()
}

// namesOnce tells whether there are names that only one reader gets.
func (o *warmOptions) namesOnce() bool { return o.usesStdin() || o.listIsOnce() }

// keepNames has all names be readable more than once, one after the other.
func (o *warmOptions) keepNames(ctx context.Context) (release func(), err error) {
	var kept []*spooled
	release = func() {
		for _, names := range kept {
			_ = names.Close() // it has no name, and is gone
		}
	}
	keep := func(from io.Reader) io.Reader {
		if err != nil {
			return from
		}
		names, failed := spool(from)
		if err = failed; failed != nil {
			return from // and not a reader that is none
		}
		kept = append(kept, names)
		return names
	}
	if o.usesStdin() {
		o.stdin = keep(o.stdin)
	}
	if o.listIsOnce() {
		var list io.Reader
		var closeList func()
		if list, closeList, err = o.openList(ctx); err == nil {
			o.listed = keep(list)
			closeList()
		}
	}
	if err != nil {
		release()
	}
	return release, err
}

// openList opens the list, which may be a pipe that nobody has written to yet.
func (o *warmOptions) openList(ctx context.Context) (list io.Reader, closeList func(), err error) {
	file, err := os.OpenFile(o.list, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, usage("--list: %v", err)
	}
	list, release, err := untilEnd(ctx, file)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return list, func() {
		release()
		_ = file.Close() // read only
	}, nil
}

// eachArgument calls each for what was named on the command line and in lists.
func (o *warmOptions) eachArgument(ctx context.Context, each func(arg string) error) error {
	if err := errors.Join(rewind(o.stdin), rewind(o.listed)); err != nil {
		return fail(exitFailure, err, "cannot read the names again: %v", err)
	}
	if err := arguments(o.args, o.stdin, each); err != nil {
		return err
	}
	switch {
	case o.list == "":
		return nil
	case o.list == "-":
		return eachLine(o.stdin, each)
	case o.listed != nil:
		return eachLine(o.listed, each)
	}
	list, closeList, err := o.openList(ctx)
	if err != nil {
		return err
	}
	defer closeList()
	return eachLine(list, each)
}
