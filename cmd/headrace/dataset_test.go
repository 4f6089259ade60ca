package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// recorder takes objects and remembers what they were.
type recorder struct {
	sums  map[string][sha256.Size]byte
	limit int // objects after which it refuses
}

func (r *recorder) Put(_ context.Context, key string, body io.ReadSeeker, size int64, _ objstore.Condition, _ objstore.Attributes) (objstore.Entry, error) {
	if len(r.sums) == r.limit {
		return objstore.Entry{}, objstore.ErrQuota
	}
	content, err := io.ReadAll(body)
	if err == nil && int64(len(content)) != size {
		err = io.ErrUnexpectedEOF
	}
	r.sums[key] = sha256.Sum256(content)
	return objstore.Entry{}, err
}

func TestDatasetIsTheSameEachTime(t *testing.T) {
	var runs [2]recorder
	for i := range runs {
		runs[i] = recorder{sums: map[string][sha256.Size]byte{}, limit: -1}
		if err := storeDataset(t.Context(), &runs[i]); err != nil {
			t.Fatal(err)
		}
	}
	distinct := map[[sha256.Size]byte]bool{}
	for key, sum := range runs[0].sums {
		distinct[sum] = true
		if runs[1].sums[key] != sum {
			t.Errorf("%s differs from run to run", key)
		}
	}
	if want := demoImages + 3; len(runs[0].sums) != want || len(distinct) != want {
		t.Errorf("%d objects, %d contents; want %d of each", len(runs[0].sums), len(distinct), want)
	}
}

func TestDatasetStopsAtTheFirstRefusal(t *testing.T) {
	r := recorder{sums: map[string][sha256.Size]byte{}, limit: 3}
	if err := storeDataset(t.Context(), &r); !errors.Is(err, objstore.ErrQuota) || len(r.sums) != 3 {
		t.Errorf("%v after %d objects", err, len(r.sums))
	}
}
