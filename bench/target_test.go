package bench

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// keeping is a bucket of which nothing can be removed, and that says so only to who gives up.
type keeping struct{ objstore.Bucket }

func (k keeping) Delete(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// A run that was interrupted tells soon what it could not remove; one that came to its end tries for longer.
func TestCleaningEnds(t *testing.T) {
	for interrupted, bound := range map[bool]time.Duration{true: hurriedDeadline, false: cleanDeadline} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if interrupted {
				cancel()
			}
			m := &maker{bucket: keeping{memstore.New("b")}, prefix: "p/", made: []string{"p/a", "p/b"}}
			begun := time.Now()
			err := (&target{maker: m}).close(ctx)
			if left, ok := errors.AsType[*LeftoverError](err); !ok || left.Objects != 2 {
				t.Errorf("interrupted %v: %v", interrupted, err)
			}
			if took := time.Since(begun); took != bound {
				t.Errorf("interrupted %v: it took %v", interrupted, took)
			}
		})
	}
}
