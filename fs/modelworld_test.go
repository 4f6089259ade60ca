package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/prefetch"
	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

// world is a bucket in memory and two mounts of it, which get the requests that a kernel would send. Every answer of
// the store is asked for: the TTL is 0.
type world struct {
	root string
	modelKind
	store    *memstore.Store
	bucket   *faultstore.Store // the store, as the mounts see it
	machines [2]*machine
}

// machine is one of the mounts.
type machine struct {
	fs      *fileSystem
	uploads *upload.Uploads
	journal *journal.Dir
	handles [3]openHandle
	keep    uint64   // the node that then is about was opened: it is forgotten when it is closed
	held    []uint64 // directories, which the kernel knows for as long as something below may be open
}

type openHandle struct {
	node, id uint64
	open     bool
}

func newWorld(root string, kind modelKind) (*world, error) {
	w := &world{root: root, modelKind: kind, store: memstore.New("bucket")}
	return w, w.begin()
}

// begin mounts.
func (w *world) begin() error {
	w.bucket = faultstore.New(w.store)
	for i := range w.machines {
		var err error
		if w.machines[i], err = w.mount(i); err != nil {
			return err
		}
	}
	return nil
}

// modelContent reads what files change from the store.
type modelContent struct{ bucket objstore.Bucket }

func (s modelContent) ReadAt(ctx context.Context, v objstore.Version, p []byte, off int64) (int, error) {
	body, err := s.bucket.Open(ctx, v, objstore.Range{Off: off, Len: int64(len(p))})
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(body, p)
	return n, errors.Join(err, body.Close())
}

// mount makes a machine, which takes over what the one before it has left.
func (w *world) mount(i int) (m *machine, err error) {
	m = &machine{}
	root := filepath.Join(w.root, fmt.Sprint(i))
	if m.journal, err = journal.Create(root, journal.Owner{Endpoint: w.store.Endpoint(), Bucket: "bucket"}); err != nil {
		return nil, err
	}
	left, err := journal.Leftovers(root, func(journal.Owner) bool { return true })
	for _, dir := range left {
		err = errors.Join(err, m.journal.TakeOver(dir), dir.Close())
	}
	if err != nil {
		return nil, err
	}
	if m.uploads, err = upload.New(upload.Config{Journal: m.journal, Size: 1 << 30, WriteBack: w.writeBack, Content: modelContent{w.bucket}}); err != nil {
		return nil, err
	}
	if _, err := m.uploads.Recover(context.Background(), func(context.Context, string) (objstore.Bucket, error) { return w.bucket, nil }); err != nil {
		return nil, err
	}
	source := &wholeSource{store: w.bucket, held: map[objstore.Version][]byte{}}
	files, err := prefetch.New(prefetch.Config{Source: source, Memory: 64 << 20, Budget: 32 << 20})
	if err != nil {
		return nil, err
	}
	cfg := Config{Bucket: w.bucket, Files: files, Uploads: m.uploads, KeepRemoved: 1 << 30, PosixMetadata: w.posix}
	cfg.setDefaults()
	m.fs = newFileSystem(cfg, false, func() bool { return false })
	return m, nil
}

// end ends a machine: at once, as a crash does, or after everything is closed and stored.
func (m *machine) end(orderly bool) error {
	if orderly {
		for i := range m.handles {
			if m.handles[i].open {
				m.close(i)
			}
		}
		m.letGo()
	} else if err := m.uploads.Close(); err != nil {
		return err
	}
	m.settle()
	m.fs.close()
	if orderly {
		if err := m.flush(); err != nil {
			return err
		}
	}
	return errors.Join(m.fs.nodes.check(), m.uploads.Close(), m.journal.Close())
}

// flush waits until all that was acknowledged is stored.
func (m *machine) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if p := m.uploads.Flush(ctx, nil); p.Files+p.Renames > 0 {
		return fmt.Errorf("%+v are not stored", p)
	}
	m.settle()
	return nil
}

// settle waits for what goes on after answers.
func (m *machine) settle() { m.fs.watchers.Wait() }

func (w *world) close() (err error) {
	for _, m := range w.machines {
		err = errors.Join(err, m.end(true))
	}
	for u, failure := range w.store.ListUploads(context.Background(), "") {
		err = errors.Join(err, failure, fmt.Errorf("the multipart upload %+v is left", u))
	}
	return err
}

// do does what a history says, and compares the answer.
func (w *world) do(o operation, want answer) error {
	m := w.machines[o.machine]
	switch o.verb {
	case "put", "put-link", "delete":
		return w.putElsewhere(o)
	case "flush":
		return m.flush()
	case "remount", "crash":
		if err := m.end(o.verb == "remount"); err != nil {
			return err
		}
		var err error
		w.machines[o.machine], err = w.mount(o.machine)
		if err == nil && o.verb == "crash" {
			err = w.machines[o.machine].flush()
		}
		return err
	}
	got := m.do(o)
	m.settle()
	m.letGo()
	return want.differs(got)
}

// differs compares answers.
func (a answer) differs(got answer) error {
	switch {
	case a.stale && got.errno == syscall.ESTALE:
	case got.errno != a.errno:
		return fmt.Errorf("it says %q, should say %q", errnoText(got.errno), errnoText(a.errno))
	case !bytes.Equal(got.content, a.content):
		return fmt.Errorf("%d bytes are read (%.8x), should be %d (%.8x)", len(got.content), got.content, len(a.content), a.content)
	case !slices.Equal(got.names, a.names):
		return fmt.Errorf("the names are %q, should be %q", got.names, a.names)
	case got.size != a.size, got.mode != 0 && (got.mode != a.mode || got.link != a.link):
		return fmt.Errorf("it has %d bytes and mode %o (a link: %v), should have %d and %o (%v)", got.size, got.mode, got.link, a.size, a.mode, a.link)
	}
	return nil
}

func errnoText(e syscall.Errno) string {
	if e == 0 {
		return "yes"
	}
	return e.Error()
}

// compare compares the bucket with what it should be after an operation.
func (w *world) compare(t *tree) error {
	ctx := context.Background()
	found := 0
	for page, err := range w.store.List(ctx, objstore.ListOptions{}) {
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			want := t.objects[e.Key]
			if found++; want == nil {
				return fmt.Errorf("the bucket has %s, of %d bytes", e.Key, e.Size)
			}
			got := make([]byte, e.Size)
			if e.Size > 0 {
				if _, err := (modelContent{w.store}).ReadAt(ctx, objstore.VersionOf(w.store, e), got, 0); err != nil {
					return err
				}
			}
			if !bytes.Equal(got, want.content) {
				return fmt.Errorf("in the bucket %s has %d bytes (%.8x), should have %d (%.8x)", e.Key, len(got), got, len(want.content), want.content)
			}
			if err := w.compareAttributes(e.Key, want); err != nil {
				return err
			}
		}
	}
	if found == len(t.objects) {
		return nil
	}
	for key := range t.objects {
		if _, err := w.store.Stat(ctx, key); err != nil {
			return fmt.Errorf("the bucket lacks %s: %w", key, err)
		}
	}
	return nil
}

// text is so many bytes that tell whose they are.
func text(n int, fill byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = fill + byte(i>>3) | 1
	}
	return p
}

func header(node uint64) fuse.InHeader {
	return fuse.InHeader{NodeId: node, Caller: fuse.Caller{Pid: uint32(os.Getpid())}}
}

// letGo forgets directories once nothing is open.
func (m *machine) letGo() {
	if slices.ContainsFunc(m.handles[:], func(h openHandle) bool { return h.open }) {
		return
	}
	for _, id := range m.held {
		m.fs.Forget(id, 1)
	}
	m.held = nil
}

// walk looks a path up as the kernel does, and forgets what it was told at last, but for what is to be kept.
func (m *machine) walk(name string, then func(id uint64, out *fuse.EntryOut) fuse.Status) fuse.Status {
	id, out := uint64(fuse.FUSE_ROOT_ID), &fuse.EntryOut{}
	for part := range strings.SplitSeq(strings.Trim(path.Clean("/"+name), "/"), "/") {
		if part == "" {
			break
		}
		in, next := header(id), &fuse.EntryOut{}
		if status := m.fs.Lookup(nil, &in, part, next); status != fuse.OK {
			return status
		}
		defer func() {
			switch {
			case m.keep == next.NodeId:
				m.keep = 0
			case next.Mode&syscall.S_IFDIR != 0:
				m.held = append(m.held, next.NodeId)
			default:
				m.fs.Forget(next.NodeId, 1)
			}
		}()
		id, out = next.NodeId, next
	}
	return then(id, out)
}

// below walks to the directory of a path.
func (m *machine) below(name string, then func(dir uint64, base string) fuse.Status) fuse.Status {
	return m.walk(parentOf(name), func(dir uint64, out *fuse.EntryOut) fuse.Status {
		if dir != fuse.FUSE_ROOT_ID && out.Mode&syscall.S_IFDIR == 0 {
			return fuse.ENOTDIR
		}
		return then(dir, path.Base(name))
	})
}
