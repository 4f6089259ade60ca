package replicas_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
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

func read(t *testing.T, b objstore.Bucket, e objstore.Entry) string {
	t.Helper()
	body, err := b.Open(t.Context(), objstore.VersionOf(b, e), objstore.Range{Len: e.Size})
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

// Copies lie under different hashes, in the form of hashed keys; there are as many as were asked for, and none when none are.
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
	keys map[string]int
}

func (o *opened) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	o.keys[v.Key]++
	return o.Bucket.Open(ctx, v, r)
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
		read(t, b, e) // has it look for manifests
		synctest.Wait()
		clear(counted.keys)
		for range 40 {
			if got := read(t, b, e); got != "content" {
				t.Errorf("read %q", got)
			}
		}
		if counted.keys["hot"] != 10 || counted.keys[m.Copies[2].Key] != 10 {
			t.Errorf("reads went to %v", counted.keys)
		}
		other := put(t, store, "hot", "another")
		clear(counted.keys)
		for range 8 {
			if got := read(t, b, other); got != "another" {
				t.Errorf("read %q", got)
			}
		}
		if counted.keys["hot"] != 8 {
			t.Errorf("what was written over the original is read from %v", counted.keys)
		}
		if _, err := replicas.Make(t.Context(), store, other, replicas.Plan{Copies: 1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		read(t, b, other)
		synctest.Wait()
		clear(counted.keys)
		read(t, b, other)
		read(t, b, other)
		if len(counted.keys) != 2 {
			t.Errorf("a minute later, reads go to %v", counted.keys)
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
				read(t, b, e)
				synctest.Wait()
				spoil(t, store, direct, m.Copies[0].Key)
				for range 4 {
					if got := read(t, b, e); got != content {
						t.Errorf("%d bytes, which are not the object's", len(got))
					}
				}
				if _, fellBack := b.Stats(); fellBack != 2 {
					t.Errorf("%d reads went back to the original, should be 2 of 4", fellBack)
				}
			})
		})
	}
}

// A manifest that names keys which are no copies of its object, or is none, is not used.
func TestForgedManifests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New("bucket")
		e := put(t, store, "hot", "content")
		secret := put(t, store, "secret", "keyword")
		forged := strings.NewReplacer("HOT", e.ETag, "SECRET", secret.ETag).Replace(`{"key":"hot","etag":"HOT","size":7,"copies":[{"key":"secret","etag":"SECRET"}]}`)
		put(t, store, replicas.ManifestKey("hot"), forged)
		put(t, store, replicas.ManifestKey("other"), "{")
		put(t, store, replicas.Prefix+"any.json", strings.Repeat("x", 100<<10))
		b := newBucket(t, store, replicas.Options{})
		for range 4 {
			if got := read(t, b, e); got != "content" {
				t.Errorf("read %q", got)
			}
			synctest.Wait()
		}
	})
}
