package fs

import (
	"testing"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// TestVersionAttributesWhileItChanges reads the attributes of a file while what is written of it is stored. It is for
// the race detector: half of one ETag and half of another would be no version's.
func TestVersionAttributesWhileItChanges(t *testing.T) {
	etags := []string{"one", "another"}
	v := &volume{bucket: memstore.New("bucket")}
	root := newRoot(v, "")
	n := newNode(2, root, v, names.Item{Name: "file", Key: "file", Entry: objstore.Entry{Key: "file", ETag: etags[0], Size: 1}})
	f := &fileSystem{cfg: Config{Cached: func(objstore.Version) int64 { return 1 }}}
	const rounds = 1000
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		for i := range rounds {
			n.mu.Lock()
			n.etag, n.storageClass = etags[i%2], etags[i%2]
			n.mu.Unlock()
		}
	}()
	for range rounds {
		for _, name := range f.attrNames(n) {
			value, ok := f.attrValue(n, name)
			if !ok {
				t.Fatalf("no %s", name)
			}
			if name == attrETag && value != etags[0] && value != etags[1] {
				t.Fatalf("the ETag is %q", value)
			}
		}
	}
	<-stored
}
