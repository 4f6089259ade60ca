package journal

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A staging directory of a mount:
//
//	owner.json     whose it is; locked by its owner
//	ID.log         the steps of an upload
//	ID.data        its bytes; sparse
//	ID.moves       the steps of a rename of many objects
//	ID.spare       an empty file that waits to be used again
//	control        the socket at which a living mount answers (package main's)
const (
	ownerFile   = "owner.json"
	controlFile = "control"
	logSuffix   = ".log"
	dataSuffix  = ".data"
	movesSuffix = ".moves"
	spareSuffix = ".spare"
)

// createTries bounds how often another process may take a directory away between its making and its locking.
const createTries = 20

// Owner says whose a staging directory is.
type Owner struct {
	Endpoint   string // the store's identity, as in a version
	Bucket     string // empty for a mount of all buckets
	Prefix     string
	Mountpoint string
	PID        int
	Started    time.Time
	Cache      string `json:",omitempty"` // the mount's cache directory, where what is kept of names goes out of date by what is stored for it; empty for none
}

// SameSource tells whether o and other are mounts of the same thing.
func (o Owner) SameSource(other Owner) bool {
	return o.Endpoint == other.Endpoint && o.Bucket == other.Bucket && o.Prefix == other.Prefix
}

// Dir is the staging directory of one mount. It is safe for concurrent use.
type Dir struct {
	path  string
	owner Owner
	lock  *os.File // nil when it is only looked at

	// Fdatasync has the bytes of an upload's file be on the disk when it returns; nil for fdatasync(2). A test says here
	// what a loss of power leaves.
	Fdatasync func(*os.File) error

	spares spares
}

// Create makes a staging directory below root for a mount, and locks it until Close. root is made if it is missing.
func Create(root string, owner Owner) (*Dir, error) {
	if err := makeRoot(root); err != nil {
		return nil, err
	}
	for range createTries {
		d := &Dir{path: filepath.Join(root, newID()), owner: owner}
		err := d.make()
		if errors.Is(err, ErrInUse) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrExist) {
			continue // somebody who looks for leftovers was quicker
		}
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	return nil, fmt.Errorf("journal: %s: %w", root, ErrInUse)
}

// make makes and takes the directory, and writes down whose it is.
func (d *Dir) make() error {
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	lock, err := os.OpenFile(d.file(ownerFile), os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	d.lock = lock
	if err := d.take(); err != nil {
		return errors.Join(err, lock.Close())
	}
	text, err := json.Marshal(escapedOwner(d.owner))
	if err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), lock.Close())
	}
	_, err = lock.Write(append(text, '\n'))
	err = errors.Join(err, lock.Sync(), syncDirectory(d.path), syncDirectory(filepath.Dir(d.path)))
	if err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), lock.Close())
	}
	return nil
}

// take locks the directory, which must still be there.
func (d *Dir) take() error {
	err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("journal: %s: %w", d.path, ErrInUse)
	} else if err != nil {
		return fmt.Errorf("journal: locking %s: %w", d.path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(d.lock.Fd()), &st); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if st.Nlink == 0 {
		return fmt.Errorf("journal: %s: %w", d.path, os.ErrNotExist)
	}
	return nil
}

// Open looks at the staging directory at path, without taking it: its uploads can be listed, and nothing else.
func Open(path string) (*Dir, error) {
	if err := ownedBySelf(path, 0o077); err != nil {
		return nil, err
	}
	d := &Dir{path: path}
	text, err := os.ReadFile(d.file(ownerFile))
	if err == nil && len(text) == 0 { // it is being made
		err = os.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %s: %w", path, err)
	}
	var owner Owner
	if err := json.Unmarshal(text, &owner); err != nil {
		return nil, fmt.Errorf("journal: %s does not say whose it is: %w", path, err)
	}
	if d.owner, err = unescapedOwner(owner); err != nil {
		return nil, fmt.Errorf("journal: %s does not say whose it is: %w", path, err)
	}
	return d, nil
}

// List looks at all staging directories below root, those of living mounts too, without taking any. The error names
// those that cannot be read; the others are in the list all the same. A root that is not there has none.
func List(root string) ([]*Dir, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var dirs []*Dir
	var failures []error
	for _, e := range entries {
		if !e.IsDir() || !isID(e.Name()) {
			continue // of somebody else's, as lost+found
		}
		d, err := Open(filepath.Join(root, e.Name()))
		switch {
		case err == nil:
			dirs = append(dirs, d)
		case !errors.Is(err, os.ErrNotExist): // else it is being made, or removed
			failures = append(failures, err)
		}
	}
	return dirs, errors.Join(failures...)
}

// Lock takes a directory that was only looked at; ErrInUse while its mount lives, or another process works on it.
func (d *Dir) Lock() error {
	lock, err := os.OpenFile(d.file(ownerFile), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	d.lock = lock
	if err := d.take(); err != nil {
		d.lock = nil
		return errors.Join(err, lock.Close())
	}
	return nil
}

// Path is where the directory is.
func (d *Dir) Path() string { return d.path }

// Control is where the socket of the mount is.
func (d *Dir) Control() string { return d.file(controlFile) }

// Owner is whose it is.
func (d *Dir) Owner() Owner { return d.owner }

// Close gives the directory up, and removes it when nothing is left in it. A directory that was only looked at is left
// alone.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	lock := d.lock
	d.lock = nil
	var err error
	if d.empty() {
		_ = os.Remove(d.file(controlFile))
		err = errors.Join(d.clearSpares(), os.Remove(d.file(ownerFile)))
		_ = os.Remove(d.path) // who looks for leftovers may have been quicker
	}
	return errors.Join(err, lock.Close())
}

// empty tells whether nothing is kept in the directory.
func (d *Dir) empty() bool {
	entries, err := os.ReadDir(d.path)
	return err == nil && !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return e.Name() != ownerFile && e.Name() != controlFile && !strings.HasSuffix(e.Name(), spareSuffix)
	})
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// names are the ids of the files with a suffix, in the order of the names.
func (d *Dir) names(suffix string) ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && isID(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// idBytes is how long an id is: 48 bits at random are the same twice in 20 million with a chance of one half, and are
// short enough to be typed. Files are created exclusively, so that the same twice is an error and no more.
const idBytes = 6

func newID() string {
	var b [idBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func isID(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 2*idBytes
}

// syncDirectory has the names in a directory on the disk when it returns.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
