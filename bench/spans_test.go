package bench

import (
	"testing"

	"github.com/headrace/headrace/objstore"
)

func sized(path string, size int64) object {
	return object{path: path, version: objstore.Version{Key: path, Size: size}}
}

// What several readers and the raw client read is every byte of the objects, once.
func TestSpansCover(t *testing.T) {
	for _, size := range []int64{1, 4*pageSize + 3, pageSize, rawRange - 1, rawRange, rawRange + 1, 100*mib + 5} {
		o := sized("a", size)
		if n := len(quarters(o, 4)); n > 4 {
			t.Errorf("size %d: %d quarters", size, n)
		}
		for _, spans := range [][]span{{whole(o)}, quarters(o, 4), interleave([]span{whole(o)}), interleave(quarters(o, 4))} {
			seen := make(map[int64]int64) // by offset
			for _, s := range spans {
				if s.Len <= 0 || s.Len > max(rawRange, size) {
					t.Fatalf("size %d: %v", size, s.Range)
				}
				seen[s.Off] = s.Len
			}
			end := int64(0)
			for range spans {
				n, ok := seen[end]
				if !ok {
					t.Fatalf("size %d: nothing starts at %d of %v", size, end, spans)
				}
				end += n
			}
			if end != size || len(seen) != len(spans) {
				t.Fatalf("size %d: %v", size, spans)
			}
		}
	}
}

func TestContent(t *testing.T) {
	c := newContent()
	p := make([]byte, 3*pageSize)
	c.fill(p, "key", 10*pageSize)
	for _, off := range []int64{0, 1, pageSize - 1, pageSize, 2*pageSize - 8} {
		if err := c.check(p[off:], "key", 10*pageSize+off); err != nil {
			t.Errorf("at %d: %v", off, err)
		}
		if err := c.check(p[off:], "key", 11*pageSize+off); err == nil {
			t.Errorf("at %d: another offset's bytes were taken", off)
		}
		if err := c.check(p[off:], "other", 10*pageSize+off); err == nil {
			t.Errorf("at %d: another key's bytes were taken", off)
		}
	}
	// Where there is no stamp there is nothing to check.
	if err := c.check(p[8:100], "other", 10*pageSize+8); err != nil {
		t.Error(err)
	}
}
