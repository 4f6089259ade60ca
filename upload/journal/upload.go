package journal

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Upload is the two files of one upload. Its methods may be called at the same time, but for Remove and Close, which are the last.
type Upload struct {
	dir   *Dir
	id    string
	log   *logFile
	data  *os.File
	named atomic.Bool // its names are on the disk
}

// Begin makes the files of an upload.
func (d *Dir) Begin(b Begin) (*Upload, error) {
	id := newID()
	log, err := createLog(d.file(id+logSuffix), b)
	if err != nil {
		return nil, err
	}
	data, err := os.OpenFile(d.file(id+dataSuffix), os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), log.file.Close(), os.Remove(d.file(id+logSuffix)))
	}
	return &Upload{dir: d, id: id, log: log, data: data}, nil
}

// Resume goes on with an upload that a dead mount left, and says what its log comes to. One that is damaged is not opened.
func (d *Dir) Resume(id string) (*Upload, Record, error) {
	log, content, err := reopenLog(d.file(id + logSuffix))
	if err != nil {
		return nil, Record{}, err
	}
	r := Replay(id, content)
	if r.Damage != nil {
		return nil, r, errors.Join(fmt.Errorf("journal: %s: %w", id, r.Damage), log.file.Close())
	}
	data, err := os.OpenFile(d.file(id+dataSuffix), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) && len(r.Local) == 0 { // it had come no further, or has no content of its own
		data, err = os.OpenFile(d.file(id+dataSuffix), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	}
	if err != nil {
		return nil, r, errors.Join(fmt.Errorf("journal: %w", err), log.file.Close())
	}
	return &Upload{dir: d, id: id, log: log, data: data}, r, nil
}

// Uploads is what the logs of the directory come to, those that are damaged too.
func (d *Dir) Uploads() ([]Record, error) {
	ids, err := d.names(logSuffix)
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, id := range ids {
		content, err := os.ReadFile(d.file(id + logSuffix))
		if errors.Is(err, os.ErrNotExist) {
			continue // of a living mount, which has just stored it
		} else if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		if !d.unbegun(id, content) {
			records = append(records, Replay(id, content))
		}
	}
	return records, nil
}

// ID names the upload, to people as well.
func (u *Upload) ID() string { return u.id }

// Data is the file with the bytes: those of the file at their own offsets.
func (u *Upload) Data() *os.File { return u.data }

// Note appends a step. When it returns, the step survives the process.
func (u *Upload) Note(s Step) error { return u.log.append(s) }

// Sync has the data, the log and their names on the disk when it returns.
func (u *Upload) Sync() error {
	err := errors.Join(unix.Fdatasync(int(u.data.Fd())), unix.Fdatasync(int(u.log.file.Fd())))
	if err == nil && !u.named.Load() {
		if err = syncDirectory(u.dir.path); err == nil {
			u.named.Store(true)
		}
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Remove closes and removes the files. The log goes first: data without one is known to be garbage.
func (u *Upload) Remove() error {
	return errors.Join(os.Remove(u.dir.file(u.id+logSuffix)), os.Remove(u.dir.file(u.id+dataSuffix)), u.Close())
}

// Close closes the files and leaves them for the next mount.
func (u *Upload) Close() error {
	return errors.Join(u.data.Close(), u.log.file.Close())
}
