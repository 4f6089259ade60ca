package disk

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// check commits, and counts everything again.
func (t *Tier) check() error {
	return t.order(func() error {
		if !t.commit(nil) {
			return nil // the disk does not work
		}
		counted := totals{nextID: t.catalog.totals.nextID, limit: t.catalog.totals.limit, minFree: t.catalog.totals.minFree, hand: t.catalog.totals.hand}
		chunks := map[uint64]uint32{}
		present, stored := map[uint64]int64{}, map[uint64]int64{}
		return t.catalog.index.view(func(tx *bbolt.Tx) error {
			err := tx.Bucket(chunksBucket).ForEach(func(b, value []byte) error {
				k, _ := parseChunkKey(b)
				r, ok := parseChunkRecord(value)
				h := tx.Bucket(idsBucket).Get(idBytes(k.id))
				v, has := parseVersionRecord(tx.Bucket(versionsBucket).Get(h))
				if !ok || !has || v.id != k.id {
					return fmt.Errorf("chunk %v has no version: %v %v", k, ok, has)
				}
				bytes, space := weigh(chunkLength(v.version.Size, k.index), r.present)
				counted.chunks++
				counted.space += space
				chunks[k.id]++
				present[k.id] += bytes
				stored[k.id] += space
				return nil
			})
			if err != nil {
				return err
			}
			err = tx.Bucket(versionsBucket).ForEach(func(h, value []byte) error {
				v, ok := parseVersionRecord(value)
				if !ok || v.chunks != chunks[v.id] || v.present != present[v.id] || v.stored != stored[v.id] || v.chunks == 0 {
					return fmt.Errorf("version %+v: %v, counted %d %d %d", v, ok, chunks[v.id], present[v.id], stored[v.id])
				}
				if hashVersion(v.version) != versionHash(h) || v.id >= counted.nextID {
					return fmt.Errorf("version %+v is in the wrong place", v)
				}
				counted.versions++
				return nil
			})
			if err == nil && counted != t.catalog.totals {
				err = fmt.Errorf("counted %+v, have %+v", counted, t.catalog.totals)
			}
			return err
		})
	})
}
