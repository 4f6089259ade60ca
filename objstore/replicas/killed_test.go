package replicas_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/replicas"
)

// dying lets so many writes through, and then none: as of a process that was killed.
type dying struct {
	objstore.Bucket
	left int
}

var errKilled = errors.New("killed")

func (d *dying) write() error {
	if d.left == 0 {
		return errKilled
	}
	d.left--
	return nil
}

func (d *dying) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	if err := d.write(); err != nil {
		return objstore.Entry{}, err
	}
	return d.Bucket.Put(ctx, key, body, size, cond, attrs)
}

func (d *dying) Copy(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) (objstore.Entry, error) {
	if err := d.write(); err != nil {
		return objstore.Entry{}, err
	}
	return d.Bucket.Copy(ctx, key, src, cond)
}

func (d *dying) Delete(ctx context.Context, key string) error {
	if err := d.write(); err != nil {
		return err
	}
	return d.Bucket.Delete(ctx, key)
}

// Whatever write the maker of copies dies at, readers get the right bytes, and the next run leaves exactly what is
// wanted: no copy is forgotten, also when the object has gone.
func TestKilled(t *testing.T) {
	for _, c := range []struct{ from, to, then int }{{0, 3, 0}, {0, 3, 1}, {3, 0, 0}, {3, 1, 0}, {3, 1, 1}, {1, 4, 2}} {
		for writes := 0; ; writes++ {
			store := memstore.New("bucket")
			e := put(t, store, "hot", "content")
			if _, err := replicas.Make(t.Context(), store, e, replicas.Plan{Copies: c.from}); err != nil {
				t.Fatal(err)
			}
			d := &dying{Bucket: store, left: writes}
			_, err := replicas.Make(t.Context(), d, e, replicas.Plan{Copies: c.to})
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				b := newBucket(t, store, replicas.Options{})
				for range 6 {
					if got := readOn(t, b, e); got != "content"[1:] {
						t.Errorf("%+v, killed at write %d: read %q", c, writes, got)
					}
					synctest.Wait()
				}
				if _, fellBack := b.Stats(); fellBack != 0 {
					t.Errorf("%+v, killed at write %d: the manifest names a copy that is not there", c, writes)
				}
			})
			if c.then == 0 {
				if err := store.Delete(t.Context(), "hot"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := replicas.Make(t.Context(), store, e, replicas.Plan{Copies: c.then}); err != nil {
				t.Errorf("%+v, killed at write %d, and again: %v", c, writes, err)
			}
			want := []string{}
			if c.then > 0 {
				want = append(want, "hot", replicas.ManifestKey("hot"))
			}
			for n := range c.then {
				want = append(want, replicas.CopyKey("hot", n+1))
			}
			got := keys(t, store)
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Errorf("%+v, killed at write %d: %q is left, should be %q", c, writes, got, want)
			}
			if err == nil {
				break
			}
		}
	}
}
