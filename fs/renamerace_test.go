package fs

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// newRaceWorld is a world in which things happen in the middle of renames; byCopy: the store cannot rename.
func newRaceWorld(t *testing.T, byCopy bool) *world {
	t.Helper()
	w := &world{root: t.TempDir(), store: memstore.New("bucket")}
	if err := w.begin(); err != nil {
		t.Fatal(err)
	}
	if byCopy {
		w.bucket.Add(faultstore.Fault{Op: objstore.OpRename, Err: objstore.ErrUnsupported})
	}
	t.Cleanup(func() {
		w.bucket.Clear()
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// moving is the request by which an object is moved.
func moving(byCopy bool) objstore.Op {
	if byCopy {
		return objstore.OpCopy
	}
	return objstore.OpRename
}

// putParts stores an object whose ETag a copy does not have.
func (w *world) putParts(t *testing.T, key string, content []byte) {
	t.Helper()
	ctx := t.Context()
	id, err := w.store.CreateUpload(ctx, key, objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := w.store.UploadPart(ctx, key, id, 1, bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.CompleteUpload(ctx, key, id, []objstore.Part{part}, objstore.Condition{}); err != nil {
		t.Fatal(err)
	}
}

// kill renames on the first machine, and kills who does while the store is asked for something; held is closed when the
// store may go on.
func (w *world) kill(t *testing.T, in objstore.Op, from, to string) {
	t.Helper()
	m := w.machines[0]
	m.fs.signals = func(uint32) signalState { return signalsFatal }
	interrupt, held := make(chan struct{}), make(chan struct{})
	w.bucket.Add(faultstore.Fault{Op: in, Times: 1, Before: func(context.Context) error {
		close(interrupt)
		<-held
		return nil
	}})
	status := m.fs.Rename(interrupt, &fuse.RenameIn{InHeader: header(fuse.FUSE_ROOT_ID), Newdir: fuse.FUSE_ROOT_ID}, from, to)
	if status != fuse.EINTR {
		t.Errorf("who is killed gets %v", status)
	}
	close(held)
	m.settle()
}

// want compares what the bucket has under a key with content; nil for nothing.
func (w *world) want(t *testing.T, key string, content []byte) {
	t.Helper()
	if got := w.flushed(t, key); !bytes.Equal(got, content) || (got == nil) != (content == nil) {
		t.Errorf("under %s %d bytes are stored (%.8x), should be %d (%.8x)", key, len(got), got, len(content), content)
	}
}

// What is created, stored, changed and read below a directory while that is renamed is all under the new name
// afterwards, and by the handles that are open.
func TestDirectoryRenameTakesAllAlong(t *testing.T) {
	for _, byCopy := range []bool{false, true} {
		w := newRaceWorld(t, byCopy)
		m := w.machines[0]
		w.must(t, operation{verb: "mkdir", path: "a"})
		w.putParts(t, "a/c/read", text(5000, 1))
		w.putParts(t, "a/g", text(6000, 2))
		if status := again(func() fuse.Status { return m.open(operation{handle: 1, path: "a/c/read"}) }); status != fuse.OK {
			t.Fatal(status)
		}
		w.must(t, operation{verb: "open", handle: 2, path: "a/g", n: 1})
		dir := w.node(t, "a")
		var made openHandle
		done := make(chan fuse.Status, 1)
		meanwhile := func() fuse.Status {
			var out fuse.CreateOut
			status := m.fs.Create(nil, &fuse.CreateIn{InHeader: header(dir), Flags: syscall.O_RDWR | syscall.O_CREAT, Mode: 0o644}, "f", &out)
			if made = (openHandle{out.NodeId, out.Fh, true}); status != fuse.OK {
				return status
			}
			m.handles[0] = made
			if got := m.do(operation{verb: "write", n: 1999, fill: 3}); got.errno != 0 {
				return fuse.Status(got.errno)
			}
			return m.fs.Fsync(nil, &fuse.FsyncIn{InHeader: header(made.node), Fh: made.id})
		}
		w.bucket.Add(faultstore.Fault{Op: moving(byCopy), Times: 1, Before: func(context.Context) error {
			if got := m.do(operation{verb: "write", handle: 2, off: 1000, n: 9, fill: 7}); got.errno != 0 {
				t.Error("a file that is open cannot be written to:", got.errno)
			}
			go func() { done <- meanwhile() }()
			select { // time to be stored too early
			case status := <-done:
				done <- status
			case <-time.After(100 * time.Millisecond):
			}
			return nil
		}})
		w.must(t, operation{verb: "rename-dir", path: "a", to: "b"})
		if status := <-done; status != fuse.OK {
			t.Fatalf("what is made meanwhile: %v", status)
		}
		want := text(6000, 2)
		copy(want[1000:], text(10, 7))
		if got := m.do(operation{verb: "read", handle: 1, n: 4999}); got.errno != 0 || !bytes.Equal(got.content, text(5000, 1)) {
			t.Errorf("by copy %v: an open file reads %d bytes, %v", byCopy, len(got.content), got.errno)
		}
		for handle := range 3 {
			w.must(t, operation{verb: "close", handle: handle})
		}
		m.fs.Forget(dir, 1)
		w.want(t, "b/f", text(2000, 3))
		w.want(t, "b/g", want)
		w.want(t, "b/c/read", text(5000, 1))
		for _, old := range []string{"a/f", "a/g", "a/c/read"} {
			w.want(t, old, nil)
		}
		if got := m.do(operation{verb: "list", path: "b"}); strings.Join(got.names, " ") != "c f g" {
			t.Errorf("by copy %v: the directory has %q, %v", byCopy, got.names, got.errno)
		}
		if got := m.do(operation{verb: "stat", path: "a"}); got.errno != syscall.ENOENT {
			t.Errorf("by copy %v: the old name: %v", byCopy, got.errno)
		}
	}
}

// node looks a path up, for the caller to forget.
func (w *world) node(t *testing.T, path string) (found uint64) {
	t.Helper()
	m := w.machines[0]
	status := m.walk(path, func(id uint64, _ *fuse.EntryOut) fuse.Status {
		found, m.keep = id, id
		return fuse.OK
	})
	if status != fuse.OK {
		t.Fatal(path, status)
	}
	return found
}

// A half-written file is not stored by a rename of a directory above it: what it is to replace stays until it is
// closed.
func TestDirectoryRenameStoresNothingUnasked(t *testing.T) {
	w := newRaceWorld(t, true)
	w.put(t, "a/f", text(3000, 1))
	w.must(t, operation{verb: "open", path: "a/f", n: 5})
	w.must(t, operation{verb: "write", n: 9, fill: 7})
	w.must(t, operation{verb: "rename-dir", path: "a", to: "b"})
	e, err := w.store.Stat(t.Context(), "b/f")
	if err != nil || e.Size != 3000 {
		t.Errorf("%+v, %v", e, err)
	}
	w.must(t, operation{verb: "close"})
	w.want(t, "b/f", text(10, 7))
	w.want(t, "a/f", nil)
}

// A rename whose caller is killed while the store moves is done all the same, and known: what is written by a handle
// goes under the new name.
func TestKilledRename(t *testing.T) {
	for _, byCopy := range []bool{false, true} {
		for _, dir := range []bool{false, true} {
			w := newRaceWorld(t, byCopy)
			m := w.machines[0]
			from, to, key, moved := "f", "g", "f", "g"
			if dir {
				from, to, key, moved = "a", "b", "a/f", "b/f"
			}
			w.putParts(t, key, text(3000, 1))
			w.must(t, operation{verb: "open", path: key, n: 1})
			w.kill(t, moving(byCopy), from, to)
			if got := m.do(operation{verb: "stat", path: from}); got.errno != syscall.ENOENT {
				t.Errorf("the old name: %v", got.errno)
			}
			w.must(t, operation{verb: "stat", path: moved})
			w.must(t, operation{verb: "write", off: 1000, n: 9, fill: 7})
			w.must(t, operation{verb: "close"})
			want := text(3000, 1)
			copy(want[1000:], text(10, 7))
			w.want(t, moved, want)
			w.want(t, key, nil)
		}
	}
}

// A rename of a changed file whose caller is killed when that is stored, and its old object is about to go, leaves one
// name.
func TestKilledRenameOfStoredChange(t *testing.T) {
	w := newRaceWorld(t, false)
	w.put(t, "f", text(3000, 1))
	w.must(t, operation{verb: "open", path: "f", n: 1})
	w.must(t, operation{verb: "write", off: 1000, n: 9, fill: 7})
	w.kill(t, objstore.OpDelete, "f", "g")
	want := text(3000, 1)
	copy(want[1000:], text(10, 7))
	w.want(t, "g", want)
	w.want(t, "f", nil)
	w.must(t, operation{verb: "write", off: 0, n: 9, fill: 9})
	w.must(t, operation{verb: "close"})
	copy(want, text(10, 9))
	w.want(t, "g", want)
	w.want(t, "f", nil)
}

// A changed file is renamed over what somebody else puts under the new name in the same moment; unless it must be new.
// Where that happens again and again, the file is what it was.
func TestRenameOfChangedOverAnotherClients(t *testing.T) {
	for name, test := range map[string]struct {
		times, flags int
		errno        syscall.Errno
	}{
		"once":         {times: 1},
		"must be new":  {times: 1, flags: 1, errno: syscall.EEXIST},
		"all the time": {times: 2 * renameTries, errno: syscall.ESTALE},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRaceWorld(t, false)
			m := w.machines[0]
			want, theirs := text(3000, 1), byte(0)
			w.put(t, "f", want)
			w.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Key: "g", Times: test.times, Before: func(context.Context) error {
				theirs++
				w.put(t, "g", text(100, theirs<<4))
				return nil
			}})
			w.must(t, operation{verb: "open", path: "f", n: 1})
			w.must(t, operation{verb: "write", off: 1000, n: 9, fill: 7})
			copy(want[1000:], text(10, 7))
			if got := m.do(operation{verb: "rename", path: "f", to: "g", n: test.flags}); got.errno != test.errno {
				t.Errorf("it says %v, should say %v", got.errno, test.errno)
			}
			if got := m.do(operation{verb: "read", n: 2999}); !bytes.Equal(got.content, want) {
				t.Errorf("%d bytes are read, %v", len(got.content), got.errno)
			}
			w.must(t, operation{verb: "close"})
			if test.errno == 0 {
				w.want(t, "g", want)
				w.want(t, "f", nil)
				return
			}
			w.want(t, "g", text(100, theirs<<4))
			w.want(t, "f", want)
		})
	}
}

// Of two renames of which one is of a directory above the other's file, the second waits for the first.
func TestRenamesTakeTurns(t *testing.T) {
	var turns nameTurns
	v := &volume{}
	take := func(paths ...string) (done func(), err error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return turns.take(ctx, v, func() []string { return paths })
	}
	done, err := take("a/b", "c")
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{"a/b", "a", "a/b/c/d", "c/e"} {
		if _, err := take("x", in); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, free := range []string{"a/bc", "a/c", "b", "cc"} {
		other, err := take(free)
		if err != nil {
			t.Errorf("%s: %v", free, err)
			continue
		}
		other()
	}
	done()
	if done, err = take("a"); err != nil {
		t.Fatal(err)
	}
	done()
	if len(turns.queue) != 0 {
		t.Errorf("%d are left", len(turns.queue))
	}
}

// A directory whose marker another client has removed is kept all the same when its last name goes, once that can be
// known.
func TestMarkerRemovedElsewhere(t *testing.T) {
	w := newRaceWorld(t, false)
	m := w.machines[0]
	var made fuse.EntryOut // which the kernel knows from now on
	if status := m.fs.Mkdir(nil, &fuse.MkdirIn{InHeader: header(fuse.FUSE_ROOT_ID), Mode: 0o755}, "a", &made); status != fuse.OK {
		t.Fatal(status)
	}
	w.must(t, operation{verb: "open", path: "a/f", n: 2})
	w.must(t, operation{verb: "close"})
	if err := w.store.Delete(t.Context(), "a/"); err != nil {
		t.Fatal(err)
	}
	m.fs.cfg.Now = func() time.Time { return time.Now().Add(markerTrust) }
	w.must(t, operation{verb: "unlink", path: "a/f"})
	if _, err := w.store.Stat(t.Context(), "a/"); err != nil {
		t.Error("the directory went with its last name:", err)
	}
	m.fs.Forget(made.NodeId, 1)
}

// A changed file that is renamed is under its new name when the old object could not be removed, and who renames is
// told so; the old object goes as soon as the store removes it, and is in nobody's way until then.
func TestRenameWhoseOldObjectStays(t *testing.T) {
	for _, test := range []struct{ refused, again bool }{{}, {again: true}, {refused: true}} {
		refused, again := test.refused, test.again
		synctest.Test(t, func(t *testing.T) { // the clock goes on while all wait for another try
			w := newRaceWorld(t, false)
			w.put(t, "f", text(3000, 1))
			fault := faultstore.Fault{Op: objstore.OpDelete, Key: "f", Times: 3, Err: objstore.ErrTimeout}
			want := syscall.ETIMEDOUT
			if refused {
				fault.Err, want = objstore.ErrPermission, syscall.EACCES
			}
			w.bucket.Add(fault)
			w.must(t, operation{verb: "open", path: "f", n: 1})
			w.must(t, operation{verb: "write", off: 1000, n: 9, fill: 7})
			if got := w.machines[0].do(operation{verb: "rename", path: "f", to: "g"}); got.errno != want {
				t.Errorf("who renames gets %v, should be %v", got.errno, want)
			}
			changed := text(3000, 1)
			copy(changed[1000:], text(10, 7))
			w.must(t, operation{verb: "write", off: 0, n: 9, fill: 9}) // by the handle that is open
			copy(changed, text(10, 9))
			w.must(t, operation{verb: "close"})
			old := text(3000, 1)
			switch {
			case refused:
			case again:
				w.must(t, operation{verb: "open", path: "f", n: 2})
				w.must(t, operation{verb: "write", n: 1999, fill: 2})
				w.must(t, operation{verb: "close"})
				copy(old, text(2000, 2)) // who changes it goes by what is there
			default:
				old = nil
			}
			w.want(t, "g", changed)
			w.want(t, "f", old)
		})
	}
}
