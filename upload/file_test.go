package upload

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// A small file is one PUT, and an empty one too; what has not changed is none.
func TestPublishSmall(t *testing.T) {
	r := newRig(t, nil)
	for _, n := range []int{0, 1, 5000, 64 << 10} {
		content := text(n, byte(n))
		f := r.open("small", true)
		r.write(f, content, 0)
		if e := r.publish(f); e.Size != int64(n) || !bytes.Equal(r.stored("small"), content) {
			t.Errorf("%d bytes: %+v is stored", n, e)
		}
		before := len(r.bucket.Calls())
		r.publish(f)
		f.Close()
		r.settled()
		if calls := r.bucket.Calls()[before:]; len(calls) > 0 {
			t.Errorf("for what has not changed the store was asked %v", calls)
		}
		if err := r.store.Delete(context.Background(), "small"); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.Stats(); s.Puts != 4 || s.Parts != 0 {
		t.Errorf("%+v", s)
	}
}

// A large file is sent while it is written, and each part once.
func TestPartsAreSentEarly(t *testing.T) {
	r := newRig(t, nil)
	content := text(1<<20+77, 1)
	f := r.open("large", true)
	for off := 0; off < len(content); off += 10_000 {
		r.write(f, content[off:min(off+10_000, len(content))], int64(off))
	}
	for deadline := time.Now().Add(testPatience); r.Stats().Parts < 16; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("before it is closed %d parts are sent", r.Stats().Parts)
		}
	}
	r.publish(f)
	f.Close()
	r.settled()
	if !bytes.Equal(r.stored("large"), content) {
		t.Error("something else is stored")
	}
	if s := r.Stats(); s.Parts != 17 || s.BytesSent != int64(len(content)) {
		t.Errorf("%+v", s)
	}
}

// A part that is changed after it was sent is sent again, and no other.
func TestPartIsSentAgain(t *testing.T) {
	r := newRig(t, nil)
	content := text(512<<10, 1)
	f := r.open("large", true)
	r.write(f, content, 0)
	for deadline := time.Now().Add(testPatience); r.Stats().Parts < 7; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d parts are sent", r.Stats().Parts)
		}
	}
	copy(content[100<<10:], "changed")
	r.write(f, []byte("changed"), 100<<10)
	r.publish(f)
	f.Close()
	r.settled()
	if !bytes.Equal(r.stored("large"), content) {
		t.Error("something else is stored")
	}
	if s := r.Stats(); s.Parts != 9 {
		t.Errorf("%+v", s)
	}
}

// Of a changed object what has not changed is copied by the store; where it cannot, it goes by way of here.
func TestChangeOfLarge(t *testing.T) {
	for _, copies := range []bool{true, false} {
		r := newRig(t, nil)
		content := text(2<<20, 1)
		r.put("large", content)
		if !copies {
			r.bucket.Add(faultstore.Fault{Op: objstore.OpCopyPart, Err: objstore.ErrUnsupported})
		}
		f := r.open("large", false)
		content = append(content, "more"...)
		r.write(f, []byte("more"), 2<<20)
		r.publish(f)
		copy(content[777777:], "changed")
		r.write(f, []byte("changed"), 777777)
		r.publish(f)
		f.Close()
		r.settled()
		if !bytes.Equal(r.stored("large"), content) {
			t.Error("something else is stored")
		}
		if s := r.Stats(); copies && (s.BytesSent > 4+5<<10+100 || s.Copies == 0) || !copies && s.Copies > 0 {
			t.Errorf("%+v", s)
		}
	}
}

