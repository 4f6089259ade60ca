package disk

import (
	"context"
	"errors"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/objstore"
)

// Entry is a version of which something is on disk.
type Entry struct {
	Version objstore.Version
	Present int64 // bytes
	Pinned  bool
}

// entriesAtOnce is how many entries are read in one go: a reader that is slow must not hold the index.
const entriesAtOnce = 256

// Entries are the versions of which something is on disk, as of the last commit, in no order that means anything. Those
// that come or go meanwhile may be among them or not.
func (t *Tier) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for after, more := []byte(nil), true; more; {
			var page []Entry
			var err error
			if page, after, err = t.EntriesAfter(after, entriesAtOnce); err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			more = len(page) == entriesAtOnce
		}
	}
}

// EntriesAfter are the first n entries after a place, nil for the beginning, and the place after them.
func (t *Tier) EntriesAfter(after []byte, n int) (page []Entry, last []byte, err error) {
	records, last, err := t.catalog.versionsAfter(after, n)
	if err != nil {
		t.fail("read index", err)
		return nil, nil, err
	}
	for _, r := range records {
		page = append(page, Entry{Version: r.version, Present: r.present, Pinned: r.pinned})
	}
	return page, last, nil
}

// versionsAfter lists at most n committed versions whose hashes come after one, and the last hash.
func (c *catalog) versionsAfter(after []byte, n int) (records []versionRecord, last []byte, err error) {
	err = c.index.view(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(versionsBucket).Cursor()
		k, value := cursor.Seek(after)
		if k != nil && string(k) == string(after) {
			k, value = cursor.Next()
		}
		for ; k != nil && len(records) < n; k, value = cursor.Next() {
			r, ok := parseVersionRecord(value)
			if !ok {
				return errIndex
			}
			records, last = append(records, r), append([]byte(nil), k...)
		}
		return nil
	})
	return records, last, err
}

// Pin keeps a version from being evicted, or ends that. Nothing happens when there is nothing of it here.
func (t *Tier) Pin(v objstore.Version, pinned bool) error {
	h := hashVersion(v)
	return t.order(func() error { return t.setPin(h, pinned) })
}

func (t *Tier) setPin(h versionHash, pinned bool) error {
	r, ok, err := t.catalog.version(h)
	if err != nil || !ok {
		return err
	}
	r.pinned = pinned
	t.catalog.mark(h, r)
	return nil
}

// Evict gives up what there is of a version, pinned or not, but for chunks in use. It returns how many bytes were given
// up.
func (t *Tier) Evict(v objstore.Version) (bytes int64, err error) {
	h := hashVersion(v)
	err = t.order(func() error {
		r, ok, err := t.catalog.version(h)
		if err != nil || !ok {
			return err
		}
		before := r.present
		for index := uint32(0); int64(index)*ChunkSize < v.Size; index++ {
			gone, ok, err := t.remove(chunkKey{r.id, index})
			if err != nil {
				return err
			}
			if ok {
				t.evict(gone)
			}
		}
		t.commit(nil)
		left, _, err := t.catalog.version(h)
		bytes = before - left.present
		return err
	})
	return bytes, err
}

// Verify compares all that there is of a version with its checksums, whether that was done before or not. What is not
// right is dropped; bad is how many blocks that were.
func (t *Tier) Verify(ctx context.Context, v objstore.Version) (bad int, err error) {
	for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
		if ctx.Err() != nil {
			return bad, ctx.Err()
		}
		bad += t.VerifyChunk(v, chunk)
	}
	return bad, nil
}

// VerifyChunk is Verify for one chunk. What is bad has been dropped when it returns, unless somebody else reads the
// chunk.
func (t *Tier) VerifyChunk(v objstore.Version, chunk int64) (bad int) {
	if chunk < 0 || chunk*ChunkSize >= v.Size {
		return 0
	}
	hold := t.hold(v, chunk)
	if hold == nil {
		return 0
	}
	t.checked.forget(hold.key, hold.Blocks())
	buffer := aligned(make([]byte, BlockSize+diskBlock))
	for i := range blocksPerChunk {
		if hold.Blocks().Has(i) && !hold.Read(buffer[:blockLength(hold.length, i)], i*BlockSize) {
			bad++
		}
	}
	if blocks := hold.end(); blocks != 0 {
		if err := t.order(func() error { return t.dropNow(hold.key, hold.record, blocks) }); err != nil && !errors.Is(err, errClosed) {
			t.fail("read index", err)
		}
	}
	return bad
}
