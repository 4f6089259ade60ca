package faultstore_test

import (
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/objstoretest"
)

// Without faults the store below shows through.
func TestConformance(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Bucket { return faultstore.New(memstore.New("bucket")) }, objstoretest.Quirks{})
}
