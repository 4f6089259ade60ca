package fs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/upload/journal"
)

// newWriteBack is a mount whose close and fsync return when what was written is safe on the local disk.
func newWriteBack(t *testing.T) *world {
	t.Helper()
	return mountWriteBack(t, &world{})
}

func mountWriteBack(t *testing.T, w *world) *world {
	t.Helper()
	w.root, w.writeBack, w.store = t.TempDir(), true, memstore.New("bucket")
	if err := w.begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.bucket.Clear()
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) put(t *testing.T, key string, content []byte) {
	t.Helper()
	if _, err := w.store.Put(t.Context(), key, bytes.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{}); err != nil {
		t.Fatal(err)
	}
}

// must has the first machine do something, which must succeed; the store need not have heard of it.
func (w *world) must(t *testing.T, o operation) {
	t.Helper()
	if got := w.machines[0].do(o); got.errno != 0 {
		t.Fatalf("%v: %v", o, got.errno)
	}
}

// flushed waits until all is stored, and returns what the bucket has under a key; nil for nothing.
func (w *world) flushed(t *testing.T, key string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if p := w.machines[0].uploads.Flush(ctx, nil); p.Files+p.Renames > 0 {
		t.Fatalf("%+v are not stored", p)
	}
	e, err := w.store.Stat(ctx, key)
	if errors.Is(err, objstore.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, e.Size)
	if _, err := (modelContent{w.store}).ReadAt(ctx, objstore.VersionOf(w.store, e), p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// A rename that fails leaves what it was to replace: that may have been acknowledged, and be on the local disk alone.
func TestFailedRenameKeepsWhatItWasToReplace(t *testing.T) {
	w := newWriteBack(t)
	w.put(t, "f", text(3000, 1))
	w.bucket.Add(
		faultstore.Fault{Op: objstore.OpPut, Key: "g", Err: objstore.ErrTimeout}, faultstore.Fault{Op: objstore.OpCopy, Err: objstore.ErrTimeout},
		faultstore.Fault{Op: objstore.OpRename, Err: objstore.ErrTimeout},
	)
	w.must(t, operation{verb: "open", path: "g", n: 2})
	w.must(t, operation{verb: "write", n: 1999, fill: 2})
	w.must(t, operation{verb: "close"})
	if got := w.machines[0].do(operation{verb: "rename", path: "f", to: "g"}); got.errno == 0 {
		t.Fatal("it was renamed by a store that does not answer")
	}
	w.bucket.Clear()
	if got := w.flushed(t, "g"); !bytes.Equal(got, text(2000, 2)) {
		t.Errorf("what close has acknowledged is gone: %d bytes are stored", len(got))
	}
	if got := w.flushed(t, "f"); !bytes.Equal(got, text(3000, 1)) {
		t.Errorf("what was not renamed has %d bytes", len(got))
	}
}

// What is written below a directory is stored before that is renamed: it would come to be under the old name
// afterwards.
func TestDirectoryRenameWaitsForWhatIsBelow(t *testing.T) {
	w := newWriteBack(t)
	w.must(t, operation{verb: "mkdir", path: "a"})
	held, asked := make(chan struct{}), make(chan struct{})
	w.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Key: "a/f", Times: 1, Before: func(context.Context) error {
		close(asked)
		<-held
		return nil
	}})
	w.must(t, operation{verb: "open", path: "a/f", n: 2})
	w.must(t, operation{verb: "write", n: 1999, fill: 2})
	w.must(t, operation{verb: "close"}) // the store gets it later
	<-asked
	renamed := make(chan answer)
	go func() { renamed <- w.machines[0].do(operation{verb: "rename-dir", path: "a", to: "b"}) }()
	select {
	case got := <-renamed:
		t.Errorf("it did not wait: %v", got.errno)
		close(held)
	case <-time.After(100 * time.Millisecond): // a rename that does not wait is there by now; a slow one that would not passes
		close(held)
		if got := <-renamed; got.errno != 0 {
			t.Fatal(got.errno)
		}
	}
	if got := w.flushed(t, "b/f"); !bytes.Equal(got, text(2000, 2)) {
		t.Errorf("under the new name %d bytes are stored", len(got))
	}
	if got := w.flushed(t, "a/f"); got != nil {
		t.Errorf("under the old name %d bytes are stored", len(got))
	}
}

// The old object of a changed file that is renamed goes when the new one is there, and not before: what is not changed
// of it is nowhere else.
func TestRenameOfChangedKeepsTheOldObject(t *testing.T) {
	w := newWriteBack(t)
	want := text(300_000, 1)
	w.put(t, "f", want)
	deleted := make(chan struct{})
	w.bucket.Add(
		faultstore.Fault{Op: objstore.OpOpen, Key: "f", Times: 1, Before: func(context.Context) error {
			select { // time to be removed too early
			case <-deleted:
			case <-time.After(100 * time.Millisecond):
			}
			return nil
		}},
		faultstore.Fault{Op: objstore.OpDelete, Key: "f", Times: 1, Before: func(ctx context.Context) error {
			if _, err := w.store.Stat(ctx, "g"); err != nil {
				t.Errorf("the old object is removed while the new one is not there: %v", err)
			}
			return nil
		}},
	)
	w.must(t, operation{verb: "open", path: "f", n: 1})
	w.must(t, operation{verb: "write", off: 1000, n: 9, fill: 7})
	w.must(t, operation{verb: "rename", path: "f", to: "g"})
	close(deleted)
	copy(want[1000:], text(10, 7))
	w.must(t, operation{verb: "close"})
	if got := w.flushed(t, "g"); !bytes.Equal(got, want) {
		t.Errorf("under the new name %d bytes are stored, and not those", len(got))
	}
	if got := w.flushed(t, "f"); got != nil {
		t.Errorf("under the old name %d bytes are stored", len(got))
	}
}

