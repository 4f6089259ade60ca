package fs

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// With write-back, what programs do to a file right after its close costs nothing: it is stored once, under the name
// and with the mode that it has then, and not at all when it is removed.
func TestWriteBackSparesRequests(t *testing.T) {
	create := func(name string) []operation {
		return []operation{{verb: "open", path: name, n: 2}, {verb: "write", n: 1999, fill: 2}, {verb: "close"}}
	}
	for name, test := range map[string]struct {
		then []operation
		want map[objstore.Op]int
		key  string
	}{
		"renamed":             {[]operation{{verb: "rename", path: "tmp", to: "new"}}, map[objstore.Op]int{objstore.OpPut: 1}, "new"},
		"renamed over":        {[]operation{{verb: "rename", path: "tmp", to: "old"}}, map[objstore.Op]int{objstore.OpPut: 1}, "old"},
		"mode, renamed":       {[]operation{{verb: "chmod", path: "tmp", n: 0o600}, {verb: "rename", path: "tmp", to: "new"}}, map[objstore.Op]int{objstore.OpPut: 1}, "new"},
		"mode":                {[]operation{{verb: "chmod", path: "tmp", n: 0o600}}, map[objstore.Op]int{objstore.OpPut: 1}, "tmp"},
		"renamed over itself": {append(create("new"), operation{verb: "rename", path: "tmp", to: "new"}), map[objstore.Op]int{objstore.OpPut: 1}, "new"},
		"removed":             {[]operation{{verb: "unlink", path: "tmp"}}, map[objstore.Op]int{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the clock stands still while anything is done
				w := mountWriteBack(t, &world{modelKind: modelKind{posix: true}})
				w.put(t, "old", text(3000, 1))
				var mu sync.Mutex // guards asked
				asked := map[objstore.Op]int{}
				for _, op := range []objstore.Op{objstore.OpPut, objstore.OpCopy, objstore.OpRename, objstore.OpDelete, objstore.OpCreateUpload} {
					w.bucket.Add(faultstore.Fault{Op: op, Before: func(context.Context) error {
						mu.Lock()
						defer mu.Unlock()
						asked[op]++
						return nil
					}})
				}
				for _, o := range append(create("tmp"), test.then...) {
					w.must(t, o)
				}
				var want []byte
				if test.key != "" {
					want = text(2000, 2)
				}
				if got := w.flushed(t, cmp.Or(test.key, "nothing")); test.key != "" && !bytes.Equal(got, want) {
					t.Errorf("%d bytes are stored", len(got))
				}
				w.machines[0].settle()
				mu.Lock()
				defer mu.Unlock()
				if !maps.Equal(asked, test.want) {
					t.Errorf("it cost %v, should be %v", asked, test.want)
				}
				if got, err := w.store.Stat(t.Context(), "tmp"); (err == nil) != (test.key == "tmp") {
					t.Errorf("under the first name: %+v, %v", got, err)
				}
			})
		})
	}
}

// What is removed, or renamed, after an attempt to store it of which nobody heard the answer does not come to light in
// the bucket under its old name.
func TestChangedInDoubt(t *testing.T) {
	for _, to := range []string{"", "g"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWriteBack(t)
			w.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Key: "f", Times: 1, Lost: objstore.ErrTimeout})
			w.must(t, operation{verb: "open", path: "f", n: 2})
			w.must(t, operation{verb: "write", n: 1999, fill: 2})
			w.must(t, operation{verb: "close"})
			time.Sleep(500 * time.Millisecond) // it was tried, and is not tried again yet
			if to == "" {
				w.must(t, operation{verb: "unlink", path: "f"})
			} else {
				w.must(t, operation{verb: "rename", path: "f", to: to})
				w.want(t, to, text(2000, 2))
			}
			w.want(t, "f", nil)
		})
	}
}

// Of two mounts with write-back that make a lock file, one gets it, where that is to be decided by open.
func TestExclusiveWriteBack(t *testing.T) {
	w := newWriteBack(t)
	won := 0
	for _, m := range w.machines {
		m.fs.cfg.ExclusiveAtOpen = true
		var out fuse.CreateOut
		in := &fuse.CreateIn{InHeader: header(fuse.FUSE_ROOT_ID), Flags: syscall.O_RDWR | syscall.O_CREAT | syscall.O_EXCL, Mode: 0o644}
		if m.fs.Create(nil, in, "lock", &out) == fuse.OK {
			won++
			m.handles[0] = openHandle{out.NodeId, out.Fh, true}
		}
	}
	if won != 1 {
		t.Errorf("%d have the lock", won)
	}
}
