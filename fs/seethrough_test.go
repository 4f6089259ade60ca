package fs

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// Whose caller is killed while the store makes or removes a name is let go, and what the store does is seen through: it
// is done, and known here.
func TestKilledChangeOfNames(t *testing.T) {
	exclusive := uint32(syscall.O_RDWR | syscall.O_CREAT | syscall.O_EXCL)
	for name, test := range map[string]struct {
		op   objstore.Op
		key  string
		made bool
		do   func(f *fileSystem, interrupt chan struct{}) fuse.Status
	}{
		"mkdir": {objstore.OpPut, "new/", true, func(f *fileSystem, interrupt chan struct{}) fuse.Status {
			return f.Mkdir(interrupt, &fuse.MkdirIn{InHeader: header(fuse.FUSE_ROOT_ID), Mode: 0o755}, "new", &fuse.EntryOut{})
		}},
		"rmdir": {objstore.OpDelete, "old/", false, func(f *fileSystem, interrupt chan struct{}) fuse.Status {
			in := header(fuse.FUSE_ROOT_ID)
			return f.Rmdir(interrupt, &in, "old")
		}},
		"symlink": {objstore.OpPut, "link", true, func(f *fileSystem, interrupt chan struct{}) fuse.Status {
			in := header(fuse.FUSE_ROOT_ID)
			return f.Symlink(interrupt, &in, "target", "link", &fuse.EntryOut{})
		}},
		"mknod": {objstore.OpPut, "file", true, func(f *fileSystem, interrupt chan struct{}) fuse.Status {
			return f.Mknod(interrupt, &fuse.MknodIn{InHeader: header(fuse.FUSE_ROOT_ID), Mode: syscall.S_IFREG | 0o644}, "file", &fuse.EntryOut{})
		}},
		"a lock file": {objstore.OpPut, "lock", true, func(f *fileSystem, interrupt chan struct{}) fuse.Status {
			f.cfg.ExclusiveAtOpen = true
			return f.Create(interrupt, &fuse.CreateIn{InHeader: header(fuse.FUSE_ROOT_ID), Flags: exclusive, Mode: 0o644}, "lock", &fuse.CreateOut{})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{root: t.TempDir(), modelKind: modelKind{posix: true}, store: memstore.New("bucket")}
			if err := w.begin(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := w.close(); err != nil {
					t.Error(err)
				}
			}()
			m := w.machines[0]
			w.must(t, operation{verb: "mkdir", path: "old"})
			nodes := m.fs.nodes.len()
			m.fs.signals = func(uint32) signalState { return signalsFatal }
			interrupt, held := make(chan struct{}), make(chan struct{})
			w.bucket.Add(faultstore.Fault{Op: test.op, Key: test.key, Times: 1, Before: func(ctx context.Context) error {
				close(interrupt)
				select {
				case <-held:
					return nil
				case <-ctx.Done(): // the store may carry it out even so, with nobody here knowing
					return ctx.Err()
				}
			}})
			if status := test.do(m.fs, interrupt); status != fuse.EINTR {
				t.Errorf("who is killed gets %v", status)
			}
			close(held)
			m.settle()
			if _, err := w.store.Stat(t.Context(), test.key); errors.Is(err, objstore.ErrNotExist) == test.made {
				t.Errorf("the store says %v", err)
			}
			if got := m.fs.nodes.len(); got > nodes {
				t.Errorf("%d nodes are kept that the kernel does not know of", got-nodes)
			}
		})
	}
}

// A file that was to be there when mknod, or the open of a lock file, returns and is not: it is an error, and nobody
// has the file. It does not come to be afterwards, and its name is free.
func TestFailedNewFile(t *testing.T) {
	for _, failure := range []error{objstore.ErrTimeout, objstore.ErrPermission} {
		for name, do := range map[string]func(f *fileSystem) fuse.Status{
			"mknod": func(f *fileSystem) fuse.Status {
				return f.Mknod(nil, &fuse.MknodIn{InHeader: header(fuse.FUSE_ROOT_ID), Mode: syscall.S_IFREG | 0o644}, "file", &fuse.EntryOut{})
			},
			"a lock file": func(f *fileSystem) fuse.Status {
				f.cfg.ExclusiveAtOpen = true
				flags := uint32(syscall.O_RDWR | syscall.O_CREAT | syscall.O_EXCL)
				return f.Create(nil, &fuse.CreateIn{InHeader: header(fuse.FUSE_ROOT_ID), Flags: flags, Mode: 0o644}, "file", &fuse.CreateOut{})
			},
		} {
			t.Run(name, func(t *testing.T) {
				w := &world{root: t.TempDir(), store: memstore.New("bucket")}
				if err := w.begin(); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := w.close(); err != nil {
						t.Error(err)
					}
				}()
				f := w.machines[0].fs
				nodes := f.nodes.len()
				w.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Err: failure})
				if status := do(f); status == fuse.OK || status == fuse.EINTR {
					t.Errorf("it is %v", status)
				}
				w.machines[0].settle()
				if s := w.machines[0].uploads.Stats(); s.Files > 0 || f.nodes.len() > nodes {
					t.Errorf("%+v, and %d nodes, are left", s, f.nodes.len()-nodes)
				}
				if status := do(f); status != fuse.OK {
					t.Errorf("at another try it is %v", status)
				}
				if _, err := w.store.Stat(t.Context(), "file"); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A lock file of which open was told nothing, though the store has made it, is taken away again: nobody has it, and it
// would lock for ever.
func TestLockFileWithoutAnAnswer(t *testing.T) {
	w := newWriteBack(t)
	w.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Lost: objstore.ErrTimeout})
	f := w.machines[0].fs
	f.cfg.ExclusiveAtOpen = true
	in := &fuse.CreateIn{InHeader: header(fuse.FUSE_ROOT_ID), Flags: syscall.O_RDWR | syscall.O_CREAT | syscall.O_EXCL, Mode: 0o644}
	if status := f.Create(nil, in, "lock", &fuse.CreateOut{}); status == fuse.OK {
		t.Fatal("it was made")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := w.store.Stat(t.Context(), "lock")
		if errors.Is(err, objstore.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is still there: %v", err)
		}
	}
}
