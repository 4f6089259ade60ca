package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/memstore"
)

// A script of a listing and of what is moved meanwhile: what was there is counted, and what is made is not, whoever is
// first.
func TestMovedKeys(t *testing.T) {
	m := newMovedKeys()
	defer m.close()
	for i, step := range strings.Split(strings.TrimSpace(`
pass   cc -> 0
making aa -> 0
making d0 -> 0
making d1 -> 0
done   d0 -> 0
making e0 -> 0
making f0 -> 0
making f1 -> 0
making f2 -> 0
done   f1 -> 0
pass   d0 -> 0
meet   d0 -> 0
pass   d1 -> 0
meet   d1 -> 0
done   d1 -> 0
meet   e0 -> 0
failed e0 -> 1
failed f0 -> 1
meet   f0 -> 2
done   f2 -> 2
meet   f1 -> 2
meet   f2 -> 2
meet   f3 -> 3
meet   d0 -> 3
failed aa -> 3
`), "\n") {
		var what, key string
		var want int
		if _, err := fmt.Sscanf(step, "%s %s -> %d", &what, &key, &want); err != nil {
			t.Fatal(err)
		}
		map[string]func(string){"pass": m.pass, "making": m.making, "meet": m.meet, "done": m.done, "failed": m.failed}[what](key)
		if got := m.before(); got != want {
			t.Errorf("step %d, %s: %d", i+1, step, got)
		}
	}
	if len(m.underway) != 0 {
		t.Errorf("%d keys are under way", len(m.underway))
	}
}

// However many keys are made ahead of the listing, each is known when it is met, and few are in memory at any time;
// also where there is no place for a file.
func TestManyMovedKeys(t *testing.T) {
	const parts, keys = 3, 3*spoolPage + 100 // of each
	for _, disk := range []bool{true, false} {
		if !disk {
			t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
		}
		m := newMovedKeys()
		defer m.close()
		key := func(part, i int) string { return fmt.Sprintf("%02x%04x/%d", part, i, i) }
		for part := range parts {
			for i := range keys {
				m.making(key(part, i))
				m.done(key(part, i))
			}
		}
		held := 0
		for part := range m.made.open {
			held += len(m.made.open[part])
		}
		if disk && held > parts*spoolPage || !disk && held != parts*keys {
			t.Errorf("on disk %v: %d of %d hashes are in memory", disk, held, parts*keys)
		}
		for part := range parts {
			for i := range keys {
				m.pass(key(part, i))
				m.meet(key(part, i))
			}
			if len(m.loaded) != keys {
				t.Errorf("part %d has %d keys, not %d", part, len(m.loaded), keys)
			}
			m.meet(key(part, keys)) // somebody else's
		}
		if got := m.before(); got != parts {
			t.Errorf("on disk %v: %d were there, not %d", disk, got, parts)
		}
	}
}

// live lists one key a page, each as the bucket is when it is asked for.
type live struct{ objstore.Bucket }

func (l live) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	opts.PageSize = 1
	return l.Bucket.List(ctx, opts)
}

// A migration of a whole bucket meets what it has just moved itself, and does not count it as there.
func TestMigrationCounts(t *testing.T) {
	store := memstore.New("bucket")
	for i := range 20 {
		putContent(t, store, fmt.Sprintf("0/%02d", i), "content")
	}
	for _, key := range []string{"x", "y", "z"} {
		putContent(t, store, hashed.Encode(key), "content")
	}
	o := keysOptions{bulk: bulk{stdout: io.Discard, stderr: io.Discard}, jobs: 1} // one is moved before the next but one is listed
	m := migration{options: &o, at: place{bucket: live{store}}, mover: newObjectMover(nil, io.Discard), bar: newGrowingBar(io.Discard), hashed: newMovedKeys()}
	m.moveAll(t.Context())
	if moved, there := m.moved.Load(), m.hashed.before(); moved != 20 || there != 3 || m.failures.count != 0 {
		t.Errorf("moved %d, and %d were there; %v", moved, there, m.failures.first)
	}
}
