package upload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/upload/journal"
)

// smallSizes make uploads of many parts of little.
var smallSizes = newSizes(sizes{part: 64 << 10, largest: 1 << 20, unit: 4 << 10, least: 5 << 10, copied: 256 << 10})

// testPatience is for how long a test waits for what comes without its doing: long enough for a machine that is slow,
// busy, and looks for races.
const testPatience = 2 * time.Minute

// rig is uploads over a store that can be broken.
type rig struct {
	*Uploads
	t      *testing.T
	root   string
	store  *memstore.Store
	bucket *faultstore.Store
}

// fromStore reads what files change from the store.
type fromStore struct{ bucket objstore.Bucket }

func (s fromStore) ReadAt(ctx context.Context, v objstore.Version, p []byte, off int64) (int, error) {
	body, err := s.bucket.Open(ctx, v, objstore.Range{Off: off, Len: int64(len(p))})
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(body, p)
	return n, errors.Join(err, body.Close())
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, root: t.TempDir(), store: memstore.New("bucket")}
	r.bucket = faultstore.New(r.store)
	r.start(change)
	return r
}

// start makes the uploads of a mount, which end with the test at the latest.
func (r *rig) start(change func(*Config)) {
	r.t.Helper()
	dir, err := journal.Create(r.root, journal.Owner{Endpoint: r.store.Endpoint(), Bucket: "bucket"})
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := Config{Journal: dir, Size: 1 << 30, Content: fromStore{r.store}, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	if r.Uploads, err = New(cfg); err != nil {
		r.t.Fatal(err)
	}
	r.sizes = smallSizes
	u := r.Uploads
	r.t.Cleanup(func() {
		if err := errors.Join(u.Close(), dir.Close()); err != nil {
			r.t.Error(err)
		}
	})
}

// open begins to write a file: a new one, or over what the store has under the key.
func (r *rig) open(key string, empty bool) *File {
	r.t.Helper()
	t := Target{Bucket: r.bucket, Key: key}
	if e, err := r.store.Stat(context.Background(), key); err == nil {
		t.Replaces = objstore.VersionOf(r.store, e)
	}
	base := t.Replaces
	if empty {
		base = Base{}
	}
	f, err := r.Open(t, base)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r *rig) write(f *File, p []byte, off int64) {
	r.t.Helper()
	if err := f.WriteAt(context.Background(), p, off); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) publish(f *File) objstore.Entry {
	r.t.Helper()
	e, err := f.Publish(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// stored is what the store has under a key.
func (r *rig) stored(key string) []byte {
	r.t.Helper()
	ctx := context.Background()
	e, err := r.store.Stat(ctx, key)
	if err != nil {
		r.t.Fatal(err)
	}
	if e.Size == 0 {
		return []byte{}
	}
	p := make([]byte, e.Size)
	if _, err := (fromStore{r.store}).ReadAt(ctx, objstore.VersionOf(r.store, e), p, 0); err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) put(key string, content []byte) objstore.Entry {
	r.t.Helper()
	e, err := r.store.Put(context.Background(), key, bytes.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{
		ContentType: "text/x", Metadata: map[string]string{"k": "v"},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// settled waits until nothing is to be stored, and makes sure that nothing is left: no staging file, no multipart
// upload, no byte of the budget.
func (r *rig) settled() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	if p := r.Flush(ctx, nil); p.Files > 0 {
		r.t.Fatalf("%+v is left", p)
	}
	for deadline := time.Now().Add(testPatience); ; time.Sleep(time.Millisecond) {
		s := r.Stats()
		records, err := r.cfg.Journal.Uploads()
		if err != nil {
			r.t.Fatal(err)
		}
		uploads := 0
		for _, err := range r.store.ListUploads(ctx, "") {
			if err != nil {
				r.t.Fatal(err)
			}
			uploads++
		}
		if s.Files+len(records)+uploads == 0 && s.Staged == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d files, %d logs, %d multipart uploads, %d bytes are left", s.Files, len(records), uploads, s.Staged)
		}
	}
}

// text is so many bytes that are different everywhere.
func text(n int, seed byte) []byte {
	p := make([]byte, n)
	x := uint32(seed) + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}
