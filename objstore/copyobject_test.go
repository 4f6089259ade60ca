package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

func stored(t *testing.T, b objstore.Bucket, key, content string, attrs objstore.Attributes) objstore.Version {
	t.Helper()
	e, err := b.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), objstore.Condition{}, attrs)
	if err != nil {
		t.Fatal(err)
	}
	return objstore.VersionOf(b, e)
}

// inParts makes an object of parts that are copies of others.
func inParts(t *testing.T, b objstore.Bucket, key string, pieces ...string) objstore.Version {
	t.Helper()
	whole := stored(t, b, key+".whole", strings.Join(pieces, ""), objstore.Attributes{})
	var ranges []objstore.Range
	off := int64(0)
	for _, piece := range pieces {
		ranges = append(ranges, objstore.Range{Off: off, Len: int64(len(piece))})
		off += int64(len(piece))
	}
	e, err := objstore.CopyParts(t.Context(), b, key, whole, ranges, objstore.CopyPlan{})
	if err != nil {
		t.Fatal(err)
	}
	return objstore.VersionOf(b, e)
}

// A copy in parts is the same bytes with other attributes, onto its own key too, and tells how far it is.
func TestCopyParts(t *testing.T) {
	b := memstore.New("bucket")
	src := stored(t, b, "key", "0123456789", objstore.Attributes{})
	var copied atomic.Int64
	plan := objstore.CopyPlan{
		Attributes: objstore.Attributes{ContentType: "text/plain"}, Condition: objstore.Condition{IfMatch: src.ETag}, Progress: func(n int64) { copied.Add(n) },
	}
	e, err := objstore.CopyParts(t.Context(), b, "key", src, objstore.CopyRanges(10, 4), plan)
	if err != nil || e.Size != 10 || !strings.HasSuffix(e.ETag, "-3") || copied.Load() != 10 {
		t.Errorf("%+v, %v, %d bytes told", e, err, copied.Load())
	}
	same, err := objstore.SameContent(t.Context(), b, objstore.VersionOf(b, e), stored(t, b, "other", "0123456789", objstore.Attributes{}))
	if !same || err != nil {
		t.Errorf("the copy is another content: %v", err)
	}
	if _, err := objstore.CopyParts(t.Context(), b, "key", src, objstore.CopyRanges(10, 4), plan); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("of a version that is gone: %v", err)
	}
}

// A copy that fails, or whose caller ends at any step of it, leaves no upload and no object.
func TestCopyPartsGivesUp(t *testing.T) {
	for _, op := range []objstore.Op{objstore.OpCreateUpload, objstore.OpCopyPart, objstore.OpCompleteUpload} {
		for _, fault := range []error{nil, objstore.ErrChanged} {
			inner := memstore.New("bucket")
			src := stored(t, inner, "key", "0123456789", objstore.Attributes{})
			ctx, cancel := context.WithCancel(t.Context())
			b := faultstore.New(inner)
			b.Add(faultstore.Fault{Op: op, Before: func(ctx context.Context) error {
				if fault == nil {
					cancel()
					if op != objstore.OpCreateUpload { // which goes on, so that its upload can be given up
						return ctx.Err()
					}
				}
				return fault
			}})
			if _, err := objstore.CopyParts(ctx, b, "to", src, objstore.CopyRanges(10, 4), objstore.CopyPlan{}); err == nil {
				t.Errorf("%v: a copy that failed, or whose caller has ended, goes on", op)
			}
			cancel()
			for u, err := range inner.ListUploads(t.Context(), "") {
				t.Errorf("%v: left: %+v (%v)", op, u, err)
			}
			if _, err := inner.Stat(t.Context(), "to"); !errors.Is(err, objstore.ErrNotExist) {
				t.Errorf("%v: an object is there: %v", op, err)
			}
		}
	}
}

