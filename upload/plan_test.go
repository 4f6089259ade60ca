package upload

import (
	"math/rand/v2"
	"testing"

	"github.com/headrace/headrace/objstore"
)

const mib = 1 << 20

func stored(size int64) objstore.Version {
	return objstore.Version{Endpoint: "http://store", Bucket: "b", Key: "k", ETag: "old", Size: size}
}

// changedAt is a stored object with changes.
func changedAt(size int64, changes ...objstore.Range) content {
	c := newContent(stored(size))
	for _, r := range changes {
		c.write(r)
	}
	return c
}

// checkPlan makes sure that a plan's parts are the whole file in order, of sizes that a store takes, and that no byte
// is copied that has changed. It returns the bytes that are sent.
func checkPlan(t *testing.T, c *content, steps []step) (sent int64) {
	t.Helper()
	off, number := int64(0), 0
	for i, s := range steps {
		last := i == len(steps)-1
		switch {
		case s.Off != off || s.Empty():
			t.Fatalf("step %d is %v, and the one before ended at %d", i, s.Range, off)
		case s.number <= number || s.number > maxParts:
			t.Fatalf("part %d comes after %d", s.number, number)
		case s.Len < storeSizes.least && !last, s.Len > storeSizes.largest:
			t.Fatalf("part %d is %d bytes long", s.number, s.Len)
		case s.copied && (s.End() > c.base.Size || c.changed.overlaps(s.Range)):
			t.Fatalf("part %d, %v, is copied, and is not the base's", s.number, s.Range)
		}
		if !s.copied && s.sent == nil {
			sent += s.Len
		}
		off, number = s.End(), s.number
	}
	if off != c.size {
		t.Fatalf("the parts end at %d of %d", off, c.size)
	}
	return sent
}

// What is sent of a changed object is what has changed, and what is needed around it to make parts.
func TestPlan(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name  string
		c     content
		whole bool  // one request
		most  int64 // bytes sent
		steps int   // at most
	}{
		{"small", changedAt(10*mib, objstore.Range{Off: 5, Len: 1}), true, 0, 0},
		{"new, one part", changedAt(0, objstore.Range{Len: storeSizes.part}), true, 0, 0},
		{"append 1 MiB to 10 GiB", changedAt(10*gib, objstore.Range{Off: 10 * gib, Len: mib}), false, mib, 12},
		{"append 1 byte", changedAt(gib, objstore.Range{Off: gib, Len: 1}), false, 1, 3},
		{"first byte of 1 GiB", changedAt(gib, objstore.Range{Len: 1}), false, storeSizes.least, 3},
		{"a byte in the middle", changedAt(gib, objstore.Range{Off: 500 * mib, Len: 1}), false, storeSizes.least, 4},
		{"last byte", changedAt(gib, objstore.Range{Off: gib - 1, Len: 1}), false, 1, 3},
		{"two bytes close by", changedAt(gib, objstore.Range{Off: 100 * mib, Len: 1}, objstore.Range{Off: 107 * mib, Len: 1}), false, 12*mib + 1, 5},
		{"near the start", changedAt(gib, objstore.Range{Off: 3 * mib, Len: 1}), false, 8*mib + 1, 3},
		{"a hole behind the end", changedAt(gib, objstore.Range{Off: gib + 100*mib, Len: 1}), false, 100*mib + 1, 6},
		{"all", changedAt(gib, objstore.Range{Len: gib}), false, gib, 17},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			steps := storeSizes.planOf(&test.c, nil)
			if test.whole != (steps == nil) {
				t.Fatalf("%d steps", len(steps))
			}
			if steps == nil {
				return
			}
			if sent := checkPlan(t, &test.c, steps); sent > test.most || len(steps) > test.steps {
				t.Errorf("%d bytes are sent in %d parts", sent, len(steps))
			}
		})
	}
}

// A new file of more than 64 MiB is sent in parts of at least 50 MB but for its last, however large it is, and one up
// to there by one request.
func TestPlanOfNew(t *testing.T) {
	const tib = 1 << 40
	for _, c := range []struct {
		size  int64
		parts int // 0: one request; -1: as many as it takes
	}{
		{0, 0}, {1, 0}, {64 * mib, 0}, {64*mib + 1, 2}, {65 * mib, 2}, {128 * mib, 2}, {128*mib + 1, 3}, {4096*mib + 1, 65}, {10_000*64*mib + 1, -1}, {tib, -1}, {46 * tib, -1},
	} {
		f := changedAt(0, objstore.Range{Len: c.size})
		f.base = objstore.Version{}
		steps := storeSizes.planOf(&f, nil)
		if c.parts == 0 {
			if steps != nil {
				t.Errorf("%d bytes are sent in %d parts", c.size, len(steps))
			}
			continue
		}
		if sent := checkPlan(t, &f, steps); sent != c.size || c.parts > 0 && len(steps) != c.parts {
			t.Errorf("of %d bytes %d are sent in %d parts", c.size, sent, len(steps))
		}
		for _, s := range steps[:len(steps)-1] {
			if s.Len < 50_000_000 {
				t.Fatalf("of %d bytes, part %d has %d", c.size, s.number, s.Len)
			}
		}
	}
}

// A file that is cut is copied up to there.
func TestPlanOfCut(t *testing.T) {
	c := newContent(stored(1 << 30))
	c.truncate(300*mib + 5)
	if sent := checkPlan(t, &c, storeSizes.planOf(&c, nil)); sent != 0 {
		t.Errorf("%d bytes are sent", sent)
	}
	c.truncate(400 * mib)
	if sent := checkPlan(t, &c, storeSizes.planOf(&c, nil)); sent != 100*mib-5 {
		t.Errorf("%d bytes are sent of what is zeros now", sent)
	}
}

// Parts that were sent are not sent again.
func TestPlanWithParts(t *testing.T) {
	c := changedAt(0, objstore.Range{Len: 1000 * mib})
	sent := map[int]objstore.Part{1: {Number: 1}, 2: {Number: 2}, 9: {Number: 9}}
	steps := storeSizes.planOf(&c, sent)
	if got := checkPlan(t, &c, steps); got != (1000-3*64)*mib {
		t.Errorf("%d bytes are sent", got)
	}
	c = changedAt(2000*mib, objstore.Range{Off: 64 * mib, Len: 200 * mib})
	steps = storeSizes.planOf(&c, map[int]objstore.Part{2: {Number: 2}, 3: {Number: 3}})
	if got := checkPlan(t, &c, steps); got != 128*mib {
		t.Errorf("%d bytes are sent of 72 that have changed in two parts", got/mib)
	}
}

// Whatever is written, the plan is one that a store takes.
func TestPlanRandom(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, seed))
		c := newContent(stored(rnd.Int64N(3 << 30)))
		if rnd.IntN(4) == 0 {
			c = newContent(objstore.Version{})
		}
		for range 1 + rnd.IntN(12) {
			if rnd.IntN(5) == 0 {
				c.truncate(rnd.Int64N(3 << 30))
				continue
			}
			length := int64(1) << rnd.IntN(29)
			c.write(objstore.Range{Off: rnd.Int64N(3 << 30), Len: 1 + rnd.Int64N(length)})
		}
		if steps := storeSizes.planOf(&c, nil); steps != nil {
			checkPlan(t, &c, steps)
		} else if c.size > storeSizes.part {
			t.Fatalf("seed %d: %d bytes with one request", seed, c.size)
		}
	}
}
