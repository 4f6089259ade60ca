package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/memstore"
)

// A script of a listing and of what is moved meanwhile: what was there is counted, and what is made is not, whoever is first.
func TestMovedKeys(t *testing.T) {
	m := newMovedKeys()
	for i, step := range strings.Split(strings.TrimSpace(`
pass   c -> 0
making a -> 0
making d -> 0
making e -> 0
making f -> 0
pass   d -> 0
meet   d -> 0
meet   e -> 0
failed e -> 1
failed f -> 1
meet   f -> 2
meet   g -> 3
failed a -> 3
`), "\n") {
		var what, key string
		var want int
		if _, err := fmt.Sscanf(step, "%s %s -> %d", &what, &key, &want); err != nil {
			t.Fatal(err)
		}
		map[string]func(string){"pass": m.pass, "making": m.making, "meet": m.meet, "failed": m.failed}[what](key)
		if got := m.before(); got != want {
			t.Errorf("step %d, %s: %d", i+1, step, got)
		}
	}
	if len(m.ahead) != 1 {
		t.Errorf("%d keys are remembered", len(m.ahead))
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
