package journal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Upload is the two files of one upload. Its methods may be called at the same time, but for Share, Remove and Close,
// which are the last; a Note that comes later is os.ErrClosed.
type Upload struct {
	dir   *Dir
	id    string
	log   *logFile
	data  *os.File
	named atomic.Bool // its names are on the disk

	shared bool // others may have data, and read on when it has no name any more
}

// Boot names this run of the machine; empty where the kernel does not tell. See proc_sys_kernel(5), boot_id.
var Boot = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
})

// Begin makes the files of an upload.
func (d *Dir) Begin(b Begin) (*Upload, error) {
	id := newID()
	b.Boot = Boot()
	log, err := d.createLog(id+logSuffix, b)
	if err != nil {
		return nil, err
	}
	data, err := d.create(id + dataSuffix)
	if err != nil {
		return nil, errors.Join(err, log.file.Close(), os.Remove(d.file(id+logSuffix)))
	}
	return &Upload{dir: d, id: id, log: log, data: data}, nil
}

// Resume goes on with an upload that a dead mount left, and says what its log comes to. One that is damaged is not
// opened.
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

// Look is what the log of an upload comes to, and its data, to be read and closed by the caller; nil when there is
// none. Nothing is changed, so that this can be done beside the mount whose directory it is; the data is that of this
// upload as long as the directory has it. os.ErrNotExist for an id that is not there.
func (d *Dir) Look(id string) (Record, *os.File, error) {
	content, err := d.readLog(id)
	if err != nil {
		return Record{}, nil, fmt.Errorf("journal: %w", err)
	}
	data, err := os.OpenFile(d.file(id+dataSuffix), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Record{}, nil, fmt.Errorf("journal: %w", err)
	}
	return Replay(id, content), data, nil
}

// Has tells whether there is a log of that id.
func (d *Dir) Has(id string) bool { return d.exists(id+logSuffix) || d.exists(id+movesSuffix) }

// DataSize is how long the data of an upload is, in bytes; 0 where there is none yet.
func (d *Dir) DataSize(id string) (int64, error) {
	info, err := os.Lstat(d.file(id + dataSuffix))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	return info.Size(), nil
}

// Uploads is what the logs of the directory come to, those that are damaged too.
func (d *Dir) Uploads() ([]Record, error) {
	ids, err := d.names(logSuffix)
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, id := range ids {
		content, err := d.readLog(id)
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

// readLog reads a log. A living mount may use its file for another while it is read.
func (d *Dir) readLog(id string) ([]byte, error) {
	content, err := os.ReadFile(d.file(id + logSuffix))
	if err == nil && !d.exists(id+logSuffix) {
		err = os.ErrNotExist
	}
	return survived(content), err
}

// ID names the upload, to people as well.
func (u *Upload) ID() string { return u.id }

// Data is the file with the bytes: those of the file at their own offsets.
func (u *Upload) Data() *os.File { return u.data }

// Note appends a step. When it returns, the step survives the process.
func (u *Upload) Note(s Step) error { return u.log.append(s) }

// Sync has the data be on the disk, with a log that says so, and their names. The data must not change meanwhile.
func (u *Upload) Sync() error {
	if err := u.SyncData(); err != nil { // first: a log may reach the disk at any time
		return err
	}
	if err := u.Note(Synced{}); err != nil {
		return err
	}
	return u.SyncLog()
}

// SyncData has the data be on the disk. It must not change meanwhile.
func (u *Upload) SyncData() error {
	if err := u.dir.fdatasync(u.data); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// SyncLog has the log be on the disk, and the names of both files.
func (u *Upload) SyncLog() error {
	err := u.dir.fdatasync(u.log.file)
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

func (d *Dir) fdatasync(f *os.File) error {
	if d.Fdatasync != nil {
		return d.Fdatasync(f)
	}
	c, err := f.SyscallConn() // unlike its number, it is this file's as long as it is used
	if err == nil {
		var failure error
		err = c.Control(func(fd uintptr) { failure = unix.Fdatasync(int(fd)) })
		err = errors.Join(err, failure)
	}
	return err
}

// SyncNames has the names of all files be on the disk, and that those which were removed are gone.
func (d *Dir) SyncNames() error {
	if err := syncDirectory(d.path); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Share says that others may have got the data, under another name too, and read it whatever becomes of their name: it
// is not used again.
func (u *Upload) Share() { u.shared = true }

// Remove closes the files and takes them away from the upload. The log goes first: data without one is known to be
// garbage.
func (u *Upload) Remove() error {
	u.log.end()
	err := u.dir.discard(u.log.file, u.id+logSuffix)
	if u.shared {
		return errors.Join(err, os.Remove(u.dir.file(u.id+dataSuffix)), u.data.Close())
	}
	return errors.Join(err, u.dir.discard(u.data, u.id+dataSuffix))
}

// Drop removes an upload's files, whatever is in them.
func (d *Dir) Drop(id string) error {
	err := os.Remove(d.file(id + logSuffix))
	if data := os.Remove(d.file(id + dataSuffix)); !errors.Is(data, os.ErrNotExist) {
		err = errors.Join(err, data)
	}
	return err
}

// Close closes the files and leaves them for the next mount.
func (u *Upload) Close() error {
	return errors.Join(u.data.Close(), u.log.file.Close())
}
