package fs

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
)

// namedBucket is a fakeBucket with another name.
type namedBucket struct {
	*fakeBucket
	name string
}

func (b namedBucket) Name() string { return b.name }

// fakeVolumes are buckets that hold one file each.
type fakeVolumes struct {
	names  []string
	lists  atomic.Int32
	opened atomic.Int32
	err    error
}

func (v *fakeVolumes) List(context.Context) ([]string, error) {
	v.lists.Add(1)
	return v.names, v.err
}

func (v *fakeVolumes) Open(_ context.Context, name string) (objstore.Bucket, error) {
	v.opened.Add(1)
	b := newFakeBucket()
	b.put("in-"+name, []byte(name))
	return namedBucket{b, name}, nil
}

// TestMountShowsBuckets as directories, each opened when it is entered.
func TestMountShowsBuckets(t *testing.T) {
	v := &fakeVolumes{names: []string{"two", "one"}}
	cfg, source := testConfig(t, nil)
	cfg.Volumes = v
	source.store = anyBucket{}
	_, dir := mounted(t, cfg, MountOptions{})
	if got := run(t, exec.Command("ls", dir)); got != "one\ntwo\n" {
		t.Errorf("ls: %q", got)
	}
	if v.opened.Load() != 0 {
		t.Error("a bucket was opened to show its name")
	}
	if got := run(t, exec.Command("find", dir, "-type", "f", "-printf", "%P %s\n")); !sameLines(got, []string{"one/in-one 3", "two/in-two 3"}) {
		t.Errorf("find:\n%s", got)
	}
	if out, err := exec.Command("ls", filepath.Join(dir, "three")).CombinedOutput(); err == nil {
		t.Errorf("a bucket that is not there: %s", out)
	}
	if v.opened.Load() != 2 {
		t.Errorf("buckets were opened %d times", v.opened.Load())
	}
}

// anyBucket is what is not read from here.
type anyBucket struct{ objstore.Opener }

// TestBucketsAreListedOncePerTTL, for readdir and for the names that are looked up.
func TestBucketsAreListedOncePerTTL(t *testing.T) {
	v := &fakeVolumes{names: []string{"a", "b", "c"}}
	cfg, _ := testConfig(t, nil)
	cfg.Volumes = v
	d := newDriver(t, cfg)
	for range 2 {
		for _, size := range []int{100, 4096} {
			var got []string
			for _, e := range d.list(fuse.FUSE_ROOT_ID, size, size > 100) {
				got = append(got, e.Name)
			}
			if want := []string{".", "..", "a", "b", "c"}; !slices.Equal(got, want) {
				t.Errorf("%v", got)
			}
		}
		d.node("a")
		if _, status := d.lookup("none"); status != fuse.ENOENT {
			t.Errorf("a bucket that is not there: %v", status)
		}
	}
	if n := v.lists.Load(); n != 1 {
		t.Errorf("listed %d times", n)
	}
	d.pass(time.Hour)
	d.node("a")
	if n := v.lists.Load(); n != 1 {
		t.Error("listed to find a bucket that is open")
	}
	v.err = objstore.ErrPermission
	if _, status := d.lookup("b"); status != fuse.EACCES {
		t.Errorf("a list that is denied: %v", status)
	}
	if n := v.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
}
