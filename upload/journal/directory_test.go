package journal

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func ownerOf(bucket string) Owner {
	return Owner{Endpoint: "e", Bucket: bucket, Prefix: "p\xff/", Mountpoint: "/m", PID: 7, Started: time.Unix(1, 0).UTC(), Cache: "/c\xff"}
}

func create(t *testing.T, root string) *Dir {
	t.Helper()
	d, err := Create(root, ownerOf("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func anybody(Owner) bool { return true }

// leftovers takes what dead mounts have left.
func leftovers(t *testing.T, root string) []*Dir {
	t.Helper()
	dirs, err := Leftovers(root, anybody)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, d := range dirs {
			_ = d.Close()
		}
	})
	return dirs
}

// abandon leaves a directory as a process does that is killed.
func (d *Dir) abandon(t *testing.T) {
	t.Helper()
	if err := d.lock.Close(); err != nil {
		t.Fatal(err)
	}
	d.lock = nil
}

// TestDirectoryIsOwnedByOne: a living mount's directory can be looked at, and taken by nobody; a dead one's is taken by
// one.
func TestDirectoryIsOwnedByOne(t *testing.T) {
	root := filepath.Join(t.TempDir(), "new", "staging")
	d := create(t, root)
	if got := leftovers(t, root); len(got) != 0 {
		t.Error("a living mount's directory was taken")
	}
	seen, err := List(root)
	if err != nil || len(seen) != 1 || seen[0].Owner() != ownerOf("bucket") || seen[0].Path() != d.Path() {
		t.Fatalf("seen %+v %v", seen, err)
	}
	if err := seen[0].Lock(); !errors.Is(err, ErrInUse) {
		t.Errorf("locked: %v", err)
	}
	if err := seen[0].Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Begin(Begin{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	d.abandon(t)
	if got, err := Leftovers(root, func(o Owner) bool { return o.Bucket == "other" }); err != nil || len(got) != 0 {
		t.Errorf("another bucket's: %v %v", got, err)
	}
	if got := leftovers(t, root); len(got) != 1 || got[0].Owner() != ownerOf("bucket") {
		t.Fatalf("got %v", got)
	}
	if got := leftovers(t, root); len(got) != 0 {
		t.Error("it was taken twice")
	}
}

// TestDirectoryIsPrivate: what others may get into or own is refused.
func TestDirectoryIsPrivate(t *testing.T) {
	made := filepath.Join(t.TempDir(), "made")
	d := create(t, made)
	u, err := d.Begin(Begin{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{made: 0o700, d.path: 0o700, d.file(u.id + logSuffix): 0o600, d.file(u.id + dataSuffix): 0o600, d.file(ownerFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	shared := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(shared, "file"), nil, 0o600), os.Chmod(shared, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(shared, Owner{}); !errors.Is(err, ErrTooOpen) {
		t.Errorf("a directory that others write to: %v", err)
	}
	if err := os.Chmod(d.path, 0o750); err != nil {
		t.Fatal(err)
	}
	if dirs, err := List(made); !errors.Is(err, ErrTooOpen) || len(dirs) != 0 {
		t.Errorf("a staging directory that others read: %v %v", dirs, err)
	}
	if os.Geteuid() != 0 {
		return // only root can give files away
	}
	if err := errors.Join(os.Chmod(d.path, 0o700), os.Chown(d.path, 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	if _, err := List(made); !errors.Is(err, ErrNotOurs) {
		t.Errorf("somebody else's staging directory: %v", err)
	}
	if err := os.Chown(made, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(made, Owner{}); !errors.Is(err, ErrNotOurs) {
		t.Errorf("somebody else's directory: %v", err)
	}
}

// TestDirectoryGoes: a directory with nothing in it is removed; one with an upload stays.
func TestDirectoryGoes(t *testing.T) {
	root := t.TempDir()
	d := create(t, root)
	u, err := d.Begin(Begin{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(d.Control(), nil, 0o600), u.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	left := leftovers(t, root)
	if len(left) != 1 {
		t.Fatalf("%d directories", len(left))
	}
	u, _, err = left[0].Resume(u.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(u.Remove(), left[0].Close()); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(root); err != nil || len(names) != 0 {
		t.Errorf("left: %v %v", names, err)
	}
}

// TestDirectoryHalfMade: what a mount leaves that dies while it makes its directory, or begins or removes an upload,
// goes.
func TestDirectoryHalfMade(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"000000000001", "000000000002"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d := create(t, root)
	if err := errors.Join(
		os.WriteFile(filepath.Join(root, "000000000002", ownerFile), nil, 0o600),
		os.Mkdir(filepath.Join(root, "lost+found"), 0o700),
		os.WriteFile(d.file("00000000000a"+dataSuffix), []byte("no log"), 0o600),
		os.WriteFile(d.file("00000000000b"+logSuffix), []byte("123"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	d.abandon(t)
	left := leftovers(t, root)
	if len(left) != 1 {
		t.Fatalf("%d directories", len(left))
	}
	if _, err := os.Stat(left[0].file("00000000000a" + dataSuffix)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("data without a log: %v", err)
	}
	records, err := left[0].Uploads()
	if err != nil || len(records) != 0 {
		t.Errorf("a log without a line: %+v %v", records, err)
	}
	if err := left[0].Close(); err != nil {
		t.Error(err)
	}
	names, err := os.ReadDir(root)
	if err != nil || len(names) != 1 || names[0].Name() != "lost+found" {
		t.Errorf("left: %v %v", names, err)
	}
}

// TestDirectoriesAtOnce: mounts that start while others look for leftovers all get a directory, and keep it.
func TestDirectoriesAtOnce(t *testing.T) {
	root := t.TempDir()
	create(t, root)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				d, err := Create(root, ownerOf("bucket"))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(d.file(ownerFile)); err != nil {
					t.Error(err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 50 {
				dirs, err := Leftovers(root, anybody)
				if err != nil {
					t.Error(err)
				}
				for _, d := range dirs {
					_ = d.Close()
				}
			}
		})
	}
	all.Wait()
}

// TestOwnerDamaged: a directory that does not say whose it is is named, and left alone; the others are found.
func TestOwnerDamaged(t *testing.T) {
	root := t.TempDir()
	bad, good := create(t, root), create(t, root)
	for _, d := range []*Dir{bad, good} {
		if _, err := d.Begin(Begin{Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(bad.file(ownerFile), []byte("{garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad.abandon(t)
	good.abandon(t)
	dirs, err := Leftovers(root, anybody)
	if err == nil || len(dirs) != 1 || dirs[0].path != good.path {
		t.Errorf("got %v %v", dirs, err)
	}
	if records, err := bad.Uploads(); err != nil || len(records) != 1 {
		t.Errorf("it has %v %v", records, err)
	}
}

// TestEmptyLeftovers: what a killed mount had nothing in is removed by the next one, of whatever source; what is in
// use, or has something in it, stays.
func TestEmptyLeftovers(t *testing.T) {
	root := t.TempDir()
	dead := must(t)(Create(root, Owner{Bucket: "dead"}))
	full := must(t)(Create(root, Owner{Bucket: "full"}))
	live := must(t)(Create(root, Owner{Bucket: "live"}))
	if _, err := full.Begin(Begin{Bucket: "full", Key: "key"}); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Dir{dead, full} { // the lock goes with the process
		if err := d.lock.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if taken, err := Leftovers(root, func(Owner) bool { return false }); err != nil || len(taken) != 0 {
		t.Fatalf("taken are %d, %v", len(taken), err)
	}
	for _, c := range []struct {
		dir  *Dir
		want bool
	}{{dead, false}, {full, true}, {live, true}} {
		if _, err := os.Stat(c.dir.Path()); (err == nil) != c.want {
			t.Errorf("%s: %v", c.dir.Owner().Bucket, err)
		}
	}
	if err := live.Close(); err != nil {
		t.Error(err)
	}
}

func must(t *testing.T) func(d *Dir, err error) *Dir {
	return func(d *Dir, err error) *Dir {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}
