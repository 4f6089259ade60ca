package upload

import (
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// namedFailures is how many of the objects that could not be moved an error names.
const namedFailures = 5

// newETags are those that moves have changed, by the old keys: of all others nobody need be told, and there may be
// millions.
type newETags struct {
	mu      sync.Mutex // guards changed
	changed map[string]NewETag
}

func (n *newETags) add(one journal.Move, e objstore.Entry) {
	if e.ETag == "" || e.ETag == one.ETag {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed == nil {
		n.changed = make(map[string]NewETag)
	}
	n.changed[one.From] = NewETag{Old: one.ETag, New: e.ETag}
}

// failures are what could not be moved.
type failures struct {
	mu    sync.Mutex // guards what follows
	count int
	first []error
}

func (f *failures) add(key string, err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; len(f.first) < namedFailures {
		f.first = append(f.first, fmt.Errorf("%s: %w", key, err))
	}
}

func (f *failures) tooMany() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count >= maxFailures
}

// err says what could not be moved, and where the rest is written down. Called when nothing is added any more.
func (f *failures) err(log *journal.Moves) error {
	head := log.Head()
	return fmt.Errorf("rename of %s to %s (%s): %d objects were not moved: %w", head.From, head.To, log.ID(), f.count, errors.Join(f.first...))
}
