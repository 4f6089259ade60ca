package fs

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// driver sends a file system the requests a kernel would, without one, by a clock that stands still.
type driver struct {
	t   *testing.T
	fs  *fileSystem
	now *time.Time
}

func newDriver(t *testing.T, cfg Config) *driver {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	cfg.Now = func() time.Time { return now }
	cfg.setDefaults()
	d := &driver{t: t, fs: newFileSystem(cfg, false, func() bool { return false }), now: &now}
	t.Cleanup(func() {
		d.fs.close()
		if err := d.fs.nodes.check(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *driver) pass(time time.Duration) { *d.now = d.now.Add(time) }

// lookup looks a path up from the root, name by name.
func (d *driver) lookup(path string) (*fuse.EntryOut, fuse.Status) {
	d.t.Helper()
	out := &fuse.EntryOut{NodeId: fuse.FUSE_ROOT_ID}
	for name := range strings.SplitSeq(path, "/") {
		parent := out.NodeId
		out = &fuse.EntryOut{}
		if status := d.fs.Lookup(nil, &fuse.InHeader{NodeId: parent}, name, out); status != fuse.OK {
			return nil, status
		}
	}
	return out, fuse.OK
}

// node is the id of what is at a path.
func (d *driver) node(path string) uint64 {
	d.t.Helper()
	out, status := d.lookup(path)
	if status != fuse.OK {
		d.t.Fatalf("lookup of %s: %v", path, status)
	}
	return out.NodeId
}

func (d *driver) open(id uint64, flags uint32) (handle uint64, status fuse.Status) {
	var out fuse.OpenOut
	status = d.fs.Open(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: id}, Flags: flags}, &out)
	return out.Fh, status
}

func (d *driver) release(id, handle uint64) {
	d.fs.Release(nil, &fuse.ReleaseIn{InHeader: fuse.InHeader{NodeId: id}, Fh: handle})
}

func (d *driver) stat(id uint64) (*fuse.AttrOut, fuse.Status) {
	var out fuse.AttrOut
	status := d.fs.GetAttr(nil, &fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: id}}, &out)
	return &out, status
}

// list reads a directory with replies of a size and returns its names.
func (d *driver) list(id uint64, size int, plus bool) (listed []fuse.DirEntry) {
	d.t.Helper()
	var out fuse.OpenOut
	if status := d.fs.OpenDir(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: id}}, &out); status != fuse.OK {
		d.t.Fatalf("opendir: %v", status)
	}
	defer d.fs.ReleaseDir(&fuse.ReleaseIn{Fh: out.Fh})
	read, parse := d.fs.ReadDir, fuse.ParseDirEntries
	if plus {
		read, parse = d.fs.ReadDirPlus, func(data []byte) ([]fuse.DirEntry, error) {
			entries, _, err := fuse.ParseDirLookupEntries(data)
			return entries, err
		}
	}
	for offset := uint64(0); ; {
		reply := fuse.NewDirEntryList(make([]byte, size), offset)
		if status := read(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: id}, Fh: out.Fh, Offset: offset}, reply); status != fuse.OK {
			d.t.Fatalf("readdir at %d: %v", offset, status)
		}
		entries, err := parse(reply.Bytes())
		if err != nil {
			d.t.Fatal(err)
		}
		if len(entries) == 0 {
			return listed
		}
		listed = append(listed, entries...)
		offset = entries[len(entries)-1].Off
	}
}

const estale = fuse.Status(syscall.ESTALE)
