package main

import (
	"log/slog"
	"sync"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/replicas"
)

// spreading has the buckets of a stack be read from copies as well. The zero value leaves them as they are.
type spreading struct {
	on bool

	mu   sync.Mutex // guards open
	open []*replicas.Bucket
}

// wrap is b with reads that are spread. direct is b without retries: a copy that fails is not tried again.
func (s *spreading) wrap(b objstore.Bucket, direct objstore.Opener, log *slog.Logger) objstore.Bucket {
	if !s.on {
		return b
	}
	r := replicas.New(b, replicas.Options{Direct: direct, Log: log})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, r)
	return r
}

// stats are reads from copies, and those that went to the original because a copy failed.
func (s *spreading) stats() (fromCopy, fellBack int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.open {
		c, f := r.Stats()
		fromCopy, fellBack = fromCopy+c, fellBack+f
	}
	return fromCopy, fellBack
}

func (s *spreading) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.open {
		r.Close()
	}
}
