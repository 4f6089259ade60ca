package fs

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// costDriver has a bucket with a small and a large file in a directory.
func costDriver(t *testing.T, change func(*Config)) (*driver, *fakeBucket, func(what string, want ...string)) {
	t.Helper()
	b := newFakeBucket()
	b.put("dir/small", contentOf("small", 1000))
	b.put("dir/large", contentOf("large", 33<<20))
	cfg, _ := testConfig(t, b)
	if change != nil {
		change(&cfg)
	}
	d := newDriver(t, cfg)
	return d, b, func(what string, want ...string) {
		t.Helper()
		// A directory is found by its LIST; the HEAD beside it is not waited for, and may be seen at any time or never.
		got := slices.DeleteFunc(b.requests(), func(r string) bool { return r == "HEAD dir" || r == "HEAD dir/turned" })
		if !slices.Equal(got, want) {
			t.Errorf("%s costs %q, want %q", what, got, want)
		}
	}
}

// TestFirstLookupAsksForBoth: a name nobody has heard of is a HEAD and a LIST, and within the TTL nothing more; its
// directory is not listed.
func TestFirstLookupAsksForBoth(t *testing.T) {
	d, _, costs := costDriver(t, nil)
	d.node("dir")
	costs("a directory", "LIST dir/")
	id := d.node("dir/small")
	costs("a file", "HEAD dir/small", "LIST dir/small/")
	if again := d.node("dir/small"); again != id {
		t.Errorf("the same file has nodes %d and %d", id, again)
	}
	d.stat(id)
	costs("looking again")
	handle, status := d.open(id, syscall.O_RDONLY)
	if status != fuse.OK {
		t.Fatal(status)
	}
	defer d.release(id, handle)
	costs("opening it", "GET dir/small")
}

// TestListedFilesCostTheirBytes: a small file of a listed directory is one GET, also when the listing is older than the
// TTL.
func TestListedFilesCostTheirBytes(t *testing.T) {
	for _, age := range []time.Duration{0, time.Hour} {
		d, _, costs := costDriver(t, nil)
		dir := d.node("dir")
		costs("the directory", "LIST dir/")
		d.list(dir, 1000, false)
		costs("listing it", "LIST dir/")
		d.pass(age)
		var out fuse.EntryOut
		if status := d.fs.Lookup(nil, &fuse.InHeader{NodeId: dir}, "small", &out); status != fuse.OK {
			t.Fatal(status)
		}
		if wantNone := age > 0; wantNone != (out.AttrTimeout() == 0 && out.EntryTimeout() == 0) {
			t.Errorf("after %v the kernel may keep the answer for %v", age, out.AttrTimeout())
		}
		handle, status := d.open(out.NodeId, syscall.O_RDONLY)
		if status != fuse.OK {
			t.Fatal(status)
		}
		d.release(out.NodeId, handle)
		costs("opening a file", "GET dir/small")
		d.fs.Lookup(nil, &fuse.InHeader{NodeId: dir}, "small", &out)
		d.stat(out.NodeId)
		costs("a stat after that")
	}
}

// TestOldAnswersAreCheckedOnce: where no GET is due that would tell, one HEAD does.
func TestOldAnswersAreCheckedOnce(t *testing.T) {
	d, b, costs := costDriver(t, nil)
	small, large := d.node("dir/small"), d.node("dir/large")
	handle, _ := d.open(small, syscall.O_RDONLY)
	reply, _ := d.fs.Read(nil, &fuse.ReadIn{Fh: handle, Size: 10}, nil)
	reply.Done()
	d.release(small, handle)
	b.requests()
	for _, id := range []uint64{small, large} {
		for range 2 {
			d.pass(time.Hour)
			handle, status := d.open(id, syscall.O_RDONLY)
			if status != fuse.OK {
				t.Fatal(status)
			}
			d.release(id, handle)
		}
	}
	costs("four opens", "HEAD dir/large", "HEAD dir/large", "HEAD dir/small", "HEAD dir/small")
	d.pass(time.Hour)
	for range 3 {
		if _, status := d.stat(small); status != fuse.OK {
			t.Fatal(status)
		}
	}
	costs("three stats", "HEAD dir/small")
}

