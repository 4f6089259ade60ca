package hashed

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/headrace/headrace/objstore"
)

// foreign is what was found of keys below a prefix that are not in the form.
type foreign struct {
	prefix string

	mu    sync.Mutex // guards what follows
	first string     // "" while none was found
}

// ours is what the keys of headrace's own objects begin with, which are not hashed: manifests of copies.
const ours = ".headrace/"

func (f *foreign) add(key string) {
	if strings.HasPrefix(key, ours) || !strings.HasPrefix(key, f.prefix) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == "" {
		f.first = key
	}
}

// gaps are the ends of the runs of keys that begin with two hex digits: what comes next in the order of bytes lies in
// no shard, unless it begins with two again.
func gaps() []string {
	after := []string{"", ours + "\xff"}
	for _, first := range hexDigits {
		after = append(after, string(first)+"9\xff", string(first)+"f\xff")
	}
	return after
}

// look looks for keys that lie in no shard, by a listing of one key for each gap; below a prefix, where stored keys
// hardly are, by one of a page.
func (f *foreign) look(ctx context.Context, b objstore.Bucket) error {
	asked := []objstore.ListOptions{{Prefix: f.prefix}}
	if f.prefix == "" {
		asked = nil
		for _, after := range gaps() {
			asked = append(asked, objstore.ListOptions{StartAfter: after, PageSize: 1})
		}
	}
	for _, opts := range asked {
		for page, err := range b.List(ctx, opts) {
			if err != nil {
				return err
			}
			for _, e := range page.Entries {
				if _, ok := Decode(e.Key); !ok {
					f.add(e.Key)
				}
			}
			break
		}
	}
	return nil
}

// tell says that there are some, and what to do.
func (f *foreign) tell(log *slog.Logger, bucket string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first != "" {
		log.Warn("the bucket mixes layouts: some of its keys are not hashed, and are not shown", "bucket", bucket, "for example", f.first,
			"to change that", fmt.Sprintf("headrace keys migrate s3://%s/%s", bucket, f.prefix))
	}
}

// LooksHashed tells whether all of some keys of a bucket, three at least, are in the form: whoever mounts it as it is
// will want to know.
func LooksHashed(entries []objstore.Entry) bool {
	for _, e := range entries {
		if _, ok := Decode(e.Key); !ok {
			return false
		}
	}
	return len(entries) >= 3
}
