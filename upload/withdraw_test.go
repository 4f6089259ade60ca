package upload

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// lateStore has all of a write before it answers, and carries it out also when nobody waits for the answer any more,
// later than what is asked next: as a server does that is behind a slow line.
type lateStore struct {
	objstore.Bucket
	has    chan struct{} // closed when it has all of the write
	answer chan struct{} // closed when it may answer
	later  func() error  // what is left to be carried out; nil for nothing
}

func (s *lateStore) write(ctx context.Context, do func(context.Context) (objstore.Entry, error)) (objstore.Entry, error) {
	close(s.has)
	select {
	case <-s.answer:
		return do(ctx)
	case <-ctx.Done():
		s.later = func() error {
			_, err := do(context.WithoutCancel(ctx))
			return err
		}
		return objstore.Entry{}, ctx.Err()
	}
}

func (s *lateStore) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	if _, err := io.Copy(io.Discard, body); err != nil {
		return objstore.Entry{}, err
	}
	return s.write(ctx, func(ctx context.Context) (objstore.Entry, error) {
		_, err := body.Seek(0, io.SeekStart)
		if err != nil {
			return objstore.Entry{}, err
		}
		return s.Bucket.Put(ctx, key, body, size, cond, attrs)
	})
}

func (s *lateStore) CompleteUpload(ctx context.Context, key, id string, parts []objstore.Part, cond objstore.Condition) (objstore.Entry, error) {
	return s.write(ctx, func(ctx context.Context) (objstore.Entry, error) {
		return s.Bucket.CompleteUpload(ctx, key, id, parts, cond)
	})
}

// What the store has all of is not broken off: the object could come to be after whoever withdrew it has removed it.
// Who is to give up the waiting does.
func TestWithdrawWaitsForTheAnswer(t *testing.T) {
	for name, size := range map[string]int{"empty": 0, "whole": 1000, "parts": 200_000} {
		for _, gives := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, func(c *Config) { c.WriteBack = true })
					late := &lateStore{Bucket: r.store, has: make(chan struct{}), answer: make(chan struct{})}
					f, err := r.Open(Target{Bucket: late, Key: "key"}, Base{})
					if err != nil {
						t.Fatal(err)
					}
					r.write(f, text(size, 1), 0)
					r.publish(f)
					<-late.has
					ctx, giveUp := context.WithCancel(t.Context())
					ended := make(chan bool, 1)
					go func() { ended <- f.Withdraw(ctx) }()
					synctest.Wait()
					if gives {
						giveUp()
					} else {
						close(late.answer)
					}
					if !<-ended {
						t.Error("nothing was under way")
					}
					if (late.later != nil) != gives {
						t.Errorf("it gave up: %v; the store carries it out later: %v", gives, late.later != nil)
					}
					if _, err := r.store.Stat(t.Context(), "key"); errors.Is(err, objstore.ErrNotExist) != gives {
						t.Errorf("it gave up: %v; the store says %v", gives, err)
					}
					giveUp()
					f.Discard(t.Context())
					f.Close()
				})
			})
		}
	}
}

// What the store has not all of is broken off, and does not come to be.
func TestWithdrawBreaksOff(t *testing.T) {
	p := &publication{}
	if p.broken = true; !errors.Is(p.commit(), context.Canceled) {
		t.Error("it is sent to the end, though it was broken off")
	}
	body := &watched{SectionReader: io.NewSectionReader(zeros{}, 0, 1000), last: p.commit}
	got := 0
	for err := error(nil); err == nil; {
		var n int
		n, err = body.Read(make([]byte, 300))
		got += n
	}
	if got != 900 {
		t.Errorf("%d bytes of 1000 are sent", got)
	}
}

// How far a body was read is what is on its way now, however often it is read for its checksums and its tries.
func TestProgressOfABody(t *testing.T) {
	sum := int64(0)
	body := &watched{SectionReader: io.NewSectionReader(zeros{}, 0, 1000), seen: func(n int64) { sum += n }}
	want := func(n int64) {
		t.Helper()
		if sum != n {
			t.Errorf("%d bytes are told, want %d", sum, n)
		}
	}
	for range 3 {
		if end, err := body.Seek(0, io.SeekEnd); end != 1000 || err != nil {
			t.Fatal(end, err)
		}
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		want(0)
		if _, err := io.CopyN(io.Discard, body, 300); err != nil {
			t.Fatal(err)
		}
		want(300)
		if _, err := io.Copy(io.Discard, body); err != nil {
			t.Fatal(err)
		}
		want(1000)
	}
	body.tell(0)
	want(0)
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }
