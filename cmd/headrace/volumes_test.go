package main

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// namedBucket is a bucket of which only the name matters.
type namedBucket struct {
	objstore.Bucket
	name string
}

func TestVolumesOpenEachBucketOnce(t *testing.T) {
	var asked []string
	refuse := true
	v := &volumes{
		list: func(context.Context) ([]string, error) { return []string{"a", "b"}, nil },
		open: func(_ context.Context, name string) (objstore.Bucket, error) {
			asked = append(asked, name)
			if refuse {
				return nil, objstore.ErrThrottled
			}
			return &namedBucket{name: name}, nil
		},
	}
	if names, err := v.List(t.Context()); err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := v.Open(t.Context(), "a"); !errors.Is(err, objstore.ErrThrottled) {
		t.Errorf("got %v", err)
	}
	refuse = false
	first, err := v.Open(t.Context(), "a") // a failure is not remembered
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.Open(t.Context(), "a")
	if err != nil || again != first || !slices.Equal(asked, []string{"a", "a"}) {
		t.Errorf("opened anew: asked for %v, %v", asked, err)
	}
}

func TestNamedVolumesAreAllThereIs(t *testing.T) {
	v := &volumes{
		named: []string{"a"},
		list:  func(context.Context) ([]string, error) { return nil, objstore.ErrPermission },
		open:  func(_ context.Context, name string) (objstore.Bucket, error) { return &namedBucket{name: name}, nil },
	}
	if names, err := v.List(t.Context()); err != nil || !slices.Equal(names, []string{"a"}) {
		t.Errorf("%v, %v", names, err)
	}
	if b, err := v.Open(t.Context(), "a"); err != nil || b == nil {
		t.Errorf("%v, %v", b, err)
	}
	if _, err := v.Open(t.Context(), "b"); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("a bucket that is not shown was opened: %v", err)
	}
}
