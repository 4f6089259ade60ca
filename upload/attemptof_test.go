package upload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// However many attempts had no answer, what the key holds is read once to tell which of them it is of; so it is where
// it is of none.
func TestAttemptsAreTriedByOneReading(t *testing.T) {
	const size = 600_000 // of several pieces
	for name, which := range map[string]int{"the first": 0, "the second": 1, "the last": 4, "none": -1} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.sizes = storeSizes
			f := r.open("key", true)
			r.write(f, text(size, 1), 0)
			var contents [][]byte
			content := text(size, 1)
			for n := range 5 {
				content = must(t, f, content, text(9000, byte(n+2)), n*100_000)
				contents = append(contents, content)
				r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Lost: objstore.ErrTimeout})
				if _, err := f.Store(t.Context()); !errors.Is(err, objstore.ErrTimeout) {
					t.Fatal(err)
				}
				if err := r.store.Delete(t.Context(), "key"); err != nil {
					t.Fatal(err)
				}
			}
			there := text(size, 77)
			if which >= 0 {
				there = contents[which]
			}
			r.put("key", there)
			if err := f.turn.hold(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, found, err := f.find(t.Context())
			f.turn.release()
			if err != nil || (found != nil) != (which >= 0) || found != nil && found.changes != int64(which+2) {
				t.Errorf("it is %+v, %v", found, err)
			}
			if n := r.bucket.Count(objstore.OpOpen); n != 1 {
				t.Errorf("it is read %d times", n)
			}
			if err := r.store.Delete(t.Context(), "key"); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Publish(t.Context()); err != nil || !bytes.Equal(r.stored("key"), content) {
				t.Error(err)
			}
			f.Close()
			r.settled()
		})
	}
}

// An object that is none of the attempts is not read on once that is known.
func TestReadingEndsWithTheLastAttempt(t *testing.T) {
	const size = 8 * compareUnit
	own, others := text(size, 1), text(size, 2)
	r := newRig(t, nil)
	r.put("key", others)
	e, err := r.store.Stat(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	readings := []*reading{{bytes: ranges{{Len: size}}, data: bytes.NewReader(own)}}
	seen := &countedBucket{Bucket: r.store}
	if err := readOnce(t.Context(), seen, objstore.VersionOf(r.store, e), objstore.Range{Len: size}, readings); err != nil || !readings[0].other {
		t.Errorf("differs: %v, %v", readings[0].other, err)
	}
	if seen.read > 2*compareUnit {
		t.Errorf("%d bytes of %d are read", seen.read, size)
	}
	r.settled()
}

// countedBucket counts what is read of its objects.
type countedBucket struct {
	objstore.Bucket
	read int
}

func (c *countedBucket) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	body, err := c.Bucket.Open(ctx, v, r)
	return &countedBody{body, c}, err
}

type countedBody struct {
	io.ReadCloser
	of *countedBucket
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.read += n
	return n, err
}
