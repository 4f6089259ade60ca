package upload

import (
	"bytes"
	"context"
	"errors"
	"syscall"
	"testing"
	"time"
)

// A file larger than the room for it goes through when it is written in order, and what was let go can neither be read
// nor written until it is stored.
func TestLargerThanTheBudget(t *testing.T) {
	const room = 512 << 10
	r := newRig(t, func(c *Config) { c.Size = room })
	content := text(4<<20, 1)
	f := r.open("large", true)
	for off := 0; off < len(content); off += 50_000 {
		r.write(f, content[off:min(off+50_000, len(content))], int64(off))
		if s := r.Stats(); s.Staged > room {
			t.Fatalf("%d bytes are on the disk", s.Staged)
		}
	}
	if _, err := f.ReadAt(context.Background(), make([]byte, 10), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("reading what was let go: %v", err)
	}
	if err := f.WriteAt(context.Background(), []byte("x"), 0); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing what was let go: %v", err)
	}
	r.publish(f)
	got := make([]byte, len(content))
	if n, err := f.ReadAt(context.Background(), got, 0); n != len(got) || err != nil || !bytes.Equal(got, content) {
		t.Errorf("once it is stored %d bytes are read, %v", n, err)
	}
	f.Close()
	r.settled()
	if !bytes.Equal(r.stored("large"), content) {
		t.Error("something else is stored")
	}
}

// A writer that nobody makes room for is told so.
func TestNoRoom(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Size, c.CloseTimeout = 100_000, 50*time.Millisecond })
	first, second := r.open("first", true), r.open("second", true)
	r.write(first, text(60_000, 1), 0)
	if err := second.WriteAt(context.Background(), text(60_000, 2), 0); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	r.publish(first)
	first.Close()
	r.write(second, text(60_000, 2), 0)
	second.Close()
	r.settled()
}
