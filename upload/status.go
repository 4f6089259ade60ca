package upload

import (
	"context"
	"sync/atomic"
	"time"
)

// totals are what has been stored since the mount.
type totals struct {
	stored, conflicts, failures atomic.Int64 // publications
	puts, parts, copies         atomic.Int64 // requests that did it
	bytesSent, bytesCopied      atomic.Int64
}

func (t *totals) sent(s step) {
	if s.copied {
		t.copies.Add(1)
		t.bytesCopied.Add(s.Len)
		return
	}
	t.parts.Add(1)
	t.bytesSent.Add(s.Len)
}

func (t *totals) put(size int64) {
	t.puts.Add(1)
	t.bytesSent.Add(size)
}

// Stats are totals since the mount, and what is held now.
type Stats struct {
	Files   int   // that are open for writing, or not stored yet
	Pending int   // of these, those with something to be stored
	Staged  int64 // bytes of staging files on the disk
	Limit   int64 // at most

	Stored, Conflicts, Failures int64 // publications that succeeded, that somebody else's write refused, and that are tried again
	Puts, Parts, Copies         int64 // objects stored by one request; parts sent; parts copied by the store
	BytesSent, BytesCopied      int64
}

// Stats is a snapshot.
func (u *Uploads) Stats() Stats {
	t := &u.totals
	s := Stats{
		Staged: u.budget.inUse(), Limit: u.cfg.Size,
		Stored: t.stored.Load(), Conflicts: t.conflicts.Load(), Failures: t.failures.Load(),
		Puts: t.puts.Load(), Parts: t.parts.Load(), Copies: t.copies.Load(),
		BytesSent: t.bytesSent.Load(), BytesCopied: t.bytesCopied.Load(),
	}
	for _, f := range u.all() {
		s.Files++
		if f.Changed() {
			s.Pending++
		}
	}
	return s
}

// live is what can be told of a file that is open or being stored.
func (f *File) live() (s Status, unstored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s = Status{State: StateWaiting, Bucket: f.target.Bucket.Name(), Key: f.target.Key, Size: f.content.size, Changed: f.touched}
	switch {
	case f.lost != nil:
		s.State, s.Reason = StateConflict, f.lost.Error()
	case f.publication != nil:
		s.State = StateStoring
	case !f.closed && f.resting.timer == nil:
		s.State = StateWriting
	}
	if f.staging != nil {
		s.ID = f.staging.ID()
	}
	if f.failure != nil && s.Reason == "" {
		s.Reason = f.failure.Error()
	}
	if f.multipart != nil {
		for _, p := range f.multipart.parts {
			if p.sent != nil {
				s.Sent += p.Len
			}
		}
	}
	if f.publication != nil {
		s.Sent = min(s.Size, s.Sent+f.publication.bytes.Load())
	}
	return s, f.content.dirty && !f.discarded
}

// Progress is how far storing what is left has come.
type Progress struct {
	Files     int   `json:"files"`     // that have something to be stored
	Bytes     int64 `json:"bytes"`     // that are not with the store yet
	Renames   int   `json:"renames"`   // that go on, also of a mount before
	Conflicts int   `json:"conflicts"` // files that will not be stored
}

// flushPoll is how often it is looked whether all is stored.
const flushPoll = 50 * time.Millisecond

// Flush stores what is left, and returns when nothing is, or ctx ends; what is left then is in the result, and told to
// each meanwhile. Files that somebody else's write has refused are not waited for.
func (u *Uploads) Flush(ctx context.Context, told func(Progress)) Progress {
	tick := time.NewTicker(flushPoll)
	defer tick.Stop()
	for {
		p := u.Progress()
		u.beginIdle()
		if told != nil {
			told(p)
		}
		if p.Files == 0 && p.Renames == 0 {
			return p
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return p
		}
	}
}

// Progress is how far it is.
func (u *Uploads) Progress() (p Progress) {
	p.Renames = int(u.moving.Load() + u.mover.underWay.Load())
	for _, f := range u.all() {
		s, dirty := f.live()
		switch {
		case s.State == StateConflict:
			p.Conflicts++
		case dirty:
			p.Files++
			p.Bytes += s.Size - s.Sent
		}
	}
	return p
}

// beginIdle has all be stored that is not being stored, nor waits to be tried again.
func (u *Uploads) beginIdle() {
	for _, f := range u.all() {
		f.mu.Lock()
		idle := f.content.dirty && !f.discarded && f.lost == nil && f.publication == nil && f.retry.timer == nil
		f.mu.Unlock()
		if idle {
			f.begin()
		}
	}
}
