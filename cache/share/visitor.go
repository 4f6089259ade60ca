package share

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// ErrNoAnswer is that a process has the directory, and does not say anything.
var ErrNoAnswer = errors.New("the process that uses the cache directory does not answer")

// Visitor looks at a directory in use, and changes it, by asking its owner. Its methods are those of disk.Tier.
type Visitor struct {
	directory *os.File
	owner     *client
}

// Visit finds the owner of a directory. ErrNoAnswer when there is none, or none that can be asked.
func Visit(dir string) (*Visitor, error) {
	directory, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	owner, err := dial(directory, hello{Protocol: protocol})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("share: %w: %w", ErrNoAnswer, err), directory.Close())
	}
	return &Visitor{directory: directory, owner: owner}, nil
}

// Close ends the visit.
func (v *Visitor) Close() error {
	v.owner.lose()
	return v.directory.Close()
}

func (v *Visitor) ask(q request) (answer, error) {
	a, file, err := v.owner.ask(actDeadline, q, nil)
	closeFile(file)
	return a, err
}

// Users are the members, the owner first.
func (v *Visitor) Users() ([]User, error) {
	a, err := v.ask(request{Op: opUsers})
	return a.Users, err
}

// Stats is the owner's snapshot.
func (v *Visitor) Stats() (disk.Stats, error) {
	a, err := v.ask(request{Op: opStats})
	return a.Stats, err
}

// Entries are the versions of which something is on disk.
func (v *Visitor) Entries() iter.Seq2[disk.Entry, error] {
	return func(yield func(disk.Entry, error) bool) {
		for q := (request{Op: opEntries}); ; {
			a, err := v.ask(q)
			if err != nil {
				yield(disk.Entry{}, err)
				return
			}
			for _, e := range a.Entries {
				if !yield(e, nil) {
					return
				}
			}
			if len(a.Entries) < entriesAtOnce {
				return
			}
			q.After = a.After
		}
	}
}

// Verify compares all that there is of a version with its checksums, chunk by chunk.
func (v *Visitor) Verify(ctx context.Context, version objstore.Version) (bad int, err error) {
	for chunk := int64(0); chunk*disk.ChunkSize < version.Size; chunk++ {
		if ctx.Err() != nil {
			return bad, ctx.Err()
		}
		a, err := v.ask(request{Op: opVerify, Version: version, Chunk: chunk})
		if err != nil {
			return bad, err
		}
		bad += int(a.Bytes)
	}
	return bad, nil
}

// Pin keeps a version from being evicted, or ends that.
func (v *Visitor) Pin(version objstore.Version, pinned bool) error {
	_, err := v.ask(request{Op: opPin, Version: version, Pinned: pinned})
	return err
}

// Evict gives up what there is of a version, but for what is in use.
func (v *Visitor) Evict(version objstore.Version) (bytes int64, err error) {
	a, err := v.ask(request{Op: opEvict, Version: version})
	return a.Bytes, err
}