// TestLookupIsAnsweredUnaskedOnlyOnce: if nothing follows that would find out, the next lookup asks: what was a file
// may be a directory now.
func TestLookupIsAnsweredUnaskedOnlyOnce(t *testing.T) {
	d, b, costs := costDriver(t, nil)
	dir := d.node("dir")
	b.put("dir/turned", nil)
	d.node("dir/turned")
	b.requests()
	d.pass(time.Hour)
	b.put("dir/turned/below", nil)
	b.remove("dir/turned")
	var out fuse.EntryOut
	d.fs.Lookup(nil, &fuse.InHeader{NodeId: dir}, "turned", &out)
	costs("the first lookup")
	if status := d.fs.Lookup(nil, &fuse.InHeader{NodeId: dir}, "turned", &out); status != fuse.OK || out.Mode&syscall.S_IFDIR == 0 {
		t.Errorf("%v, mode %o", status, out.Mode)
	}
	costs("the second", "LIST dir/turned/")
}

// TestOpenFilesAreLookedUpForReal: fstat of an open file is of what was opened; so a stat of its name must not be
// answered by it.
func TestOpenFilesAreLookedUpForReal(t *testing.T) {
	d, b, costs := costDriver(t, nil)
	dir, id := d.node("dir"), d.node("dir/large")
	handle, _ := d.open(id, syscall.O_RDONLY)
	defer d.release(id, handle)
	b.requests()
	d.pass(time.Hour)
	b.put("dir/large", contentOf("two", 34<<20))
	if out, status := d.stat(id); status != fuse.OK || out.Size != 33<<20 {
		t.Errorf("fstat: %v, size %d", status, out.Size)
	}
	costs("fstat")
	var out fuse.EntryOut
	d.fs.Lookup(nil, &fuse.InHeader{NodeId: dir}, "large", &out)
	if out.Size != 34<<20 || out.NodeId == id {
		t.Errorf("the new version: node %d (was %d), size %d", out.NodeId, id, out.Size)
	}
	costs("lookup", "HEAD dir/large", "LIST dir/large/")
}

// TestDirectOpenAlwaysAsks, within the TTL too.
func TestDirectOpenAlwaysAsks(t *testing.T) {
	d, b, costs := costDriver(t, nil)
	id := d.node("dir/large")
	b.requests()
	handle, status := d.open(id, syscall.O_DIRECT)
	if status != fuse.OK {
		t.Fatal(status)
	}
	d.release(id, handle)
	costs("open with O_DIRECT", "HEAD dir/large")
}

// TestImmutableNeverAsksAgain but for bytes.
func TestImmutableNeverAsksAgain(t *testing.T) {
	d, b, costs := costDriver(t, func(c *Config) { c.Immutable = true })
	id := d.node("dir/small")
	b.requests()
	d.pass(1000 * time.Hour)
	if again := d.node("dir/small"); again != id {
		t.Errorf("node %d became %d", id, again)
	}
	d.stat(id)
	handle, _ := d.open(id, syscall.O_RDONLY)
	d.release(id, handle)
	costs("a year later", "GET dir/small")
}

// TestChangedVersionIsStaleOnce: whatever finds out first answers ESTALE, and the lookup after it has the new version.
func TestChangedVersionIsStaleOnce(t *testing.T) {
	open := func(d *driver, id uint64) fuse.Status {
		_, status := d.open(id, syscall.O_RDONLY)
		return status
	}
	stat := func(d *driver, id uint64) fuse.Status {
		_, status := d.stat(id)
		return status
	}
	access := func(d *driver, id uint64) fuse.Status {
		return d.fs.Access(nil, &fuse.AccessIn{InHeader: fuse.InHeader{NodeId: id}})
	}
	xattr := func(d *driver, id uint64) fuse.Status {
		_, status := d.fs.GetXAttr(nil, &fuse.InHeader{NodeId: id}, attrETag, make([]byte, 100))
		return status
	}
	for name, find := range map[string]func(*driver, uint64) fuse.Status{"open": open, "stat": stat, "access": access, "getxattr": xattr} {
		for _, file := range []string{"dir/small", "dir/large"} {
			d, b, _ := costDriver(t, nil)
			id := d.node(file)
			d.pass(time.Hour)
			b.put(file, contentOf("two", 2000))
			if status := find(d, id); status != estale {
				t.Errorf("%s of a replaced file: %v", name, status)
			}
			out, status := d.lookup(file)
			if status != fuse.OK || out.Size != 2000 || out.NodeId == id {
				t.Fatalf("lookup after %s: %v, node %d (was %d), size %d", name, status, out.NodeId, id, out.Size)
			}
			if status := open(d, out.NodeId); status != fuse.OK {
				t.Errorf("open after lookup: %v", status)
			}
			d.pass(time.Hour)
			b.remove(file)
			if status := stat(d, d.node("dir")); status != fuse.OK {
				t.Errorf("the directory: %v", status)
			}
			if d.fs.stats().Stale != 1 {
				t.Errorf("%d stale versions were counted", d.fs.stats().Stale)
			}
		}
	}
}

