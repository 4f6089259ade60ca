package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore/faultstore"
)

var errDead = errors.New("the process is dead")

// dieAt has the mount die at a request: before it, or when the store has done it and nobody heard. It returns whether
// that came.
func (r *rig) dieAt(step int, done bool) (hit func() bool) {
	var dead atomic.Bool
	fault := faultstore.Fault{Skip: step, Before: func(context.Context) error {
		if dead.Swap(true) {
			return errDead
		}
		r.stop()
		return nil
	}}
	if done {
		fault.Lost = errDead
	} else {
		fault.Err = errDead
	}
	r.bucket.Add(fault)
	return dead.Load
}

// changeAndCreate changes a large object, twice, and writes a small and a large new one.
func (c *crashed) changeAndCreate(r *rig, old []byte) error {
	ctx := context.Background()
	now := slices.Clone(old)
	f := r.open("old", false)
	defer f.Close()
	copy(now[100<<10:], "changed")
	now = append(now, text(150<<10, 7)...)
	if err := errors.Join(f.WriteAt(ctx, []byte("changed"), 100<<10), f.WriteAt(ctx, now[len(old):], int64(len(old)))); err != nil {
		return err
	}
	if err := c.publish(r, f, "old", slices.Clone(now)); err != nil {
		return err
	}
	if err := f.Truncate(ctx, 90<<10); err != nil {
		return err
	}
	if err := c.publish(r, f, "old", slices.Clone(now[:90<<10])); err != nil {
		return err
	}
	small := r.open("small", true)
	defer small.Close()
	if err := small.WriteAt(ctx, []byte("small"), 0); err != nil {
		return err
	}
	if err := c.publish(r, small, "small", []byte("small")); err != nil {
		return err
	}
	large, content := r.open("large", true), text(300<<10, 9)
	defer large.Close()
	for off := 0; off < len(content); off += 10 << 10 {
		if err := large.WriteAt(ctx, content[off:off+10<<10], int64(off)); err != nil {
			return err
		}
	}
	return c.publish(r, large, "large", content)
}

// TestCrashes: a mount that dies at any request, done or not, has lost nothing that was acknowledged, and damaged
// nothing that was there; what was closed is stored by the next one, whole, and no multipart upload is left.
func TestCrashes(t *testing.T) {
	for _, back := range []bool{false, true} {
		for _, done := range []bool{false, true} {
			for step := 0; ; step++ {
				when := fmt.Sprintf("write-back %v, request %d, done %v", back, step, done)
				if !crashAt(t, when, back, step, done) {
					if step < 15 {
						t.Errorf("%s: a script of so few requests tells nothing", when)
					}
					break
				}
			}
		}
	}
}

func crashAt(t *testing.T, when string, back bool, step int, done bool) bool {
	t.Helper()
	writeBack := func(c *Config) { c.WriteBack = back }
	r := newRig(t, writeBack)
	old := text(300<<10, 3)
	r.put("old", old)
	hit := r.dieAt(step, done)
	c := crashed{acknowledged: map[string][]byte{}, attempted: map[string][]byte{}}
	err := c.changeAndCreate(r, old)
	if err == nil && back { // what is in the background goes on until it dies
		ctx, cancel := context.WithTimeout(r.life, testPatience)
		r.Flush(ctx, nil)
		cancel()
	}
	died := hit()
	if err != nil && !died {
		t.Fatalf("%s: %v", when, err)
	}
	r.remount(writeBack)
	for _, s := range r.status() {
		if s.State != StateKept {
			t.Errorf("%s: left: %+v", when, s)
		}
	}
	for key, want := range c.acknowledged {
		if got := r.stored(key); !bytes.Equal(got, want) && !bytes.Equal(got, c.attempted[key]) {
			t.Errorf("%s: %s is %d bytes, acknowledged were %d", when, key, len(got), len(want))
		}
	}
	if got := r.stored("old"); c.acknowledged["old"] == nil && !bytes.Equal(got, old) && !bytes.Equal(got, c.attempted["old"]) {
		t.Errorf("%s: what was there before is damaged: %d bytes", when, len(got))
	}
	r.abortAll()
	r.settled()
	return died
}

// abortAll gives up what is kept.
func (r *rig) abortAll() {
	r.t.Helper()
	for _, s := range r.status() {
		if err := r.Abort(context.Background(), r.buckets, s.ID); err != nil {
			r.t.Errorf("%+v: %v", s, err)
		}
	}
}

// kill has a file be written and not closed, with parts of it sent, when the mount dies.
func (r *rig) kill(change func(*Config), key string, content []byte) Recovery {
	r.t.Helper()
	f := r.open(key, true)
	r.write(f, content, 0)
	for deadline := time.Now().Add(testPatience); len(content) > 64<<10; time.Sleep(time.Millisecond) {
		if s, _ := f.live(); s.Sent > 0 || time.Now().After(deadline) {
			break
		}
	}
	return r.remount(change)
}
