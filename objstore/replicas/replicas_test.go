package replicas_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/objstoretest"
	"github.com/headrace/headrace/objstore/replicas"
)

func newBucket(t *testing.T, b objstore.Bucket, o replicas.Options) *replicas.Bucket {
	t.Helper()
	r := replicas.New(b, o)
	t.Cleanup(r.Close)
	return r
}

// A bucket whose reads are spread is a bucket as any other.
func TestConformance(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Bucket { return newBucket(t, memstore.New("bucket"), replicas.Options{}) }, objstoretest.Quirks{})
}

func put(t *testing.T, b objstore.Bucket, key, content string) objstore.Entry {
	t.Helper()
	e, err := b.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// readOn reads an object but its first byte.
func readOn(t *testing.T, b objstore.Bucket, e objstore.Entry) string {
	t.Helper()
	return readFrom(t, b, e, 1)
}

func readFrom(t *testing.T, b objstore.Bucket, e objstore.Entry, off int64) string {
	t.Helper()
	body, err := b.Open(t.Context(), objstore.VersionOf(b, e), objstore.Range{Off: off, Len: e.Size - off})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func keys(t *testing.T, b objstore.Bucket) (all []string) {
	t.Helper()
	for page, err := range b.List(t.Context(), objstore.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			all = append(all, e.Key)
		}
	}
	return all
}

// Copies lie under different hashes, in the form of hashed keys; there are as many as were asked for, and none when
// none are.
func TestMake(t *testing.T) {
	b := memstore.New("bucket")
	e := put(t, b, "hot/object", "content")
	prefixes := make(map[string]bool)
	for _, n := range []int{3, 3, 5, 2, 0, 0} {
		m, err := replicas.Make(t.Context(), b, e, replicas.Plan{Copies: n, Now: time.Now()})
		if err != nil || len(m.Copies) != n {
			t.Fatalf("%d copies: %+v, %v", n, m, err)
		}
		want := []string{"hot/object"}
		for i, c := range m.Copies {
			if c.Key != replicas.CopyKey("hot/object", i+1) || c.ETag != e.ETag {
				t.Errorf("copy %d: %+v", i+1, c)
			}
			if _, ok := hashed.Decode(c.Key); !ok {
				t.Errorf("%s is no hashed key", c.Key)
			}
			prefixes[c.Key[:6]] = true
			want = append(want, c.Key)
		}
		if n > 0 {
			want = append(want, replicas.ManifestKey("hot/object"))
		}
		slices.Sort(want)
		if got := keys(t, b); !slices.Equal(got, want) {
			t.Errorf("%d copies: the bucket has %q, should have %q", n, got, want)
		}
	}
	if len(prefixes) != 5 {
		t.Errorf("5 copies lie under %d prefixes", len(prefixes))
	}
	if _, err := replicas.Make(t.Context(), b, e, replicas.Plan{Copies: replicas.MaxCopies + 1}); !errors.Is(err, objstore.ErrInvalid) {
		t.Errorf("too many copies: %v", err)
	}
	put(t, b, "hot/object", "another")
	if _, err := replicas.Make(t.Context(), b, e, replicas.Plan{Copies: 1}); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("of a version that is gone: %v", err)
	}
}

// opened counts reads by key.
type opened struct {
	objstore.Bucket

	mu   sync.Mutex // guards keys: manifests are read in the background
	keys map[string]int
}

func (o *opened) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	o.mu.Lock()
	o.keys[v.Key]++
	o.mu.Unlock()
	return o.Bucket.Open(ctx, v, r)
}

// counts are the reads since it was asked last.
func (o *opened) counts() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	keys := o.keys
	o.keys = make(map[string]int)
	return keys
}

