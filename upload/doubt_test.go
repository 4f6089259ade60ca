package upload

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// What is written after an attempt of which nobody heard the answer is stored over what that has made, which is nobody
// else's; what is somebody else's stays.
func TestChangedAfterDoubt(t *testing.T) {
	for _, size := range []int{1000, 300_000} {
		for name, change := range map[string]func(f *File, content []byte) []byte{
			"appended": func(f *File, content []byte) []byte {
				if err := f.WriteAt(t.Context(), []byte("more"), int64(len(content))); err != nil {
					t.Error(err)
				}
				return append(content, "more"...)
			},
			"changed": func(f *File, content []byte) []byte {
				if err := f.WriteAt(t.Context(), []byte("more"), 5); err != nil {
					t.Error(err)
				}
				return append(append(content[:5:5], "more"...), content[9:]...)
			},
			"cut": func(f *File, content []byte) []byte {
				if err := f.Truncate(t.Context(), 10); err != nil {
					t.Error(err)
				}
				return content[:10]
			},
		} {
			for _, others := range []bool{false, true} {
				r := newRig(t, nil)
				op := objstore.OpPut
				if size > 64<<10 {
					op = objstore.OpCompleteUpload
				}
				r.bucket.Add(faultstore.Fault{Op: op, Times: 1, Lost: objstore.ErrTimeout})
				f := r.open("key", true)
				content := text(size, 1)
				r.write(f, content, 0)
				if _, err := f.Publish(t.Context()); !errors.Is(err, objstore.ErrTimeout) {
					t.Fatal(err)
				}
				if others {
					r.put("key", text(size, 9))
				}
				want := change(f, content)
				_, err := f.Publish(t.Context())
				if errors.Is(err, objstore.ErrNotExist) { // the multipart upload, which has come to its end; the next attempt begins another
					_, err = f.Publish(t.Context())
				}
				switch {
				case others && !errors.Is(err, objstore.ErrChanged):
					t.Errorf("%s, of somebody else's: %v", name, err)
				case others:
					want = text(size, 9)
				case err != nil:
					t.Errorf("%s: %v", name, err)
				}
				if got := r.stored("key"); !bytes.Equal(got, want) {
					t.Errorf("%s of %d bytes, others %v: %d bytes are stored, and not those", name, size, others, len(got))
				}
				if f.Close(); !others {
					r.settled()
				}
			}
		}
	}
}

// So it is after a crash of the mount that has found out.
func TestChangedAfterDoubtCrashes(t *testing.T) {
	r := newRig(t, nil)
	asked := make(chan struct{})
	r.bucket.Add(
		faultstore.Fault{Op: objstore.OpPut, Times: 1, Lost: objstore.ErrTimeout},
		faultstore.Fault{Op: objstore.OpPut, Times: 1, Before: func(ctx context.Context) error {
			close(asked)
			<-ctx.Done()
			return ctx.Err()
		}},
	)
	f := r.open("key", true)
	r.write(f, []byte("text"), 0)
	if _, err := f.Publish(t.Context()); !errors.Is(err, objstore.ErrTimeout) {
		t.Fatal(err)
	}
	r.write(f, []byte("more"), 4)
	f.Close()
	<-asked
	r.remount(nil)
	r.settled()
	if got := r.stored("key"); string(got) != "textmore" {
		t.Errorf("%q is stored", got)
	}
}
