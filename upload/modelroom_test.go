package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// roomSeeds is how many histories of little room are made for each of the others: they are longer.
const roomSeeds = 2

// TestModelOfLittleRoom: a file that is larger than the room for it, written mostly in order, with parts that the store
// has in another order than they were begun, reads as a slice of bytes would, but for what was let go from the disk;
// what is published, and what a person stores after a crash, is what was written.
func TestModelOfLittleRoom(t *testing.T) {
	letGo := 0
	for seed := *firstSeed; seed < *firstSeed+*seeds/roomSeeds; seed++ {
		synctest.Test(t, func(t *testing.T) { letGo += littleRoom(t, seed) })
	}
	if letGo == 0 {
		t.Error("nothing was ever let go")
	}
}

// littleRoom is one history; it returns how often something was let go.
func littleRoom(t *testing.T, seed uint64) (letGo int) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	change := func(c *Config) { c.Size, c.WriteBack = 256<<10, rnd.IntN(2) == 0 }
	m := &model{rig: newRig(t, change), rnd: rnd, key: "key"}
	for range 12 {
		late := time.Duration(rnd.IntN(5)) * time.Second
		m.bucket.Add(faultstore.Fault{Op: objstore.OpUploadPart, Skip: rnd.IntN(12), Times: 1, Before: func(context.Context) error {
			time.Sleep(late)
			return nil
		}})
	}
	if rnd.IntN(2) == 0 {
		m.kept = text(rnd.IntN(300<<10), byte(seed))
		m.put(m.key, m.kept)
		m.content = bytes.Clone(m.kept)
	}
	m.f = m.open(m.key, m.kept == nil)
	fail := func(err error) { t.Fatalf("seed %d: %v, after\n%s", seed, err, strings.Join(m.history, "\n")) }
	for range 20 + rnd.IntN(40) {
		before := m.gone()
		if err := m.stepInLittleRoom(before); err != nil {
			fail(err)
		}
		if m.gone().bytes() > before.bytes() {
			letGo++
		}
	}
	want := m.content
	if m.f.Changed() && rnd.IntN(3) == 0 {
		m.say("crash")
		m.remount(nil)
		if err := m.storeKept(); err != nil {
			fail(err)
		}
	} else {
		m.f.Close()
	}
	m.settled()
	if got := m.stored(m.key); !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		fail(fmt.Errorf("at last %d bytes are stored, should be %d, and they differ from %d on", len(got), len(want), at))
	}
	if err := errors.Join(m.Close(), m.cfg.Journal.Close()); err != nil {
		fail(err)
	}
	return letGo
}

// gone is what was let go from the disk.
func (m *model) gone() ranges {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	return append(ranges{}, m.f.content.released...)
}

// storeKept has a person store what a crash has left.
func (m *model) storeKept() error {
	for _, s := range m.status() {
		if err := m.Retry(context.Background(), m.buckets, s.ID, false); err != nil {
			return fmt.Errorf("%+v: %w", s, err)
		}
	}
	return nil
}

// stepInLittleRoom is step, where room is short: gone was let go before.
func (m *model) stepInLittleRoom(gone ranges) error {
	ctx := context.Background()
	off, n := len(m.content), 1+m.rnd.IntN(40<<10)
	what := m.rnd.IntN(16)
	if what > 10 {
		off = m.rnd.IntN(len(m.content) + 1)
	}
	switch r := (objstore.Range{Off: int64(off), Len: int64(n)}); what {
	case 11:
		m.say("publish %d", len(m.content))
		if _, err := m.f.Store(ctx); err != nil {
			return err
		}
		if got := m.stored(m.key); !bytes.Equal(got, m.content) {
			return fmt.Errorf("%d bytes are stored, should be %d", len(got), len(m.content))
		}
		m.kept = bytes.Clone(m.content)
		return nil
	case 12:
		err := m.f.Truncate(ctx, int64(off))
		m.say("truncate to %d: %v", off, err)
		if refused := len(gone) > 0 && off > 0 && int64(off) < gone[len(gone)-1].End(); refused != errors.Is(err, syscall.ENOSPC) || !refused && err != nil {
			return fmt.Errorf("refused should be %v: %w", refused, err)
		}
		if err == nil {
			m.resize(off)
		}
		return nil
	case 13, 14:
		p := make([]byte, n)
		got, err := m.f.ReadAt(ctx, p, r.Off)
		m.say("read %d at %d: %v", n, off, err)
		r = r.Intersect(objstore.Range{Len: int64(len(m.content))})
		if gone.overlaps(r) {
			if !errors.Is(err, syscall.EIO) {
				return fmt.Errorf("what was let go is read: %w", err)
			}
			return nil
		}
		if want := m.content[r.Off:r.End()]; err != nil || !bytes.Equal(p[:got], want) {
			return fmt.Errorf("%d bytes are read, should be %d: %w", got, len(want), err)
		}
		return nil
	default:
		return m.writeInLittleRoom(ctx, r)
	}
}

// writeInLittleRoom writes. There may be no room for what is not written in order, and what was let go, also just now
// to make room, cannot be written over.
func (m *model) writeInLittleRoom(ctx context.Context, r objstore.Range) error {
	p := text(int(r.Len), byte(m.rnd.Uint32()))
	err := m.f.WriteAt(ctx, p, r.Off)
	m.say("write %d at %d: %v", r.Len, r.Off, err)
	if gone := m.gone(); errors.Is(err, syscall.ENOSPC) {
		if !gone.overlaps(r) && m.Stats().Staged+r.Len <= m.cfg.Size {
			return fmt.Errorf("there is room: %w", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	m.resize(max(len(m.content), int(r.End())))
	copy(m.content[r.Off:], p)
	return nil
}
