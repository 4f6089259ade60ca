package objstore

import (
	"context"
	"errors"
	"sync/atomic"
)

// Holds tells whether the key of v holds that version: false for nothing, ErrChanged for something else.
func Holds(ctx context.Context, b Bucket, v Version) (bool, error) {
	e, err := b.Stat(ctx, v.Key)
	switch {
	case errors.Is(err, ErrNotExist):
		return false, nil
	case err == nil && e.ETag != v.ETag:
		err = ErrChanged
	}
	return err == nil, err
}

// VersionRemover removes objects under the condition that they are still what was seen of them, and learns where a
// store refuses it or takes it for something else: one is for one store. That a store ignores it, nothing tells but a
// probe. The zero value is ready.
type VersionRemover struct {
	Refused func(error) // is told, once, that the store removes nothing under a condition, and why; nil for nobody

	unconditional atomic.Bool
}

// Remove removes v, which its key held when [Holds] was asked just before: nil when it holds nothing any more,
// ErrChanged when it holds something else. Where the store knows no condition, what somebody else puts there in the
// moment between is lost.
func (r *VersionRemover) Remove(ctx context.Context, b Bucket, v Version) error {
	deleter, ok := AsVersionDeleter(b)
	if !ok || r.unconditional.Load() {
		return b.Delete(ctx, v.Key)
	}
	err := deleter.DeleteVersion(ctx, v)
	switch {
	case errors.Is(err, ErrChanged): // or the condition is not understood, or it is the second try of a removal whose answer was lost
		if there, err := Holds(ctx, b, v); err != nil || !there {
			return err
		}
	case !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrInvalid):
		return err
	}
	if !r.unconditional.Swap(true) && r.Refused != nil {
		r.Refused(err)
	}
	return b.Delete(ctx, v.Key)
}
