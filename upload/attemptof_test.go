package upload

import (
	"bytes"
	"errors"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// However many attempts had no answer, what the key holds is read once to tell which of them it is of; so it is where it is of none.
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
