package upload

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

var (
	seeds     = flag.Uint64("seeds", 60, "how many random histories the model test makes")
	firstSeed = flag.Uint64("first-seed", 0, "which it begins with")
)

// model is a file, and what it should be.
type model struct {
	*rig
	rnd     *rand.Rand
	f       *File
	key     string
	content []byte // what is read
	kept    []byte // what the store has under the key; nil for nothing
	history []string
}

// TestModel: whatever is done to a file in whatever order, it reads as a slice of bytes would, and what is published is
// what it read as.
func TestModel(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		m := &model{rig: newRig(t, nil), rnd: rand.New(rand.NewPCG(seed, seed)), key: "key"}
		if m.rnd.IntN(2) == 0 {
			m.kept = text(m.rnd.IntN(600<<10), byte(seed))
			m.put(m.key, m.kept)
			m.content = slices.Clone(m.kept)
		}
		if m.rnd.IntN(3) == 0 { // the store stumbles
			for _, op := range []objstore.Op{objstore.OpPut, objstore.OpUploadPart, objstore.OpCopyPart, objstore.OpCompleteUpload} {
				m.bucket.Add(faultstore.Fault{Op: op, Skip: m.rnd.IntN(4), Times: 1, Err: objstore.ErrTimeout})
			}
		}
		m.f = m.open(m.key, m.kept == nil)
		for range 5 + m.rnd.IntN(25) {
			if err := m.step(); err != nil {
				t.Fatalf("seed %d: %v, after\n%s", seed, err, strings.Join(m.history, "\n"))
			}
		}
		m.f.Close()
		m.settled()
		if got := m.stored(m.key); !bytes.Equal(got, m.content) {
			t.Fatalf("seed %d: at last %d bytes are stored, should be %d, after\n%s", seed, len(got), len(m.content), strings.Join(m.history, "\n"))
		}
	}
}

// step does something and compares.
func (m *model) step() error {
	ctx := context.Background()
	off, n := m.rnd.IntN(700<<10), 1+m.rnd.IntN(1<<(1+m.rnd.IntN(18)))
	switch m.rnd.IntN(12) {
	case 0, 1, 2, 3, 4:
		if m.rnd.IntN(2) == 0 {
			off = len(m.content)
		}
		return m.writeAt(ctx, off, n)
	case 5:
		m.say("truncate to %d", off)
		m.resize(off)
		return m.f.Truncate(ctx, int64(off))
	case 6:
		m.say("zero %d at %d", n, off)
		if err := m.f.Allocate(ctx, int64(off), int64(n), unix.FALLOC_FL_ZERO_RANGE); err != nil {
			return err
		}
		m.resize(max(len(m.content), off+n))
		clear(m.content[off : off+n])
		return nil
	case 7, 8:
		return m.publishNow(ctx)
	case 9:
		key := fmt.Sprint("key", m.rnd.IntN(100))
		m.say("rename to %s", key)
		return m.rename(ctx, key)
	case 10:
		if err := m.f.Localise(ctx, int64(m.rnd.IntN(1<<20))); err != nil && !errors.Is(err, objstore.ErrQuota) {
			return err
		}
		return m.compare(ctx, 0, len(m.content)+10)
	}
	return m.compare(ctx, off, n)
}

func (m *model) say(format string, args ...any) {
	m.history = append(m.history, fmt.Sprintf(format, args...))
}

func (m *model) writeAt(ctx context.Context, off, n int) error {
	p := text(n, byte(m.rnd.Uint32()))
	m.say("write %d at %d", n, off)
	m.resize(max(len(m.content), off+n))
	copy(m.content[off:], p)
	return m.f.WriteAt(ctx, p, int64(off))
}

func (m *model) resize(n int) {
	if n <= len(m.content) {
		m.content = m.content[:n]
		return
	}
	m.content = append(slices.Clone(m.content), make([]byte, n-len(m.content))...)
}

// publishNow stores the file, by as many attempts as the store stumbles.
func (m *model) publishNow(ctx context.Context) error {
	m.say("publish %d", len(m.content))
	for range 10 {
		e, err := m.f.Publish(ctx)
		if errors.Is(err, objstore.ErrTimeout) {
			continue
		}
		if err != nil {
			return err
		}
		m.kept = append([]byte{}, m.content...)
		if got := m.stored(m.key); !bytes.Equal(got, m.content) || e.Size != int64(len(got)) {
			return fmt.Errorf("%d bytes are stored, %+v", len(got), e)
		}
		return nil
	}
	return errors.New("never stored")
}

// rename gives the file another key, as fs does: what has an object is moved in the store.
func (m *model) rename(ctx context.Context, key string) error {
	if key == m.key || m.rnd.IntN(2) == 0 {
		return nil
	}
	if m.kept == nil {
		old := m.key
		m.key = key
		if did, err := m.f.Retarget(ctx, Target{Bucket: m.bucket, Key: key}); err != nil || !did {
			return fmt.Errorf("was it stored meanwhile? %v, %w", !did, err)
		}
		if _, err := m.store.Stat(ctx, old); !errors.Is(err, objstore.ErrNotExist) {
			return fmt.Errorf("under the old key: %w", err)
		}
		return nil
	}
	if err := m.publishNow(ctx); err != nil {
		return err
	}
	e, err := m.store.Stat(ctx, m.key)
	if err != nil {
		return err
	}
	hold, err := m.Hold(ctx, m.bucket, m.key)
	if err != nil {
		return err
	}
	defer hold.Release()
	moved, err := m.MoveObject(ctx, m.bucket, objstore.VersionOf(m.store, e), key, objstore.Condition{IfNew: true})
	if err != nil {
		return err
	}
	hold.Moved(key, map[string]NewETag{m.key: {Old: e.ETag, New: moved.ETag}})
	m.key = key
	return nil
}

// compare reads.
func (m *model) compare(ctx context.Context, off, n int) error {
	m.say("read %d at %d", n, off)
	p := make([]byte, n)
	got, err := m.f.ReadAt(ctx, p, int64(off))
	if err != nil {
		return err
	}
	want := m.content[min(off, len(m.content)):min(off+n, len(m.content))]
	if !bytes.Equal(p[:got], want) {
		return fmt.Errorf("%d bytes are read, %d should be, and they differ", got, len(want))
	}
	if size := m.f.Size(); size != int64(len(m.content)) {
		return fmt.Errorf("%d bytes long, should be %d", size, len(m.content))
	}
	return nil
}