// Reads go in turn to the original and its copies, of exactly the content that was copied.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New("bucket")
		e := put(t, store, "hot", "content")
		m, err := replicas.Make(t.Context(), store, e, replicas.Plan{Copies: 3})
		if err != nil {
			t.Fatal(err)
		}
		counted := &opened{Bucket: store, keys: make(map[string]int)}
		b := newBucket(t, counted, replicas.Options{})
		readOn(t, b, e) // has it look for manifests
		synctest.Wait()
		counted.counts()
		for range 40 {
			if got := readOn(t, b, e); got != "content"[1:] {
				t.Errorf("read %q", got)
			}
		}
		if keys := counted.counts(); keys["hot"] != 10 || keys[m.Copies[2].Key] != 10 {
			t.Errorf("reads went to %v", keys)
		}
		for range 8 { // an open must not take it for the answer that the name still means this, unless it came from the original
			begun := time.Now()
			if got := readFrom(t, b, e, 0); got != "content" {
				t.Errorf("read %q", got)
			}
			keys := counted.counts()
			if got := objstore.ReadFromCopy(b, objstore.VersionOf(b, e), begun); got != (keys["hot"] == 0) {
				t.Errorf("read from %v, from a copy: %v", keys, got)
			}
			time.Sleep(time.Nanosecond)
		}
		if objstore.ReadFromCopy(b, objstore.VersionOf(b, e), time.Now()) || objstore.ReadFromCopy(counted, objstore.VersionOf(b, e), time.Time{}) {
			t.Error("what nobody has read was read from a copy")
		}
		other := put(t, store, "hot", "another")
		for range 8 {
			if got := readOn(t, b, other); got != "another"[1:] {
				t.Errorf("read %q", got)
			}
		}
		if keys := counted.counts(); keys["hot"] != 8 {
			t.Errorf("what was written over the original is read from %v", keys)
		}
		if _, err := replicas.Make(t.Context(), store, other, replicas.Plan{Copies: 1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		readOn(t, b, other)
		synctest.Wait()
		counted.counts()
		readOn(t, b, other)
		readOn(t, b, other)
		if keys := counted.counts(); len(keys) != 2 {
			t.Errorf("a minute later, reads go to %v", keys)
		}
	})
}

// A copy that is gone, has another content, fails, or breaks in the middle is read from the original.
func TestFallsBack(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	for name, spoil := range map[string]func(t *testing.T, store *memstore.Store, direct *faultstore.Store, copy string){
		"gone": func(t *testing.T, store *memstore.Store, _ *faultstore.Store, copy string) {
			if err := store.Delete(t.Context(), copy); err != nil {
				t.Fatal(err)
			}
		},
		"another": func(t *testing.T, store *memstore.Store, _ *faultstore.Store, copy string) {
			put(t, store, copy, strings.ToUpper(content)+"!")
		},
		"failing": func(_ *testing.T, _ *memstore.Store, direct *faultstore.Store, copy string) {
			direct.Add(faultstore.Fault{Op: objstore.OpOpen, Key: copy, Err: objstore.ErrThrottled})
		},
		"breaking": func(_ *testing.T, _ *memstore.Store, direct *faultstore.Store, copy string) {
			direct.Add(faultstore.Fault{Op: objstore.OpOpen, Key: copy, Body: faultstore.Body{After: 4321, Err: io.ErrUnexpectedEOF}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New("bucket")
				e := put(t, store, "hot", content)
				m, err := replicas.Make(t.Context(), store, e, replicas.Plan{Copies: 1})
				if err != nil {
					t.Fatal(err)
				}
				direct := faultstore.New(store)
				b := newBucket(t, store, replicas.Options{Direct: direct})
				readOn(t, b, e)
				synctest.Wait()
				spoil(t, store, direct, m.Copies[0].Key)
				for range 4 {
					if got := readOn(t, b, e); got != content[1:] {
						t.Errorf("%d bytes, which are not the object's", len(got))
					}
				}
				want := map[string]int64{"gone": 1, "another": 1, "failing": 2, "breaking": 2}[name] // a copy that is not what it should be is not asked again
				if _, fellBack := b.Stats(); fellBack != want {
					t.Errorf("%d of 4 reads went back to the original, should be %d", fellBack, want)
				}
			})
		})
	}
}

