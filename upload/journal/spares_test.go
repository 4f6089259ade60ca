package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inUse begins an upload that holds content.
func inUse(t *testing.T, d *Dir, content []byte) *Upload {
	t.Helper()
	u, err := d.Begin(Begin{Bucket: "bucket", Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Data().WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return u
}

func spareFiles(t *testing.T, d *Dir) int {
	t.Helper()
	ids, err := d.names(spareSuffix)
	if err != nil {
		t.Fatal(err)
	}
	return len(ids)
}

// The files of an upload that is done become those of the next, with nothing of it in them; and when the mount ends,
// nothing is left.
func TestSparesAreUsedAgain(t *testing.T) {
	d, err := Create(t.TempDir(), ownerOf("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		u := inUse(t, d, []byte("a secret of another"))
		if err := u.Remove(); err != nil {
			t.Fatal(err)
		}
		if n := spareFiles(t, d); n != 2 {
			t.Errorf("%d files wait, should be 2", n)
		}
	}
	u := inUse(t, d, nil)
	if size, err := d.DataSize(u.ID()); err != nil || size != 0 || spareFiles(t, d) != 0 {
		t.Errorf("begins with %d bytes, %v; %d files wait", size, err, spareFiles(t, d))
	}
	r, data, err := d.Look(u.ID())
	if err != nil || r.Damage != nil || r.Key != "key" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := errors.Join(data.Close(), u.Remove(), d.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(d.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is left: %v", err)
	}
}

// Large files are not kept, nor those that a cache has taken over, nor any number of others.
func TestSparesAreBounded(t *testing.T) {
	d, err := Create(t.TempDir(), ownerOf("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	large := inUse(t, d, make([]byte, maxReused+1))
	if err := large.Remove(); err != nil || spareFiles(t, d) != 1 { // its log
		t.Errorf("%v; %d files wait", err, spareFiles(t, d))
	}
	adopted, link := inUse(t, d, []byte("content")), filepath.Join(t.TempDir(), "adopted")
	if err := os.Link(adopted.Data().Name(), link); err != nil {
		t.Fatal(err)
	}
	if err := adopted.Remove(); err != nil || spareFiles(t, d) != 1 {
		t.Errorf("%v; %d files wait", err, spareFiles(t, d))
	}
	var all []*Upload
	for range maxSpares {
		all = append(all, inUse(t, d, []byte("more")))
	}
	for _, u := range all {
		if err := u.Remove(); err != nil {
			t.Error(err)
		}
	}
	if n := spareFiles(t, d); n != maxSpares {
		t.Errorf("%d files wait, should be %d", n, maxSpares)
	}
	if got, err := os.ReadFile(link); err != nil || !bytes.Equal(got, []byte("content")) {
		t.Errorf("what was taken over has become %q, %v", got, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// A file that waits and is gone, or is something else, costs nobody an upload.
func TestSparesThatAreGone(t *testing.T) {
	d, err := Create(t.TempDir(), ownerOf("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	if err := inUse(t, d, nil).Remove(); err != nil {
		t.Fatal(err)
	}
	if err := d.clearSpares(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(inUse(t, d, []byte("content")).Remove(), d.Close()); err != nil {
		t.Error(err)
	}
}

// What waits in the directory of a mount that was killed is removed with it, and is no reason to keep it.
func TestSparesOfTheDead(t *testing.T) {
	root := t.TempDir()
	for _, bucket := range []string{"mine", "other"} {
		d, err := Create(root, ownerOf(bucket))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(inUse(t, d, nil).Remove(), d.lock.Close()); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := Leftovers(root, ownerOf("mine").SameSource)
	if err != nil || len(taken) != 1 || spareFiles(t, taken[0]) != 0 {
		t.Fatalf("%d taken, %v", len(taken), err)
	}
	if err := taken[0].Close(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) > 0 {
		t.Errorf("%d directories are left, %v", len(left), err)
	}
}

// Who reads the log of an upload that is stored meanwhile is told that it is gone, and not what another has in its
// place.
func TestLookAtWhatIsUsedAgain(t *testing.T) {
	d, err := Create(t.TempDir(), ownerOf("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	u := inUse(t, d, []byte("content"))
	id := u.ID()
	if err := u.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Look(id); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	next := inUse(t, d, nil)
	if all, err := d.Uploads(); err != nil || len(all) != 1 || all[0].ID != next.ID() || strings.Contains(all[0].ID, id) {
		t.Errorf("%+v, %v", all, err)
	}
	if err := errors.Join(next.Remove(), d.Close()); err != nil {
		t.Error(err)
	}
}

// What others may read when its name is gone does not become another's file.
func TestSharedDataIsNotUsedAgain(t *testing.T) {
	d, err := Create(t.TempDir(), ownerOf("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	u := inUse(t, d, []byte("content"))
	reader, err := os.Open(u.Data().Name()) // as of a cache that had it under another name, and has given that up
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	u.Share()
	if err := u.Remove(); err != nil || spareFiles(t, d) != 1 { // its log
		t.Errorf("%v; %d files wait", err, spareFiles(t, d))
	}
	if d.exists(u.ID() + dataSuffix) {
		t.Error("the data has its name still")
	}
	other := inUse(t, d, []byte("another"))
	got := make([]byte, len("content"))
	if _, err := reader.ReadAt(got, 0); err != nil || string(got) != "content" {
		t.Errorf("reads %q, %v", got, err)
	}
	if err := errors.Join(other.Remove(), d.Close()); err != nil {
		t.Error(err)
	}
}

// A step that is noted when its upload has ended does not come to be in the log that has its file then.
func TestNoteAfterRemove(t *testing.T) {
	d, err := Create(t.TempDir(), ownerOf("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	u := inUse(t, d, nil)
	late, err := os.OpenFile(u.log.file.Name(), os.O_RDWR, 0) // what is being written when a file is closed holds it open like this
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if err := u.Remove(); err != nil {
		t.Fatal(err)
	}
	u.log.file = late
	if err := u.Note(Discarded{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a step after the end: %v", err)
	}
	if info, err := late.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("what waits to be used again has %d bytes; %v", info.Size(), err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