// TestDeletedFileIsNotFound: first stale, then not there.
func TestDeletedFileIsNotFound(t *testing.T) {
	d, b, _ := costDriver(t, nil)
	id := d.node("dir/small")
	d.pass(time.Hour)
	b.remove("dir/small")
	if _, status := d.open(id, syscall.O_RDONLY); status != estale {
		t.Errorf("open: %v", status)
	}
	if _, status := d.lookup("dir/small"); status != fuse.ENOENT {
		t.Errorf("lookup: %v", status)
	}
}

// TestUnknownNodesAreStale, in every request that names one.
func TestUnknownNodesAreStale(t *testing.T) {
	d, _, _ := costDriver(t, nil)
	const none = 12345
	header := fuse.InHeader{NodeId: none}
	_, statStatus := d.stat(none)
	_, openStatus := d.open(none, 0)
	_, xattrStatus := d.fs.GetXAttr(nil, &header, attrKey, nil)
	_, listStatus := d.fs.ListXAttr(nil, &header, nil)
	for name, status := range map[string]fuse.Status{
		"lookup": d.fs.Lookup(nil, &header, "x", &fuse.EntryOut{}), "stat": statStatus, "open": openStatus,
		"opendir": d.fs.OpenDir(nil, &fuse.OpenIn{InHeader: header}, &fuse.OpenOut{}), "getxattr": xattrStatus, "listxattr": listStatus,
		"access": d.fs.Access(nil, &fuse.AccessIn{InHeader: header}), "setlk": d.fs.SetLk(nil, &fuse.LkIn{InHeader: header}),
		"getlk": d.fs.GetLk(nil, &fuse.LkIn{InHeader: header}, &fuse.LkOut{}), "setlkw": d.fs.SetLkw(nil, &fuse.LkIn{InHeader: header}),
	} {
		if status != estale {
			t.Errorf("%s: %v", name, status)
		}
	}
}

// TestWrongKindsAndNames have the errno of a local file system.
func TestWrongKindsAndNames(t *testing.T) {
	d, _, _ := costDriver(t, nil)
	dir, file := d.node("dir"), d.node("dir/small")
	if _, status := d.open(dir, 0); status != fuse.EISDIR {
		t.Errorf("open of a directory: %v", status)
	}
	if status := d.fs.OpenDir(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: file}}, &fuse.OpenOut{}); status != fuse.ENOTDIR {
		t.Errorf("opendir of a file: %v", status)
	}
	if _, status := d.lookup("dir/small/x"); status != fuse.ENOTDIR {
		t.Errorf("lookup below a file: %v", status)
	}
	if _, status := d.lookup("dir/" + string(make([]byte, 256))); status != fuse.Status(syscall.ENAMETOOLONG) {
		t.Errorf("lookup of a long name: %v", status)
	}
	for _, flags := range []uint32{syscall.O_WRONLY, syscall.O_RDWR, syscall.O_TRUNC} {
		if _, status := d.open(file, flags); status != fuse.EROFS {
			t.Errorf("open with flags %o: %v", flags, status)
		}
	}
	for mask, want := range map[uint32]fuse.Status{fuse.R_OK: fuse.OK, fuse.F_OK: fuse.OK, fuse.W_OK: fuse.EROFS, fuse.X_OK: fuse.EACCES} {
		if status := d.fs.Access(nil, &fuse.AccessIn{InHeader: fuse.InHeader{NodeId: file}, Mask: mask}); status != want {
			t.Errorf("access %o: %v, want %v", mask, status, want)
		}
	}
	if status := d.fs.Access(nil, &fuse.AccessIn{InHeader: fuse.InHeader{NodeId: dir}, Mask: fuse.X_OK}); status != fuse.OK {
		t.Errorf("search of a directory: %v", status)
	}
}
