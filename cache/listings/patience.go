package listings

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// defaultPatience is how long who asks for names waits for the disk, where the store would answer in a tenth of it.
	defaultPatience = 2 * time.Second
	// changePatience is how many times as long a change waits: it has a directory synced, behind whatever else the disk
	// has to write.
	changePatience = 5
)

// errHung is that the disk does not answer at all.
var errHung = errors.New("the disk does not answer")

// within has something be done with the disk, and waits for it no longer than patience: a disk that hangs lets nobody
// break off. Then it goes on, drop gets what comes of it in the end, and nothing else is tried on the disk before. do
// must leave alone what its caller goes on to use.
func within[T any](s *Store, patience time.Duration, do func() (T, error), drop func(T)) (result T, err error) {
	if s.hanging.Load() > 0 {
		return result, errHung
	}
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := do()
		done <- outcome{r, err}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-timer.C:
	}
	s.hanging.Add(1)
	go func() { // ends with what hangs
		if o := <-done; o.err == nil {
			drop(o.result)
		}
		s.hanging.Add(-1)
	}()
	return result, errHung
}

// doWithin is within for what has no result. Changes and ends wait for it.
func (s *Store) doWithin(do func() error) error {
	_, err := within(s, changePatience*s.cfg.Patience, func() (struct{}, error) { return struct{}{}, do() }, func(struct{}) {})
	return err
}

// checkWritable is an error where the file system of a file is read-only: changes of whoever uses it cannot be noted
// there, so what is on it may be out of date.
func checkWritable(file *os.File) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &fs); err != nil {
		return err
	}
	if fs.Flags&unix.ST_RDONLY != 0 {
		return unix.EROFS
	}
	return nil
}