// A changed file that could not be renamed goes on under its old name, and nothing of it is stored under the new one.
func TestFailedRenameOfChanged(t *testing.T) {
	w := newWriteBack(t)
	want := text(3000, 1)
	w.put(t, "f", want)
	w.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Key: "g", Err: objstore.ErrTimeout})
	w.must(t, operation{verb: "open", path: "f", n: 1})
	w.must(t, operation{verb: "write", off: 1000, n: 9, fill: 7})
	if got := w.machines[0].do(operation{verb: "rename", path: "f", to: "g"}); got.errno == 0 {
		t.Fatal("it was renamed by a store that does not answer")
	}
	w.bucket.Clear()
	copy(want[1000:], text(10, 7))
	w.must(t, operation{verb: "close"})
	if got := w.flushed(t, "f"); !bytes.Equal(got, want) {
		t.Errorf("under the old name %d bytes are stored, and not those", len(got))
	}
	if got := w.flushed(t, "g"); got != nil {
		t.Errorf("under the new name %d bytes are stored", len(got))
	}
}

// A rename whose caller is killed while the changed file is being stored is undone: it is stored under its old name,
// and not under the new one later.
func TestKilledRenameOfChanged(t *testing.T) {
	w := newWriteBack(t)
	want := text(3000, 1)
	w.put(t, "f", want)
	ctx, kill := context.WithCancel(t.Context())
	w.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Key: "g", Before: func(ctx context.Context) error {
		kill()
		<-ctx.Done()
		return ctx.Err()
	}})
	w.must(t, operation{verb: "open", path: "f", n: 1})
	w.must(t, operation{verb: "write", off: 1000, n: 9, fill: 7})
	f := w.machines[0].fs
	root := f.nodes.get(fuse.FUSE_ROOT_ID)
	n, err := f.child(t.Context(), root, "f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.nodes.forget(n.id, 1)
	if err := f.moveFile(ctx, move{node: n, from: root, to: root, name: "g", key: "g"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a caller that is killed gets %v", err)
	}
	w.bucket.Clear()
	copy(want[1000:], text(10, 7))
	w.must(t, operation{verb: "close"})
	if got := w.flushed(t, "f"); !bytes.Equal(got, want) {
		t.Errorf("under the old name %d bytes are stored, and not those", len(got))
	}
	if got := w.flushed(t, "g"); got != nil {
		t.Errorf("under the new name %d bytes are stored", len(got))
	}
}

// What was written to a file is read while a rename is about to replace it: the rename may fail.
func TestReadWhileReplaced(t *testing.T) {
	w := newWriteBack(t)
	w.put(t, "f", text(3000, 1))
	w.put(t, "g", text(3000, 2))
	looked := false
	look := func(context.Context) error {
		looked = true
		if got := w.machines[0].do(operation{verb: "read", n: 2999}); !bytes.HasPrefix(got.content, text(10, 7)) {
			t.Error("the old version is read")
		}
		return objstore.ErrTimeout
	}
	w.bucket.Add(faultstore.Fault{Op: objstore.OpRename, Before: look}, faultstore.Fault{Op: objstore.OpCopy, Before: look})
	w.must(t, operation{verb: "open", path: "g", n: 1})
	w.must(t, operation{verb: "write", n: 9, fill: 7})
	if got := w.machines[0].do(operation{verb: "rename", path: "f", to: "g"}); got.errno == 0 || !looked {
		t.Fatalf("%v, and it was looked at: %v", got.errno, looked)
	}
	w.bucket.Clear()
	w.must(t, operation{verb: "close"})
}

// fsync of a directory returns when what was renamed in it is on the local disk under its new name.
func TestFsyncOfADirectory(t *testing.T) {
	w := newWriteBack(t)
	w.must(t, operation{verb: "open", path: "f", n: 2})
	w.must(t, operation{verb: "write", n: 1999, fill: 2}) // and nothing is stored yet, which would sync it
	w.must(t, operation{verb: "rename", path: "f", to: "g"})
	var synced []string
	w.machines[0].journal.Fdatasync = func(f *os.File) error {
		log, err := os.ReadFile(f.Name())
		synced = append(synced, journal.Replay("id", log).Key)
		return err
	}
	in := fuse.FsyncIn{}
	in.NodeId = fuse.FUSE_ROOT_ID
	if status := w.machines[0].fs.FsyncDir(nil, &in); status != fuse.OK || !slices.Contains(synced, "g") {
		t.Errorf("%v, and logs were synced of %q", status, synced)
	}
}
