package upload

import (
	"context"
	"os"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// taker is an adoption that calls it to take a file over.
type taker func()

func (t taker) Take() (shared bool) { t(); return false }
func (taker) Leave()                {}

// TestCarry: a file that is being taken over while the store gives it another key goes by that in the end, whichever of
// the two is ready first.
func TestCarry(t *testing.T) {
	for _, late := range []bool{false, true} {
		ctx := context.Background()
		taking, take, taken := make(chan objstore.Version, 1), make(chan struct{}), make(chan [2]objstore.Version, 2)
		r := newRig(t, func(c *Config) {
			c.Adopt = func(v objstore.Version, _ *os.File) Adoption {
				return taker(func() { taking <- v; <-take })
			}
			c.Renamed = func(from, to objstore.Version) { taken <- [2]objstore.Version{from, to} }
		})
		f := r.open("old", true)
		r.write(f, []byte("content"), 0)
		r.publish(f)
		f.Close()
		v := <-taking
		hold, err := r.Hold(ctx, r.bucket, "old")
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.MoveObject(ctx, r.bucket, v, "new", objstore.Condition{IfNew: true})
		if err != nil {
			t.Fatal(err)
		}
		want := [2]objstore.Version{v, objstore.VersionOf(r.bucket, e)}
		if got := <-taken; got != want {
			t.Errorf("moving took %v along", got)
		}
		if !late {
			close(take)
		}
		hold.Moved("new", map[string]NewETag{"old": {Old: v.ETag, New: e.ETag}})
		hold.Release()
		if late {
			close(take)
		}
		if got := <-taken; got != want {
			t.Errorf("late %v: taking over ended with %v", late, got)
		}
	}
}