// A manifest that names keys which are no copies of its object, or is none, is not used.
func TestForgedManifests(t *testing.T) {
	other, numbered := replicas.CopyKey("other", 1), replicas.CopyKey("hot", 2)
	for _, forged := range []string{
		`{"key":"hot","etag":"HOT","size":7,"copies":[{"key":"secret","etag":"SECRET"}]}`,
		`{"key":"hot","etag":"HOT","size":7,"copies":[{"key":"a/.headrace/replicas/x/hot","etag":"SECRET"}]}`,
		`{"key":"hot","etag":"HOT","size":7,"copies":[{"key":"` + other + `","etag":"SECRET"}]}`,
		`{"key":"hot","etag":"HOT","size":7,"copies":[{"key":"` + numbered + `","etag":"SECRET"}]}`,
		`{"key":"hot","etag":"HOT","size":7,"begun":-1}`,
		`{"key":"hot","etag":"HOT","size":7,"begun":1000000}`,
		`{"key":"secret","etag":"HOT","size":7}`,
		`{"key":"hot","etag":"HOT","size":-7}`,
		`{`, `[]`, `null`, ` `, strings.Repeat("x", 600<<10),
	} {
		synctest.Test(t, func(t *testing.T) {
			store := memstore.New("bucket")
			e := put(t, store, "hot", "content")
			for _, key := range []string{"secret", "a/.headrace/replicas/x/hot", other, numbered} {
				put(t, store, key, "keyword")
			}
			secret := put(t, store, "secret", "keyword")
			put(t, store, replicas.ManifestKey("hot"), strings.NewReplacer("HOT", e.ETag, "SECRET", secret.ETag).Replace(forged))
			b := newBucket(t, store, replicas.Options{})
			for range 4 {
				if got := readOn(t, b, e); got != "content"[1:] {
					t.Errorf("%.80s: read %q", forged, got)
				}
				synctest.Wait()
			}
			// It is put right by making copies, and by removing them.
			if m, err := replicas.Make(t.Context(), store, e, replicas.Plan{Copies: 1}); err != nil || len(m.Copies) != 1 {
				t.Errorf("%.80s: made %+v, %v", forged, m, err)
			}
			put(t, store, replicas.ManifestKey("hot"), forged)
			if _, err := replicas.Make(t.Context(), store, e, replicas.Plan{}); err != nil {
				t.Errorf("%.80s: removed: %v", forged, err)
			}
			for _, key := range keys(t, store) {
				if key == replicas.ManifestKey("hot") || key == replicas.CopyKey("hot", 1) {
					t.Errorf("%.80s: %s is left", forged, key)
				}
			}
		})
	}
}

// What cannot be said in a manifest, or has copies with keys that no store takes, has no copies, and nothing is written
// for it. The longest manifest there can be is read again.
func TestMakeLimits(t *testing.T) {
	b := memstore.New("bucket")
	for _, key := range []string{strings.Repeat("x", 1000), "a\xff"} {
		e := put(t, b, key, "content")
		if _, err := replicas.Make(t.Context(), b, e, replicas.Plan{Copies: 1}); !errors.Is(err, objstore.ErrInvalid) {
			t.Errorf("%.9q: %v", key, err)
		}
		if got := keys(t, b); len(got) != 1 {
			t.Errorf("%.9q: the bucket has %d keys", key, len(got))
		}
		if err := b.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	e := put(t, b, strings.Repeat("&", 990), "content")
	if _, err := replicas.Make(t.Context(), b, e, replicas.Plan{Copies: replicas.MaxCopies}); err != nil {
		t.Fatal(err)
	}
	if _, err := replicas.Make(t.Context(), b, e, replicas.Plan{}); err != nil || len(keys(t, b)) != 1 {
		t.Errorf("%d keys are left, %v", len(keys(t, b)), err)
	}
}

// A key of a copy or manifest is told from others.
func TestOwn(t *testing.T) {
	for key, want := range map[string]bool{
		replicas.ManifestKey("a"): true, replicas.CopyKey("a/b", 7): true, "a": false, "0cc175/a": false, "x/.headrace/replicas/1/a": false, "0cc175/": false,
	} {
		if replicas.Own(key) != want {
			t.Errorf("%s is ours: %v", key, !want)
		}
	}
}
