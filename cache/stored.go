package cache

import (
	"context"
	"sync"

	"github.com/headrace/headrace/objstore"
)

// storing is how many small files are taken over at the same time. Each is in memory twice meanwhile.
const storing = 8

// storedContents are those of files that are being taken over, for the fills that bring them. It is safe for concurrent
// use.
type storedContents struct {
	turns chan struct{} // has one for each in of

	mu sync.Mutex // guards of
	// LOCK ORDER: Cache.mu, mu; no other under it.
	of map[objstore.Version]*storedContent
}

// storedContent is that of one version.
type storedContent struct {
	version objstore.Version
	once    sync.Once
	ready   chan struct{} // closed when it is known whether it is there
	bytes   []byte        // set before ready is closed; nil when it could not be read
}

func newStoredContents() storedContents {
	return storedContents{turns: make(chan struct{}, storing), of: make(map[objstore.Version]*storedContent)}
}

// tryBegin announces the content of a version, for whoever begins it to fill and to end. nil when too many are under
// way, or this one is already.
func (s *storedContents) tryBegin(v objstore.Version) *storedContent {
	select {
	case s.turns <- struct{}{}:
		return s.announce(v)
	default:
		return nil
	}
}

// begin is tryBegin, but waits for its turn as long as ctx lasts.
func (s *storedContents) begin(ctx context.Context, v objstore.Version) *storedContent {
	select {
	case s.turns <- struct{}{}:
		return s.announce(v)
	case <-ctx.Done():
		return nil
	}
}

// announce gives the turn back if somebody else has the version.
func (s *storedContents) announce(v objstore.Version) *storedContent {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[v] != nil {
		<-s.turns
		return nil
	}
	c := &storedContent{version: v, ready: make(chan struct{})}
	s.of[v] = c
	return c
}

// end forgets what one of begin and tryBegin has announced. Who waits for it, because it was not filled, goes on
// without.
func (s *storedContents) end(c *storedContent) {
	c.settle(nil)
	s.mu.Lock()
	delete(s.of, c.version)
	s.mu.Unlock()
	<-s.turns
}

// announced is what was announced of a version; nil for nothing. Whoever has it may use it also when it was ended
// since.
func (s *storedContents) announced(v objstore.Version) *storedContent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[v]
}

// content waits until it is known; false when it is not to be had, or was never announced, which nil stands for.
func (c *storedContent) content(ctx context.Context) ([]byte, bool) {
	if c == nil {
		return nil, false
	}
	select {
	case <-c.ready:
		return c.bytes, c.bytes != nil
	case <-ctx.Done():
		return nil, false
	}
}

// fill has read bring the content, and tells whether it did.
func (c *storedContent) fill(read func(content []byte) error) bool {
	content := make([]byte, c.version.Size)
	if read(content) != nil {
		content = nil // who reads it asks the store
	}
	c.settle(content)
	return content != nil
}

func (c *storedContent) settle(content []byte) {
	c.once.Do(func() {
		c.bytes = content
		close(c.ready)
	})
}
