package disk

const (
	// sampled is how many chunks in a row are looked at to find the one to evict.
	sampled = 8
	// maxSampled is how many are looked at in all before it is given up: where all are pinned or in use there may be none.
	maxSampled = 64 * sampled
)

// victim is what was evicted: out of the catalog, with its bytes still in the file.
type victim struct {
	key    chunkKey
	size   int64 // of its version
	blocks Blocks
	last   bool // there is no other chunk of the version: the file goes
}

// evictOne takes the chunk out of the catalog that is worth least among the next few that may go, if it is to go for a newcomer; any chunk
// for none.
func (t *Tier) evictOne(newcomer *uint64) (v victim, ok bool, err error) {
	for looked := 0; looked < maxSampled; looked += sampled {
		keys, err := t.atHand()
		if err != nil || len(keys) == 0 {
			return v, false, err
		}
		key, worth, found, err := t.leastWorth(keys)
		if err != nil {
			return v, false, err
		}
		if !found {
			continue
		}
		if newcomer != nil && !t.admits(*newcomer, worth) {
			return v, false, nil
		}
		if v, ok, err = t.remove(key); ok || err != nil {
			return v, ok, err
		}
	}
	return v, false, nil
}

// atHand is the chunks that the hand is at, and moves it on.
func (t *Tier) atHand() (keys []chunkKey, err error) {
	if keys, err = t.catalog.from(t.catalog.totals.hand, sampled); err != nil {
		return nil, err
	}
	if len(keys) < sampled { // once around
		more, err := t.catalog.from(chunkKey{}, sampled-len(keys))
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	if len(keys) > 0 {
		next := keys[len(keys)-1]
		next.index++
		t.catalog.setHand(next)
	}
	return keys, nil
}

// leastWorth finds what goes first among chunks of versions that are not pinned.
func (t *Tier) leastWorth(keys []chunkKey) (least chunkKey, worth int, found bool, err error) {
	for _, k := range keys {
		h, ok, err := t.catalog.owner(k.id)
		if err != nil {
			return least, 0, false, err
		}
		r, has, err := t.catalog.version(h)
		if err != nil {
			return least, 0, false, err
		}
		if !ok || !has || r.pinned || t.beingWritten[k] {
			continue
		}
		if _, ok, err := t.catalog.chunk(k); err != nil || !ok {
			continue
		}
		if w := t.worth(hashOf(h, int64(k.index))); !found || w < worth {
			least, worth, found = k, w, true
		}
	}
	return least, worth, found, nil
}

// remove takes a chunk out of the catalog unless somebody uses it.
func (t *Tier) remove(k chunkKey) (v victim, ok bool, err error) {
	h, ok, err := t.catalog.owner(k.id)
	if err != nil || !ok {
		return v, false, err
	}
	r, ok, err := t.catalog.version(h)
	if err != nil || !ok {
		return v, false, err
	}
	c, ok, err := t.catalog.chunk(k)
	if err != nil || !ok {
		return v, false, err
	}
	v = victim{key: k, size: r.version.Size, blocks: c.present, last: r.chunks == 1}
	leases, err := t.files.keeper(k.id)
	if err != nil {
		t.fail("open", err)
		return v, false, nil
	}
	defer leases.close()
	ok = t.uses.unlessUsed(k, leases, func() { t.catalog.put(h, r, k, c, chunkRecord{}) })
	if ok {
		t.checked.forget(k, c.present)
	}
	return v, ok, nil
}

// giveBack frees the disk space of what was removed, once that is committed.
func (t *Tier) giveBack(victims []victim) {
	for _, v := range victims {
		t.crash("give back")
		if err := t.giveBackOne(v); err != nil {
			t.fail("remove", err)
		}
	}
}

func (t *Tier) giveBackOne(v victim) error {
	if v.last {
		return t.files.remove(v.key.id)
	}
	d, err := t.files.use(v.key.id, -1)
	if err != nil {
		return err
	}
	defer t.files.release(d)
	return d.punchBlocks(v.key.index, chunkLength(v.size, v.key.index), v.blocks)
}
