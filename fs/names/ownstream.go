package names

import (
	"context"
	"errors"
	"io"
)

// ownStream is a reader of a directory that is shown what this mount holds in it, too: in place of what the store has
// of that name, or after all that the store has. What is held is looked up once, so that a file that is stored
// meanwhile is not given twice.
type ownStream struct {
	held  []Item          // in order; those not given yet
	names map[string]bool // all of them
	ended bool            // the store has nothing more
}

func newOwnStream(held []Item) *ownStream {
	s := &ownStream{held: held, names: make(map[string]bool, len(held))}
	for _, item := range held {
		s.names[item.Name] = true
	}
	return s
}

// take gives a held item, in place of what the store has of its name; false when it was given before.
func (s *ownStream) take(name string) (Item, bool) {
	for i, item := range s.held {
		if item.Name == name {
			s.held = append(s.held[:i:i], s.held[i+1:]...)
			return item, true
		}
	}
	return Item{}, false
}

// Next gives the next item, or io.EOF. Each name comes once; a name that comes or goes while the stream is open may be
// given or not. The order is that of keys as the store lists them, but a file comes after those whose names go on from
// its own with a byte below "/", and so just before the directory of its name; what this mount has made and not stored
// yet comes last. Two streams of a directory that does not change give the same order.
//
// ctx ends only the waiting. After an error the stream still stands where it stood, and the next call tries anew.
func (s *Stream) Next(ctx context.Context) (Item, error) {
	if s.own == nil {
		s.tree.mu.Lock()
		held := s.tree.own.in(s.dir)
		s.tree.mu.Unlock()
		s.own = newOwnStream(held)
	}
	for !s.own.ended {
		item, err := s.stored(ctx)
		if errors.Is(err, io.EOF) {
			s.own.ended = true
			break
		}
		if err != nil || !s.own.names[item.Name] {
			return item, err
		}
		if held, ok := s.own.take(item.Name); ok && !(held.Dir && item.Dir) {
			return held, nil
		} else if ok {
			return item, nil // the store knows more of a directory
		}
	}
	if len(s.own.held) == 0 {
		return Item{}, io.EOF
	}
	item := s.own.held[0]
	s.own.held = s.own.held[1:]
	return item, nil
}
