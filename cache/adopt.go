package cache

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// maxStored is the size, in bytes, of the largest files that memory takes over when they were stored: what programs write and read again at once is small, and
	// a checkpoint would push everything else out.
	maxStored = 1 << 20
	// storing is how many are taken over at the same time. Each is in memory twice meanwhile.
	storing = 8
	// renamePatience is how long a rename waits for what memory holds.
	renamePatience = 5 * time.Second
)

// Adopt takes over a file that holds all of v, which was just stored, so that reading it asks nothing of the store: into the disk cache where there is one that
// keeps anything and is on the file's disk, without a copy; else, if it is small, into memory that is free. Nobody may write to the file any more. It is not
// used when Adopt has returned, unless it is shared: then the disk cache may have it, also one that was given up already, and another process whose answer was not waited for
// may be about to.
func (c *Cache) Adopt(v objstore.Version, file *os.File) (shared bool) {
	if shared = c.disk != nil && c.keeper.policy != KeepNone; shared {
		c.disk.Adopt(v, file, c.reader)
	}
	if !c.Local(v) {
		c.remember(v, func(content []byte) error {
			_, err := file.ReadAt(content, 0)
			return err
		})
	}
	return shared
}

// Renamed says that the store has given the bytes of one version, from, another key or ETag: those of to. What is kept of them is to's from now on: on disk without a copy, and in memory, if
// they are few and all there. Nobody need be told who reads from: its bytes are asked of the store again.
func (c *Cache) Renamed(from, to objstore.Version) {
	if from == to || from.Size != to.Size || from.Size == 0 {
		return
	}
	if c.disk != nil {
		c.disk.Renamed(from, to, c.reader)
	}
	if !c.Local(to) && c.Cached(from) == from.Size {
		c.remember(to, func(content []byte) error {
			ctx, cancel := context.WithTimeout(c.life, renamePatience) // of what is evicted just now, the store has nothing any more
			defer cancel()
			data, release, _, err := c.Read(ctx, from, objstore.Range{Len: from.Size})
			if err != nil {
				return err
			}
			defer release()
			for _, d := range data {
				content = content[copy(content, d):]
			}
			return nil
		})
	}
}

// remember has memory hold v, of which read gives all.
func (c *Cache) remember(v objstore.Version, read func(content []byte) error) {
	if v.Size > maxStored {
		return
	}
	select {
	case c.stored.turns <- struct{}{}:
		defer func() { <-c.stored.turns }()
	case <-c.life.Done():
		return
	}
	content := make([]byte, v.Size)
	if err := read(content); err != nil {
		return // who reads it asks the store
	}
	c.stored.put(v, content)
	defer c.stored.drop(v)
	_, _, _ = c.FetchSpare(c.life, v) // no room is no failure
}

// storedContents are those of files that are being taken over, for the fills that bring them. It is safe for concurrent use.
type storedContents struct {
	turns chan struct{}

	mu sync.Mutex // guards of; taken under no other, and no other under it
	of map[objstore.Version][]byte
}

func newStoredContents() storedContents {
	return storedContents{turns: make(chan struct{}, storing), of: make(map[objstore.Version][]byte)}
}

func (s *storedContents) put(v objstore.Version, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[v] = content
}

func (s *storedContents) drop(v objstore.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, v)
}

func (s *storedContents) content(v objstore.Version) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := s.of[v]
	return content, ok
}