// What goes along with an object is kept when it is changed, by one request or in parts.
func TestAttributesAreKept(t *testing.T) {
	r := newRig(t, nil)
	for _, size := range []int{10, 1 << 20} {
		attrs := objstore.Attributes{ContentType: "text/x", Metadata: map[string]string{"k": "v"}, Tags: "a=1", Headers: map[string]string{"Content-Encoding": "gzip"}}
		if _, err := r.store.Put(context.Background(), "key", bytes.NewReader(text(size, 1)), int64(size), objstore.Condition{}, attrs); err != nil {
			t.Fatal(err)
		}
		f := r.open("key", false)
		r.write(f, []byte("x"), 5)
		r.publish(f)
		f.Close()
		e, err := r.store.Stat(context.Background(), "key")
		if err != nil {
			t.Fatal(err)
		}
		if e.ContentType != "text/x" || !maps.Equal(e.Metadata, map[string]string{"k": "v"}) || !maps.Equal(e.Headers, attrs.Headers) {
			t.Errorf("%d bytes: %+v", size, e)
		}
		if tags, err := r.store.Tags(context.Background(), "key"); err != nil || tags != "a=1" {
			t.Errorf("%d bytes: tags %q %v", size, tags, err)
		}
	}
	r.settled()
}

// What fails is tried again without anybody's asking, until it is stored.
func TestRetry(t *testing.T) {
	r := newRig(t, nil)
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Err: objstore.ErrTimeout, Times: 1})
	f := r.open("key", true)
	r.write(f, []byte("text"), 0)
	if _, err := f.Publish(context.Background()); !errors.Is(err, objstore.ErrTimeout) {
		t.Errorf("%v", err)
	}
	f.Close()
	r.settled()
	if got := r.stored("key"); string(got) != "text" {
		t.Errorf("%q is stored", got)
	}
}

