package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

var errLost = errors.New("connection reset before the answer")

// A body is rewound between attempts to where it was, and its caller's failures are not retried.
func TestRetryRewinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{})
		r.faults.Add(
			faultstore.Fault{Op: objstore.OpPut, Times: 2, Lost: errLost},
			faultstore.Fault{Op: objstore.OpUploadPart, Times: 2, Lost: errLost},
		)
		body := bytes.NewReader([]byte("skipped" + content))
		body.Seek(int64(len("skipped")), io.SeekStart)
		e, err := r.bucket.Put(t.Context(), "key", body, int64(len(content)), objstore.Condition{}, objstore.Attributes{})
		if err != nil || e.Size != int64(len(content)) || r.faults.Count(objstore.OpPut) != 3 {
			t.Errorf("%+v, %v after %d attempts", e, err, r.faults.Count(objstore.OpPut))
		}
		r.read("key", content)

		id, err := r.bucket.CreateUpload(t.Context(), "parts", objstore.Attributes{})
		if err != nil {
			t.Fatal(err)
		}
		body.Seek(int64(len("skipped")), io.SeekStart)
		part, err := r.bucket.UploadPart(t.Context(), "parts", id, 1, body, int64(len(content)))
		if err != nil || part.ETag != e.ETag {
			t.Errorf("part %+v, %v; want etag %s", part, err, e.ETag)
		}

		_, err = r.bucket.Put(t.Context(), "key", unseekable{}, 1, objstore.Condition{}, objstore.Attributes{})
		wantKind(t, err, objstore.KindInvalid)
	})
}

// unseekable is a body that cannot tell where it is.
type unseekable struct{ io.Reader }

func (unseekable) Seek(int64, int) (int64, error) { return 0, errors.New("a pipe") }

// lostWrite is a conditional write whose first attempt is done but not answered.
type lostWrite struct {
	op    objstore.Op
	write func(ctx context.Context, b objstore.Bucket, src objstore.Version) error
}

func lostWrites() []lostWrite {
	isNew := objstore.Condition{IfNew: true}
	return []lostWrite{
		{objstore.OpPut, func(ctx context.Context, b objstore.Bucket, _ objstore.Version) error {
			_, err := b.Put(ctx, "key", bytes.NewReader([]byte(content)), int64(len(content)), isNew, objstore.Attributes{})
			return err
		}},
		{objstore.OpCompleteUpload, func(ctx context.Context, b objstore.Bucket, _ objstore.Version) error {
			id, err := b.CreateUpload(ctx, "key", objstore.Attributes{})
			if err != nil {
				return err
			}
			var parts []objstore.Part
			for i, piece := range []string{content[:4], content[4:]} {
				p, err := b.UploadPart(ctx, "key", id, i+1, bytes.NewReader([]byte(piece)), int64(len(piece)))
				if err != nil {
					return err
				}
				parts = append(parts, p)
			}
			e, err := b.CompleteUpload(ctx, "key", id, parts, isNew)
			if err == nil && e.Size != int64(len(content)) {
				return fmt.Errorf("completed as %+v", e)
			}
			return err
		}},
		{objstore.OpCopy, func(ctx context.Context, b objstore.Bucket, src objstore.Version) error {
			_, err := b.Copy(ctx, "key", src, isNew)
			return err
		}},
		{objstore.OpRename, func(ctx context.Context, b objstore.Bucket, src objstore.Version) error {
			renamer, _ := objstore.AsRenamer(b)
			return renamer.Rename(ctx, "key", src, isNew)
		}},
	}
}

// A refusal that is the doing of the write's own lost attempt is a success.
func TestRetryLostAnswer(t *testing.T) {
	for _, c := range lostWrites() {
		t.Run(c.op.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRetryTest(t, objstore.RetryPolicy{})
				src := put(t, r.store, "source", content)
				r.faults.Add(faultstore.Fault{Op: c.op, Times: 1, Lost: errLost})
				if err := c.write(t.Context(), r.bucket, src); err != nil {
					t.Error(err)
				}
				if n := r.faults.Count(c.op); n != 2 {
					t.Errorf("%d attempts, want 2", n)
				}
				r.read("key", content)
			})
		})
	}
}

// A refusal is an error when another client's object stands in the way, or when no attempt can have been done.
func TestRetryRefused(t *testing.T) {
	for _, c := range lostWrites() {
		for name, first := range map[string]error{"lost": errLost, "throttled": objstore.ErrThrottled} {
			t.Run(c.op.String()+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRetryTest(t, objstore.RetryPolicy{})
					src := put(t, r.bucket, "source", content)
					other := content
					if name == "lost" {
						other = "of somebody else"
					}
					r.faults.Add(faultstore.Fault{Op: c.op, Times: 1, Before: func(context.Context) error {
						put(t, r.store, "key", other)
						return first
					}})
					wantKind(t, c.write(t.Context(), r.bucket, src), objstore.KindExists)
					r.read("key", other)
				})
			})
		}
	}
}

// Two clients that put the same under a new name can be told from each other by what names the writer: who has lost an
// answer has won only if the object is its own.
func TestRetryKnowsItsWriter(t *testing.T) {
	for name, other := range map[string]string{"own": "", "another's": "them"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRetryTest(t, objstore.RetryPolicy{})
				mine := objstore.Attributes{Metadata: map[string]string{objstore.WriterMetadata: "me"}}
				lost := faultstore.Fault{Op: objstore.OpPut, Times: 1, Lost: errLost}
				if other != "" {
					lost = faultstore.Fault{Op: objstore.OpPut, Times: 1, Before: func(ctx context.Context) error {
						theirs := objstore.Attributes{Metadata: map[string]string{objstore.WriterMetadata: other}}
						_, err := r.store.Put(ctx, "lock", strings.NewReader(""), 0, objstore.Condition{IfNew: true}, theirs)
						return errors.Join(errLost, err)
					}}
				}
				r.faults.Add(lost)
				_, err := r.bucket.Put(t.Context(), "lock", strings.NewReader(""), 0, objstore.Condition{IfNew: true}, mine)
				if won := err == nil; won != (other == "") || !won && !errors.Is(err, objstore.ErrExists) {
					t.Errorf("it is %v", err)
				}
			})
		})
	}
}

// wrongWhole makes an object of the parts, and says that it is not what they are.
type wrongWhole struct{ objstore.Bucket }

func (w wrongWhole) CompleteUpload(ctx context.Context, key, id string, parts []objstore.Part, cond objstore.Condition) (objstore.Entry, error) {
	e, err := w.Bucket.CompleteUpload(ctx, key, id, parts, cond)
	if err == nil {
		err = &objstore.Error{Op: "CompleteMultipartUpload", Key: key, Err: objstore.ErrCorrupt}
	}
	return e, err
}

// An object of which the store says that it is not what its parts are is no success, though its ETag is theirs.
func TestRetryWrongWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{})
		b := objstore.NewRetry(wrongWhole{r.store}, objstore.RetryPolicy{})
		wantKind(t, lostWrites()[1].write(t.Context(), b, objstore.Version{}), objstore.KindCorrupt)
		if _, err := r.store.Stat(t.Context(), "key"); err != nil {
			t.Errorf("the store has made it: %v", err)
		}
	})
}
