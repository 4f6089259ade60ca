package cache

import (
	"context"
	"os"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// maxStored is the size, in bytes, of the largest files that memory takes over when they were stored: what programs
	// write and read again at once is small, and a checkpoint would push everything else out.
	maxStored = 1 << 20
	// renamePatience is how long a rename waits for what memory holds.
	renamePatience = 5 * time.Second
)

// Adoption is the taking over of a file that holds all of a version, which was just stored, so that reading it asks
// nothing of the store. It is ended by Take or by Leave.
type Adoption struct {
	cache   *Cache
	version objstore.Version
	file    *os.File
	stored  *storedContent // for who reads it before it is taken over; nil where it is not small, or many others are
}

// Adopt announces that a file will be taken over: from now on who reads v, if it is small, waits for that rather than
// ask the store. Nobody may write to the file any more. It never waits.
func (c *Cache) Adopt(v objstore.Version, file *os.File) *Adoption {
	a := &Adoption{cache: c, version: v, file: file}
	if v.Size <= maxStored {
		a.stored = c.stored.tryBegin(v)
	}
	return a
}

// Take takes the file over: into the disk cache where there is one that keeps anything and is on the file's disk,
// without a copy; else, if it is small, into memory that is free. The file is not used when Take has returned, unless
// it is shared: then the disk cache may have it, also one that was given up already, and another process whose answer
// was not waited for may be about to.
func (a *Adoption) Take() (shared bool) {
	c := a.cache
	defer a.Leave()
	here := a.stored != nil && a.stored.fill(a.content)
	if shared = c.disk != nil && c.keeper.policy != KeepNone; shared {
		c.disk.Adopt(a.version, a.file, c.reader)
	}
	switch {
	case c.Local(a.version):
	case here:
		_, _, _ = c.FetchSpare(c.life, a.version) // no room is no failure
	case a.stored == nil:
		c.remember(a.version, a.content)
	}
	return shared
}

// Leave gives it up, or does nothing once the file is taken over.
func (a *Adoption) Leave() {
	if a.stored != nil {
		a.cache.stored.end(a.stored)
		a.stored = nil
	}
}

func (a *Adoption) content(content []byte) error {
	_, err := a.file.ReadAt(content, 0)
	return err
}

// Renamed says that the store has given the bytes of one version, from, another key or ETag: those of to. What is kept
// of them is to's from now on: on disk without a copy, and in memory, if they are few and all there. Nobody need be
// told who reads from: its bytes are asked of the store again.
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
	stored := c.stored.begin(c.life, v)
	if stored == nil {
		return // the cache is closed, or somebody else is at it
	}
	defer c.stored.end(stored)
	if stored.fill(read) {
		_, _, _ = c.FetchSpare(c.life, v) // no room is no failure
	}
}
