package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/headrace/headrace/objstore"
)

// The demo's dataset: one of each thing people keep in buckets, small enough to be there in a moment.
const (
	demoImages     = 200     // small files in one directory
	demoImageSize  = 100_000 // bytes
	demoWeights    = 64 * mib
	demoSeed       = 1 // the content is the same each time, so that checksums can be compared
	demoLabelLines = 1000
)

// demoObjects yields the dataset's objects: key and content.
func demoObjects(yield func(key string, content []byte) bool) {
	random := rand.NewChaCha8([32]byte{demoSeed})
	fill := func(size int) []byte {
		content := make([]byte, size)
		random.Read(content) // never fails, by its documentation
		return content
	}
	if !yield("README.txt", []byte("Every file here is an ordinary object of an S3 bucket, under the same name.\n")) {
		return
	}
	for i := range demoImages {
		if !yield(fmt.Sprintf("images/train/%04d.jpg", i), fill(demoImageSize)) {
			return
		}
	}
	var labels strings.Builder
	for i := range demoLabelLines {
		fmt.Fprintf(&labels, "%04d,%d\n", i, i%10)
	}
	if !yield("images/labels.csv", []byte(labels.String())) {
		return
	}
	yield("models/weights.bin", fill(demoWeights))
}

// storeDataset puts the dataset into b.
func storeDataset(ctx context.Context, b objstore.Putter) error {
	for key, content := range demoObjects {
		if _, err := b.Put(ctx, key, bytes.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{}); err != nil {
			return err
		}
	}
	return nil
}
