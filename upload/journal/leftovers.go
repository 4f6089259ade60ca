package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Leftovers takes the staging directories below root that no mount uses any more and that match, and tidies them: what
// no log knows of is removed. The error names those that cannot be read; the others are in the list all the same.
func Leftovers(root string, match func(Owner) bool) ([]*Dir, error) {
	failures := []error{clearUnowned(root)}
	all, err := List(root)
	failures = append(failures, err)
	var taken []*Dir
	for _, d := range all {
		if !match(d.owner) {
			if d.empty() && d.Lock() == nil { // a mount was killed that had nothing to keep, and may never come back
				failures = append(failures, d.Close())
			}
			continue
		}
		err := d.Lock()
		if errors.Is(err, ErrInUse) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = d.tidy()
		}
		if err != nil {
			failures = append(failures, err, d.Close())
			continue
		}
		taken = append(taken, d)
	}
	return taken, errors.Join(failures...)
}

// TakeOver makes the uploads and renames of another directory this one's. At each moment each is whole in one of the
// two; what could not be taken over stays where it is.
func (d *Dir) TakeOver(from *Dir) error {
	var failures []error
	ids, err := from.names(logSuffix)
	failures = append(failures, err)
	for _, id := range ids {
		failures = append(failures, d.takeUpload(from, id))
	}
	ids, err = from.names(movesSuffix)
	failures = append(failures, err)
	for _, id := range ids {
		failures = append(failures, d.takeFile(from, id+movesSuffix))
	}
	return errors.Join(append(failures, syncDirectory(d.path))...)
}

// takeUpload has the data in both places while the log moves: data without a log would be removed as garbage.
func (d *Dir) takeUpload(from *Dir, id string) error {
	err := os.Link(from.file(id+dataSuffix), d.file(id+dataSuffix))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	linked := err == nil
	if err := syncDirectory(d.path); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := d.takeFile(from, id+logSuffix); err != nil {
		if linked {
			err = errors.Join(err, os.Remove(d.file(id+dataSuffix)))
		}
		return err
	}
	if linked {
		return os.Remove(from.file(id + dataSuffix))
	}
	return nil
}

// takeFile moves a file, in place of none.
func (d *Dir) takeFile(from *Dir, name string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, from.file(name), unix.AT_FDCWD, d.file(name), unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("journal: moving %s: %w", from.file(name), err)
	}
	return nil
}

// clearUnowned removes the directories below root whose mounts died before they said whose they are: nothing else is in
// them.
func clearUnowned(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !isID(e.Name()) {
			continue
		}
		d := &Dir{path: filepath.Join(root, e.Name())}
		info, err := os.Lstat(d.file(ownerFile))
		switch {
		case errors.Is(err, os.ErrNotExist):
			_ = os.Remove(d.path) // only if it is empty; who is making it makes another
		case err == nil && info.Size() == 0 && d.Lock() == nil:
			_ = d.Close() // which removes it
		}
	}
	return nil
}

// tidy removes what a crash leaves between the making or removing of an upload's two files: data whose log is gone, and
// a log whose first line is not whole. Files that waited to be used again are no use to anybody else.
func (d *Dir) tidy() error {
	if err := d.clearSpares(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	logs, err := d.names(logSuffix)
	if err != nil {
		return err
	}
	for _, id := range logs {
		content, err := os.ReadFile(d.file(id + logSuffix))
		if err == nil && d.unbegun(id, content) {
			err = os.Remove(d.file(id + logSuffix))
		}
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	data, err := d.names(dataSuffix)
	if err != nil {
		return err
	}
	for _, id := range data {
		if d.exists(id + logSuffix) {
			continue
		}
		if err := os.Remove(d.file(id + dataSuffix)); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// unbegun tells whether a log is of an upload that was never begun: no line of it is whole, and there is no data.
func (d *Dir) unbegun(id string, log []byte) bool {
	return !bytes.Contains(log, []byte("\n")) && !d.exists(id+dataSuffix)
}

func (d *Dir) exists(name string) bool {
	_, err := os.Lstat(d.file(name))
	return !errors.Is(err, os.ErrNotExist)
}