// Markers are made anew, with what goes along with them, and other objects copied.
func TestCopyObject(t *testing.T) {
	b := memstore.New("bucket")
	for _, key := range []string{"dir/", "file"} {
		src := stored(t, b, key, strings.TrimSuffix(key, "dir/"), objstore.Attributes{Metadata: map[string]string{"a": "b"}})
		e, err := objstore.CopyObject(t.Context(), b, "to/"+key, src, objstore.CopyPlan{Condition: objstore.Condition{IfNew: true}})
		if err != nil {
			t.Fatal(err)
		}
		if e, err = b.Stat(t.Context(), "to/"+key); err != nil || e.Metadata["a"] != "b" || e.Size != src.Size {
			t.Errorf("%s: %+v, %v", key, e, err)
		}
		if _, err := objstore.CopyObject(t.Context(), b, "to/"+key, src, objstore.CopyPlan{Condition: objstore.Condition{IfNew: true}}); !errors.Is(err, objstore.ErrExists) {
			t.Errorf("%s again: %v", key, err)
		}
	}
}

// Contents are compared where ETags say nothing.
func TestSameContent(t *testing.T) {
	b := memstore.New("bucket")
	long := strings.Repeat("0123456789abcdef", 1<<15)
	whole := stored(t, b, "whole", long, objstore.Attributes{})
	parts := inParts(t, b, "parts", long[:77], long[77:])
	other := inParts(t, b, "other", long[:77], long[77:len(long)-1]+"!")
	short := stored(t, b, "short", long[1:], objstore.Attributes{})
	for _, c := range []struct {
		one, other objstore.Version
		want       bool
	}{{whole, whole, true}, {whole, parts, true}, {parts, other, false}, {whole, short, false}} {
		if got, err := objstore.SameContent(t.Context(), b, c.one, c.other); err != nil || got != c.want {
			t.Errorf("%s and %s: %v %v", c.one.Key, c.other.Key, got, err)
		}
	}
	if _, err := objstore.SameBytes(bytes.NewReader([]byte("ab")), bytes.NewReader([]byte("a"))); err == nil {
		t.Error("a body that is too short was not noticed")
	}
}

// The parts of a large copy are all of it, and no more than the store takes.
func TestCopyRanges(t *testing.T) {
	for _, size := range []int64{objstore.MaxCopy + 1, 48 << 40, 50_000 << 30} {
		all := objstore.CopyRanges(size, 1<<30)
		end := int64(0)
		for _, r := range all {
			if r.Off != end || r.Empty() {
				t.Fatalf("%d: %v follows %d", size, r, end)
			}
			end = r.End()
		}
		if end != size || len(all) > 10_000 || slices.MaxFunc(all, func(a, b objstore.Range) int { return int(a.Len - b.Len) }).Len > objstore.MaxCopy {
			t.Errorf("%d bytes in %d parts up to %d", size, len(all), end)
		}
	}
}

// silent does not say that its objects have tags.
type silent struct{ objstore.Bucket }

func (b silent) Stat(ctx context.Context, key string) (objstore.Entry, error) {
	e, err := b.Bucket.Stat(ctx, key)
	e.Tagged = false
	return e, err
}

// mute has tags, and does not tell them.
type mute struct {
	silent
	err error
}

func (b mute) Tags(context.Context, string) (string, error) { return "", b.err }

// What goes along with an object that is going to be gone is all that there is, also where the store does not say that
// it has tags; where they cannot be read, that is an error.
func TestAllAttributesOf(t *testing.T) {
	store := memstore.New("bucket")
	want := objstore.Attributes{
		ContentType: "text/plain", Metadata: map[string]string{"a": "b"}, StorageClass: "STANDARD_IA", Tags: "a=1", Headers: map[string]string{"Content-Encoding": "gzip"},
	}
	stored(t, store, "key", "content", want)
	for name, c := range map[string]struct {
		b    objstore.Bucket
		tags string
		err  error
	}{
		"told":      {store, "a=1", nil},
		"not told":  {silent{store}, "a=1", nil},
		"no tags":   {mute{silent{store}, objstore.ErrUnsupported}, "", nil},
		"forbidden": {mute{silent{store}, objstore.ErrPermission}, "", objstore.ErrPermission},
	} {
		e, err := c.b.Stat(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		got, err := objstore.AllAttributesOf(t.Context(), unwrapping{c.b}, e)
		want.Tags = c.tags
		if !errors.Is(err, c.err) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// unwrapping shows what is below it, as decorators do.
type unwrapping struct{ objstore.Bucket }

func (b unwrapping) Unwrap() objstore.Bucket { return b.Bucket }

func (b silent) Unwrap() objstore.Bucket { return b.Bucket }
