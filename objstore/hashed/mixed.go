package hashed

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/headrace/headrace/objstore"
)

// foreign is what was found of keys that are not in the form.
type foreign struct {
	mu    sync.Mutex // guards what follows
	count int        // at least
	first string
}

// ours is what the keys of headrace's own objects begin with, which are not hashed: manifests of copies.
const ours = ".headrace/"

func (f *foreign) add(key string) {
	if strings.HasPrefix(key, ours) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; f.first == "" {
		f.first = key
	}
}

// gaps are the ends of the runs of keys that begin with a hex digit: what comes next in the order of bytes is no stored key, unless it begins with one again.
var gaps = []string{"", "9\xff", "f\xff"}

// look looks for keys that begin with no hex digit, by a listing of one key for each gap.
func (f *foreign) look(ctx context.Context, b objstore.Bucket) error {
	for _, after := range gaps {
		for page, err := range b.List(ctx, objstore.ListOptions{StartAfter: after, PageSize: 1}) {
			if err != nil {
				return err
			}
			for _, e := range page.Entries {
				if !strings.ContainsRune("0123456789abcdef", rune(e.Key[0])) {
					f.add(e.Key)
				}
			}
			break
		}
	}
	return nil
}

// tell says that there are some, and what to do.
func (f *foreign) tell(log *slog.Logger, bucket, prefix string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count > 0 {
		log.Warn("the bucket mixes layouts: some of its keys are not hashed, and are not shown", "bucket", bucket, "for example", f.first,
			"to change that", fmt.Sprintf("headrace keys migrate s3://%s/%s", bucket, prefix))
	}
}

// LooksHashed tells whether all of some keys of a bucket, three at least, are in the form: whoever mounts it as it is will want to know.
func LooksHashed(entries []objstore.Entry) bool {
	for _, e := range entries {
		if _, ok := Decode(e.Key); !ok {
			return false
		}
	}
	return len(entries) >= 3
}
