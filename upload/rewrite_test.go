package upload

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// metadata is what an object has.
func (r *rig) metadata(key string) map[string]string {
	r.t.Helper()
	e, err := r.store.Stat(context.Background(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	return e.Metadata
}

// makeParts stores an object of several parts, and returns its version.
func (r *rig) makeParts(key string, content []byte) objstore.Version {
	r.t.Helper()
	f := r.open(key, true)
	r.write(f, content, 0)
	e := r.publish(f)
	f.Close()
	r.settled()
	return objstore.VersionOf(r.store, e)
}

func setMode(a *objstore.Attributes) {
	a.Metadata = layOver(a.Metadata, map[string]string{"mode": "33152"})
}

// Other metadata leaves the bytes and the ETag as they are, of an object of one part and of one of many.
func TestRewrite(t *testing.T) {
	r := newRig(t, nil)
	one := objstore.VersionOf(r.store, r.put("one", text(1000, 1)))
	many := r.makeParts("many", text(300_000, 2))
	for _, v := range []objstore.Version{one, many} {
		e, err := r.Rewrite(context.Background(), r.bucket, v, setMode)
		if err != nil {
			t.Fatal(err)
		}
		if e.ETag != v.ETag {
			t.Errorf("%s has ETag %s, and had %s", v.Key, e.ETag, v.ETag)
		}
		if r.metadata(v.Key)["mode"] != "33152" {
			t.Errorf("%s has %v", v.Key, r.metadata(v.Key))
		}
	}
	if !bytes.Equal(r.stored("many"), text(300_000, 2)) || r.metadata("one")["k"] != "v" {
		t.Errorf("content or other metadata is not what it was: %v", r.metadata("one"))
	}
	r.put("one", text(1000, 3))
	if _, err := r.Rewrite(context.Background(), r.bucket, one, setMode); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("of what is gone: %v, want ErrChanged", err)
	}
	r.settled()
}

// A mount that dies at any request of a rewrite in parts leaves the object, and its successor leaves nothing else.
func TestRewriteCrashes(t *testing.T) {
	for _, done := range []bool{false, true} {
		for step := 0; ; step++ {
			r := newRig(t, nil)
			content := text(300_000, 2)
			v := r.makeParts("many", content)
			hit := r.dieAt(step, done)
			_, err := r.Rewrite(context.Background(), r.bucket, v, setMode)
			if !hit() {
				if err != nil {
					t.Fatal(err)
				}
				if step < 5 {
					t.Fatalf("only %d requests", step)
				}
				break
			}
			r.remount(nil)
			if !bytes.Equal(r.stored("many"), content) {
				t.Fatalf("step %d, done %t: the object is damaged", step, done)
			}
			r.settled()
		}
	}
}

// What a file is described by goes along with what is stored, also when that was said after its parts were begun.
func TestDescribe(t *testing.T) {
	r := newRig(t, nil)
	for name, size := range map[string]int{"small": 100, "parts": 300_000} {
		described := map[string]string{"mode": "33188", "mtime": "7"}
		f := r.open(name, true)
		f.Describe(func() map[string]string { return maps.Clone(described) })
		r.write(f, text(size, 5), 0)
		if size > 64<<10 { // some of it is sent by now
			for deadline := time.Now().Add(testPatience); r.Stats().BytesSent == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("nothing is sent early")
				}
			}
		}
		described["mode"], described["mtime"] = "33152", ""
		r.publish(f)
		if got := r.metadata(name); got["mode"] != "33152" || len(got) != 1 {
			t.Errorf("%s has %v", name, got)
		}
		if !bytes.Equal(r.stored(name), text(size, 5)) {
			t.Errorf("%s has other content", name)
		}
		f.Close()
	}
	r.settled()
}

// What an object has is kept when it is replaced, but for what is laid over it.
func TestDescribeReplaced(t *testing.T) {
	r := newRig(t, nil)
	r.put("key", text(100, 1))
	f := r.open("key", false)
	f.Describe(func() map[string]string { return map[string]string{"mode": "33188", "gone": ""} })
	r.write(f, text(10, 2), 50)
	r.publish(f)
	f.Close()
	if got := r.metadata("key"); !maps.Equal(got, map[string]string{"k": "v", "mode": "33188"}) {
		t.Errorf("it has %v", got)
	}
	r.settled()
}

// What is stored after a crash bears what was said when it was closed.
func TestDescribedRecovers(t *testing.T) {
	for _, size := range []int{100, 300_000} {
		r := newRig(t, func(c *Config) { c.WriteBack = true })
		hit := r.dieAt(0, false)
		f := r.open("key", true)
		f.Describe(func() map[string]string { return map[string]string{"mode": "33188"} })
		r.write(f, text(size, 5), 0)
		_, _ = f.Publish(context.Background()) // safe on the disk, whatever became of the request by now
		for deadline := time.Now().Add(testPatience); !hit(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the store was never asked")
			}
		}
		r.remount(nil)
		r.settled()
		if r.metadata("key")["mode"] != "33188" || !bytes.Equal(r.stored("key"), text(size, 5)) {
			t.Errorf("%d bytes: it has %v", size, r.metadata("key"))
		}
	}
}

// Where a rewrite gives an object another ETag, whoever has its bytes is told of it.
func TestRewriteIsTold(t *testing.T) {
	var told [][2]objstore.Version
	r := newRig(t, func(c *Config) {
		c.Renamed = func(from, to objstore.Version) { told = append(told, [2]objstore.Version{from, to}) }
	})
	ctx := t.Context()
	id, err := r.store.CreateUpload(ctx, "parts", objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := r.store.UploadPart(ctx, "parts", id, 1, bytes.NewReader(text(100, 1)), 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.CompleteUpload(ctx, "parts", id, []objstore.Part{part}, objstore.Condition{}); err != nil {
		t.Fatal(err)
	}
	r.put("whole", text(100, 1))
	for key, want := range map[string]int{"parts": 1, "whole": 0} { // a copy of one that was stored whole has its ETag
		told = nil
		e, err := r.store.Stat(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		v := objstore.VersionOf(r.store, e)
		now, err := r.Rewrite(ctx, r.bucket, v, func(a *objstore.Attributes) { a.Metadata = map[string]string{"mode": "33188"} })
		if err != nil {
			t.Fatal(err)
		}
		to := v
		to.ETag = now.ETag
		if len(told) != want || want > 0 && told[0] != [2]objstore.Version{v, to} {
			t.Errorf("%s: told are %v", key, told)
		}
	}
}