// Who waits can give up; the storing goes on.
func TestGiveUpWaiting(t *testing.T) {
	hold := make(chan struct{})
	r := newRig(t, func(c *Config) { c.CloseTimeout = 50 * time.Millisecond })
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Before: func(ctx context.Context) error {
		select {
		case <-hold:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	f := r.open("key", true)
	r.write(f, []byte("text"), 0)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Publish(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("who was cancelled got %v", err)
	}
	if _, err := f.Publish(context.Background()); !errors.Is(err, objstore.ErrTimeout) {
		t.Errorf("who waited for too long got %v", err)
	}
	close(hold)
	f.Close()
	r.settled()
	if got := r.stored("key"); string(got) != "text" {
		t.Errorf("%q is stored", got)
	}
}

// With write-back a publication is answered while the store does not.
func TestWriteBack(t *testing.T) {
	hold := make(chan struct{})
	r := newRig(t, func(c *Config) { c.WriteBack = true })
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Before: func(ctx context.Context) error {
		select {
		case <-hold:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	f := r.open("key", true)
	r.write(f, []byte("text"), 0)
	r.publish(f)
	f.Close()
	records, err := r.cfg.Journal.Uploads()
	if err != nil || len(records) != 1 || !records[0].Acknowledged {
		t.Errorf("%+v, %v", records, err)
	}
	close(hold)
	r.settled()
	if got := r.stored("key"); string(got) != "text" {
		t.Errorf("%q is stored", got)
	}
}

// What is fetched for an attempt is not on the disk for certain: the log of what was acknowledged does not go by it.
func TestWriteBackDoesNotRelyOnFetched(t *testing.T) {
	r := newRig(t, func(c *Config) { c.WriteBack = true })
	r.put("key", text(1000, 1))
	asked := make(chan struct{})
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Before: func(ctx context.Context) error {
		close(asked)
		<-ctx.Done()
		return ctx.Err()
	}})
	f := r.open("key", false)
	r.write(f, []byte("changed"), 5)
	r.publish(f)
	<-asked
	want := text(1000, 1)
	copy(want[5:], "changed")
	records, err := r.cfg.Journal.Uploads()
	if err != nil || len(records) != 1 || len(records[0].Local) != 1 || records[0].Local[0] != (objstore.Range{Off: 5, Len: 7}) {
		t.Errorf("%+v, %v", records, err)
	}
	r.remount(func(c *Config) { c.WriteBack = true })
	r.settled()
	if got := r.stored("key"); !bytes.Equal(got, want) {
		t.Error("something else is stored after a crash")
	}
}

// A renamed file is stored under its new key, and nothing of it under the old one.
func TestRetarget(t *testing.T) {
	for _, size := range []int{10, 1 << 20} {
		r := newRig(t, nil)
		content := text(size, 1)
		f := r.open("old", true)
		r.write(f, content, 0)
		if did, err := f.Retarget(context.Background(), Target{Bucket: r.bucket, Key: "new"}); err != nil || !did {
			t.Fatal(did, err)
		}
		r.publish(f)
		if did, err := f.Retarget(context.Background(), Target{Bucket: r.bucket, Key: "newer"}); err != nil || did {
			t.Errorf("once it is stored: %v, %v", did, err)
		}
		f.Close()
		r.settled()
		if !bytes.Equal(r.stored("new"), content) {
			t.Error("something else is stored")
		}
		if _, err := r.store.Stat(context.Background(), "old"); !errors.Is(err, objstore.ErrNotExist) {
			t.Errorf("under the old key: %v", err)
		}
	}
}

// A removed file is not stored, and can be read on.
func TestDiscard(t *testing.T) {
	r := newRig(t, nil)
	content := text(1<<20, 1)
	r.put("key", content)
	f := r.open("key", false)
	r.write(f, []byte("changed"), 5)
	copy(content[5:], "changed")
	if err := f.Localise(context.Background(), 1000); !errors.Is(err, objstore.ErrQuota) {
		t.Errorf("%v", err)
	}
	if err := f.Localise(context.Background(), 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Delete(context.Background(), "key"); err != nil {
		t.Fatal(err)
	}
	if f.Discard(t.Context()) {
		t.Error("something was being stored")
	}
	got := make([]byte, len(content))
	if n, err := f.ReadAt(context.Background(), got, 0); n != len(got) || err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes are read, %v", n, err)
	}
	f.Close()
	r.settled()
	if _, err := r.store.Stat(context.Background(), "key"); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// What is withdrawn is not stored, until it is restored; a mount that dies in between has not withdrawn it.
func TestWithdraw(t *testing.T) {
	for _, crash := range []bool{false, true} {
		back := func(c *Config) { c.WriteBack = true }
		r := newRig(t, back)
		r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Before: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		f := r.open("key", true)
		r.write(f, []byte("text"), 0)
		r.publish(f)
		f.Close()
		f.begin() // it need not rest
		if !f.Withdraw(t.Context()) {
			t.Error("nothing was under way")
		}
		r.bucket.Clear()
		if !f.Changed() {
			t.Error("what was written is not read any more, though it may be restored")
		}
		given, giveUp := context.WithCancel(t.Context())
		giveUp()
		if _, err := f.Publish(given); !errors.Is(err, context.Canceled) {
			t.Errorf("it is answered before it is known what becomes of it: %v", err)
		}
		if crash {
			r.remount(back)
		} else {
			f.Restore()
		}
		r.settled()
		if got := r.stored("key"); string(got) != "text" {
			t.Errorf("crash %v: %q is stored", crash, got)
		}
	}
}

// Store waits for the store where Publish waits for the local disk.
func TestStore(t *testing.T) {
	r := newRig(t, func(c *Config) { c.WriteBack = true })
	f := r.open("key", true)
	r.write(f, []byte("text"), 0)
	if e, err := f.Store(t.Context()); err != nil || e.Size != 4 {
		t.Errorf("%+v, %v", e, err)
	}
	if got := r.stored("key"); string(got) != "text" {
		t.Errorf("%q is stored", got)
	}
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Err: objstore.ErrTimeout})
	r.write(f, []byte("more"), 0)
	if _, err := f.Store(t.Context()); !errors.Is(err, objstore.ErrTimeout) {
		t.Errorf("a store that does not answer: %v", err)
	}
	f.Close()
	r.settled()
}
