package disk

import (
	"sync"

	"go.etcd.io/bbolt"
)

// catalog is the index and what has changed since it was last committed. Many read it; only the writer changes it.
//
// INVARIANT: a version is there exactly while it has chunks.
type catalog struct {
	index *index

	mu       sync.Mutex                     // guards what is below; the writer reads it without
	versions map[versionHash]*versionRecord // what changed; nil for what was removed
	ids      map[uint64]*versionHash        // the same by number
	chunks   map[chunkKey]*chunkRecord      // what changed; nil for what was removed
	totals   totals
}

func newCatalog(x *index, t totals) *catalog {
	c := &catalog{index: x, totals: t}
	c.reset()
	return c
}

func (c *catalog) reset() {
	c.versions = make(map[versionHash]*versionRecord)
	c.ids = make(map[uint64]*versionHash)
	c.chunks = make(map[chunkKey]*chunkRecord)
}

// version is what is known of a version. ok is false when nothing of it is there. The record is a copy.
func (c *catalog) version(h versionHash) (r versionRecord, ok bool, err error) {
	return look(c, &c.versions, h, versionsBucket, h[:], parseVersionRecord)
}

// owner is the version that has a number.
func (c *catalog) owner(id uint64) (h versionHash, ok bool, err error) {
	return look(c, &c.ids, id, idsBucket, idBytes(id), parseVersionHash)
}

// chunk is what is known of a chunk.
func (c *catalog) chunk(k chunkKey) (r chunkRecord, ok bool, err error) {
	return look(c, &c.chunks, k, chunksBucket, k.bytes(), parseChunkRecord)
}

// look finds a record among those that changed, which c.mu guards, or else in the index.
func look[K comparable, R any](c *catalog, changed *map[K]*R, k K, bucket, key []byte, parse func([]byte) (R, bool)) (r R, ok bool, err error) {
	c.mu.Lock()
	record, has := (*changed)[k]
	if has && record != nil {
		r, ok = *record, true
	}
	c.mu.Unlock()
	if has {
		return r, ok, nil
	}
	err = c.index.view(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucket).Get(key); b != nil {
			if r, ok = parse(b); !ok {
				return errIndex
			}
		}
		return nil
	})
	return r, ok, err
}

// committed tells whether nothing of a version has changed since the last commit.
func (c *catalog) committed(h versionHash) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, changed := c.versions[h]
	return !changed
}

// sums is a copy of the totals.
func (c *catalog) sums() totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totals
}

// What follows is for the writer.

// put sets what is present of a chunk; nothing removes it, and a version with its last chunk. v has the version's fixed
// fields.
func (c *catalog) put(h versionHash, v versionRecord, k chunkKey, before, after chunkRecord) {
	length := chunkLength(v.version.Size, k.index)
	bytesBefore, spaceBefore := weigh(length, before.present)
	bytesAfter, spaceAfter := weigh(length, after.present)
	c.mu.Lock()
	defer c.mu.Unlock()
	v.present += bytesAfter - bytesBefore
	v.stored += spaceAfter - spaceBefore
	c.totals.space += spaceAfter - spaceBefore
	if v.chunks == 0 && after.present != 0 {
		c.totals.versions++
		c.ids[k.id] = &h
	}
	if before.present == 0 && after.present != 0 {
		v.chunks++
		c.totals.chunks++
	}
	if before.present != 0 && after.present == 0 {
		v.chunks--
		c.totals.chunks--
	}
	if c.chunks[k] = nil; after.present != 0 {
		c.chunks[k] = &after
	}
	if c.versions[h] = &v; v.chunks == 0 {
		c.versions[h], c.ids[k.id] = nil, nil
		c.totals.versions--
	}
}

// mark changes a version that is there.
func (c *catalog) mark(h versionHash, r versionRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions[h] = &r
}

// rename gives what there is of a version to another, of which nothing is there. r is the other's record, with the
// number of the one.
func (c *catalog) rename(from, to versionHash, r versionRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions[from], c.versions[to], c.ids[r.id] = nil, &r, &to
}

// newID gives a number that no version has had.
func (c *catalog) newID() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.totals.nextID++
	return c.totals.nextID - 1
}

func (c *catalog) setHand(k chunkKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.totals.hand = k
}

func (c *catalog) setSpace(s space) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.totals.limit, c.totals.minFree = s.limit, s.minFree
}

// waiting is changed, for whoever is not the writer.
func (c *catalog) waiting() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.changed())
}

// changed is how many chunks and versions wait to be committed.
func (c *catalog) changed() int { return len(c.chunks) + len(c.versions) }

// commit writes all that changed, and the chunks that will be written to next in place of the former intents. What
// cannot be committed stays to be committed later.
func (c *catalog) commit(intents []chunkKey) error {
	err := c.index.update(func(tx *bbolt.Tx) error {
		versions, ids, chunks := tx.Bucket(versionsBucket), tx.Bucket(idsBucket), tx.Bucket(chunksBucket)
		for h, r := range c.versions {
			if err := putOrDelete(versions, h[:], r != nil, r.bytes); err != nil {
				return err
			}
		}
		for id, h := range c.ids {
			if err := putOrDelete(ids, idBytes(id), h != nil, func() []byte { return h[:] }); err != nil {
				return err
			}
		}
		for k, r := range c.chunks {
			if err := putOrDelete(chunks, k.bytes(), r != nil, func() []byte { return r.bytes() }); err != nil {
				return err
			}
		}
		if err := tx.DeleteBucket(intentsBucket); err != nil {
			return err
		}
		b, err := tx.CreateBucket(intentsBucket)
		if err != nil {
			return err
		}
		for _, k := range intents {
			if err := b.Put(k.bytes(), nil); err != nil {
				return err
			}
		}
		return tx.Bucket(totalsBucket).Put(totalsKey, c.totals.bytes())
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
	return nil
}

func putOrDelete(b *bbolt.Bucket, key []byte, put bool, value func() []byte) error {
	if put {
		return b.Put(key, value())
	}
	return b.Delete(key)
}

// intents are the chunks that were to be written to when the index was last committed.
func (c *catalog) intents() (keys []chunkKey, err error) {
	err = c.index.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(intentsBucket).ForEach(func(b, _ []byte) error {
			if k, ok := parseChunkKey(b); ok {
				keys = append(keys, k)
			}
			return nil
		})
	})
	return keys, err
}

// from lists at most n chunks in the index's order from k on, those included that were removed since the last commit;
// fewer at the end.
func (c *catalog) from(k chunkKey, n int) (keys []chunkKey, err error) {
	err = c.index.view(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(chunksBucket).Cursor()
		for b, _ := cursor.Seek(k.bytes()); b != nil && len(keys) < n; b, _ = cursor.Next() {
			key, ok := parseChunkKey(b)
			if !ok {
				return errIndex
			}
			keys = append(keys, key)
		}
		return nil
	})
	return keys, err
}
