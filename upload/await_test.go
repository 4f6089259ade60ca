package upload

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// Nobody waits for ever: for what is stored or moved without progress, as long as close(2) does; where there is some,
// longer.
func TestWaitsEnd(t *testing.T) {
	const timeout = time.Minute
	stuck := faultstore.Fault{Op: objstore.OpPut, Before: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	ctx := context.Background()
	for name, wait := range map[string]func(r *rig, f *File) error{
		"hold, of what is being stored": func(r *rig, f *File) error {
			f.begin()
			_, err := r.Hold(ctx, r.bucket, "key")
			return err
		},
		"rename, of what is being stored": func(r *rig, f *File) error {
			f.begin()
			_, _, err := f.Rename(ctx, ctx, Target{Bucket: r.bucket, Key: "new"}, nil)
			return err
		},
		"publish, while it is held": func(r *rig, f *File) error {
			h, err := r.Hold(ctx, r.bucket, "key")
			if err != nil {
				return err
			}
			defer h.Release()
			_, err = f.Publish(ctx)
			return err
		},
		"publish, while it is withdrawn": func(_ *rig, f *File) error {
			f.Withdraw(ctx)
			defer f.Restore()
			_, err := f.Publish(ctx)
			return err
		},
		"publish, while objects are moved": func(r *rig, f *File) error {
			h, err := r.Hold(ctx, r.bucket, "key")
			if err != nil {
				return err
			}
			defer h.Release()
			began := time.Now()
			time.AfterFunc(timeout/2, func() { r.mover.moved.Store(time.Now().UnixNano()) })
			_, err = f.Publish(ctx)
			if took := time.Since(began); took != timeout*3/2 {
				return errors.New("it has waited for " + took.String())
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Config) { c.CloseTimeout = timeout })
				r.bucket.Add(stuck)
				f := r.open("key", true)
				r.write(f, []byte("text"), 0)
				began := time.Now()
				if err := wait(r, f); !errors.Is(err, objstore.ErrTimeout) {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				r.bucket.Clear()
				f.Discard(t.Context())
				f.Close()
			})
		})
	}
}
