package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/upload/journal"
)

// moveRig is a mover over a store that can be broken.
type moveRig struct {
	*mover
	root   string
	bucket *faultstore.Store
	inner  *memstore.Store

	carried sync.Map // what was said to have another key: from version to version
}

// newMoveRig makes one over a store that cannot rename, where rename is false.
func newMoveRig(t *testing.T, rename bool) *moveRig {
	t.Helper()
	r := &moveRig{root: t.TempDir(), inner: memstore.New("bucket")}
	r.bucket = faultstore.New(r.inner)
	r.withRename(rename)
	r.start(t)
	return r
}

func (r *moveRig) withRename(rename bool) {
	r.bucket.Clear()
	if !rename {
		r.bucket.Add(faultstore.Fault{Op: objstore.OpRename, Err: objstore.ErrUnsupported})
	}
}

// start takes a staging directory, as a mount does.
func (r *moveRig) start(t *testing.T) {
	t.Helper()
	dir, err := journal.Create(r.root, journal.Owner{Endpoint: "memory", Bucket: "bucket"})
	if err != nil {
		t.Fatal(err)
	}
	r.mover = newMover(Config{
		Journal: dir, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Renamed: func(from, to objstore.Version) { r.carried.Store(from, to) },
	})
	t.Cleanup(func() { r.close() })
}

// crash ends the mount with its log left as it is.
func (r *moveRig) crash(t *testing.T) {
	t.Helper()
	r.close()
	if err := r.journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// rename moves a directory.
func (r *moveRig) rename(ctx context.Context, b objstore.Bucket, from, to string) error {
	_, err := r.directory(ctx, ctx, b, from, to)
	return err
}

func (r *moveRig) put(t *testing.T, key, content string) objstore.Version {
	t.Helper()
	e, err := r.inner.Put(context.Background(), key, strings.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{
		ContentType: "text/x", Metadata: map[string]string{"k": "v"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return objstore.VersionOf(r.inner, e)
}

// putParts stores an object whose ETag is not that of its content.
func (r *moveRig) putParts(t *testing.T, key string, parts ...string) objstore.Version {
	t.Helper()
	ctx := context.Background()
	id, err := r.inner.CreateUpload(ctx, key, objstore.Attributes{Metadata: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	var sent []objstore.Part
	for i, p := range parts {
		one, err := r.inner.UploadPart(ctx, key, id, i+1, strings.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, one)
	}
	e, err := r.inner.CompleteUpload(ctx, key, id, sent, objstore.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return objstore.VersionOf(r.inner, e)
}

// contents is every object of the store.
func (r *moveRig) contents(t *testing.T) map[string]string {
	t.Helper()
	ctx := context.Background()
	result := map[string]string{}
	for page, err := range r.inner.List(ctx, objstore.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			result[e.Key] = ""
			if e.Size == 0 {
				continue
			}
			body, err := r.inner.Open(ctx, objstore.VersionOf(r.inner, e), objstore.Range{Len: e.Size})
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(body)
			if err := errors.Join(err, body.Close()); err != nil {
				t.Fatal(err)
			}
			result[e.Key] = string(text)
		}
	}
	return result
}

func (r *moveRig) uploads(t *testing.T) int {
	t.Helper()
	n := 0
	for _, err := range r.inner.ListUploads(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// want compares the whole store.
func (r *moveRig) want(t *testing.T, when string, want map[string]string) {
	t.Helper()
	if got := r.contents(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: the store has %v, want %v", when, got, want)
	}
}

// logs is how many renames are in the journal of the mount.
func (r *moveRig) logs(t *testing.T) []journal.MovesRecord {
	t.Helper()
	records, err := r.journal.Moves()
	if err != nil {
		t.Fatal(err)
	}
	return records
}
