package memstore_test

import (
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/objstoretest"
)

// Memstore refuses nothing.
func TestConformance(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Bucket { return memstore.New("bucket") }, objstoretest.Quirks{})
}
