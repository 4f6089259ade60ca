package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// late has the next attempt not be answered, and come to the store only when it is asked to store the file for so many
// times more: between the look and the write. It returns the bytes that the attempt was of.
func (r *rig) late(f *File, op objstore.Op, key string, others []byte, wait int) []byte {
	r.t.Helper()
	r.bucket.Add(faultstore.Fault{Op: op, Times: 1, Lost: objstore.ErrTimeout})
	if _, err := f.Store(r.t.Context()); !errors.Is(err, objstore.ErrTimeout) {
		r.t.Fatal(err)
	}
	content := r.stored(key)
	if err := r.store.Delete(r.t.Context(), key); err != nil {
		r.t.Fatal(err)
	}
	arrives := content
	if others != nil {
		arrives = others
	}
	r.bucket.Add(faultstore.Fault{Op: op, Skip: wait, Times: 1, Before: func(context.Context) error {
		r.put(key, arrives)
		return nil
	}})
	return content
}

// A write of which nobody heard the answer, and which comes to the store after it was looked whether it had, is our
// own, however the file was changed since; what is somebody else's is not.
func TestLateWrite(t *testing.T) {
	ops := map[int]objstore.Op{1000: objstore.OpPut, 300_000: objstore.OpCompleteUpload}
	for size, op := range ops {
		for name, change := range map[string]func(f *File, content []byte) []byte{
			"unchanged": func(_ *File, content []byte) []byte { return content },
			"appended": func(f *File, content []byte) []byte {
				return must(t, f, content, text(10, 3), len(content))
			},
			"rewritten": func(f *File, content []byte) []byte {
				return must(t, f, content, text(size, 5), 0)
			},
			"emptied, and written": func(f *File, content []byte) []byte {
				if err := f.Truncate(t.Context(), 0); err != nil {
					t.Error(err)
				}
				return must(t, f, nil, text(size/2, 5), 0)
			},
		} {
			for _, others := range [][]byte{nil, text(size, 9)} {
				t.Run(fmt.Sprintf("%d bytes, %s, others %v", size, name, others != nil), func(t *testing.T) {
					r := newRig(t, nil)
					f := r.open("key", true)
					r.write(f, text(size, 1), 0)
					want := change(f, r.late(f, op, "key", others, 0))
					for n := 0; ; n++ {
						_, err := f.Publish(t.Context())
						if errors.Is(err, objstore.ErrNotExist) && n < 2 { // the multipart upload, which has come to its end
							continue
						}
						if errors.Is(err, objstore.ErrChanged) != (others != nil) || others == nil && err != nil {
							t.Fatal(err)
						}
						break
					}
					if others != nil {
						want = others
					}
					if got := r.stored("key"); !bytes.Equal(got, want) {
						t.Errorf("%d bytes are stored, and not those", len(got))
					}
					if f.Close(); others == nil {
						r.settled()
					}
				})
			}
		}
	}
}

// must writes, here and to a copy.
func must(t *testing.T, f *File, content, p []byte, off int) []byte {
	t.Helper()
	if err := f.WriteAt(t.Context(), p, int64(off)); err != nil {
		t.Error(err)
	}
	content = append(bytes.Clone(content), make([]byte, max(0, off+len(p)-len(content)))...)
	copy(content[off:], p)
	return content
}

// So it is with the earlier of several, and after a crash.
func TestLateWrites(t *testing.T) {
	for _, crash := range []bool{false, true} {
		r := newRig(t, nil)
		f := r.open("key", true)
		r.write(f, text(1000, 1), 0)
		first := r.late(f, objstore.OpPut, "key", nil, 1)
		want := must(t, f, first, text(1000, 2), 0)
		if crash {
			r.bucket.Clear()
			asked, life := make(chan struct{}), r.life
			r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Before: func(context.Context) error {
				close(asked)
				<-life.Done() // the mount dies before the answer
				return objstore.ErrTimeout
			}})
			f.Close()
			<-asked
			store := r.store
			r.remountWith(nil, func() {
				r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Before: func(context.Context) error {
					_, err := store.Put(context.Background(), "key", bytes.NewReader(first), int64(len(first)), objstore.Condition{}, objstore.Attributes{})
					return err
				}})
			})
			r.settled()
		} else {
			r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Err: objstore.ErrTimeout})
			if _, err := f.Publish(t.Context()); !errors.Is(err, objstore.ErrTimeout) {
				t.Fatal(err)
			}
			want = must(t, f, want, text(1000, 3), 0)
			r.publish(f)
			f.Close()
			r.settled()
		}
		if got := r.stored("key"); !bytes.Equal(got, want) {
			t.Errorf("crash %v: %d bytes are stored, and not those", crash, len(got))
		}
	}
}

// An attempt is looked for only where its object can be told from another: nothing is downloaded for the others.
func TestKnowable(t *testing.T) {
	some := ranges{{Off: 0, Len: 5}}
	now := content{size: 5, changes: 2, local: some}
	for name, c := range map[string]struct {
		a    unanswered
		want bool
	}{
		"of what the file is now":            {unanswered{size: 5, changes: 2, bytes: some}, true},
		"of what it was, with a sum":         {unanswered{size: 5, changes: 1, bytes: some, summed: true}, true},
		"of what it was, too large to sum":   {unanswered{size: 5, changes: 1, bytes: some}, false},
		"of another object's bytes":          {unanswered{size: 5, changes: 1, summed: true}, false},
		"of an empty file that it was":       {unanswered{changes: 1, summed: true}, true},
		"of an empty file, in an old record": {unanswered{changes: -1, summed: true}, true},
	} {
		if got := c.a.knowable(now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	now.released = some // which only that object has
	if (unanswered{size: 5, changes: 1, bytes: some, summed: true}).knowable(now) {
		t.Error("what was let go would be lost")
	}
	many := make([]unanswered, 2*maxUnanswered)
	many[len(many)-1].size = 7
	if left := latest(many); len(left) != maxUnanswered || left[maxUnanswered-1].size != 7 {
		t.Errorf("%d attempts are remembered", len(left))
	}
}
