package disk

const (
	// sampled is how many chunks in a row are looked at to find the one to evict.
	sampled = 8
	// maxSampled is how many are looked at in all before it is given up: where all are pinned or in use there may be none.
	maxSampled = 64 * sampled
)

// helpless is how long nothing is evicted for the disk's sake after that did not help, at first and at last: what goes
// may be in a snapshot, or open, and others may take all that is given back.
const (
	firstHelpless = 2 * lookAfter
	lastHelpless  = 64 * lookAfter
)

// victim is what was evicted: out of the catalog, with its bytes still in the file.
type victim struct {
	key    chunkKey
	size   int64 // of its version
	blocks Blocks
	last   bool // there is no other chunk of the version: the file goes
}

// newcomer is a chunk for which others may have to go.
type newcomer struct {
	chunk  uint64 // its hash
	wanted bool   // see wanted.go
}

// evictOne takes the chunk out of the catalog that is worth least among the next few that may go, if it is to go for a
// newcomer; any chunk for none.
func (t *Tier) evictOne(n *newcomer) (v victim, ok bool, err error) {
	for looked := 0; looked < maxSampled; looked += sampled {
		keys, err := t.atHand()
		if err != nil || len(keys) == 0 {
			return v, false, err
		}
		key, worth, found, err := t.leastWorth(keys, n != nil && n.wanted)
		if err != nil {
			return v, false, err
		}
		if found && n != nil && !n.wanted && !t.admits(n.chunk, worth) {
			return v, false, nil
		}
		if found {
			if v, ok, err = t.remove(key); ok || err != nil {
				return v, ok, err
			}
		}
		if err := t.passOver(keys[len(keys)-1].id); err != nil {
			return v, false, err
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

// passOver moves the hand past a version of which nothing may go. A pinned file of a terabyte has more chunks than are
// looked at.
func (t *Tier) passOver(id uint64) error {
	h, ok, err := t.catalog.owner(id)
	if err != nil {
		return err
	}
	r, has, err := t.catalog.version(h)
	if err != nil {
		return err
	}
	if ok && has && r.pinned || t.uses.isLeased(id) {
		t.catalog.setHand(chunkKey{id: id + 1})
	}
	return nil
}

// leastWorth finds what goes first among chunks of versions that are not pinned, and where so is asked not wanted.
func (t *Tier) leastWorth(keys []chunkKey, spareWanted bool) (least chunkKey, worth int, found bool, err error) {
	for _, k := range keys {
		h, ok, err := t.catalog.owner(k.id)
		if err != nil {
			return least, 0, false, err
		}
		r, has, err := t.catalog.version(h)
		if err != nil {
			return least, 0, false, err
		}
		if !ok || !has || r.pinned || t.beingWritten[k] || spareWanted && t.wanted.has(h) {
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

// shrink evicts what the limit, which may be lower than it was, or the disk, which others fill, asks for; for the disk
// no more than it then has more free.
func (t *Tier) shrink() {
	if t.cfg.idle || t.sweeping.Load() { // what is in the trash goes anyhow, and first
		return
	}
	for {
		fs, err := statfs(t.dir.path)
		if err != nil {
			t.fail("statfs", err)
			return
		}
		short := -t.left(0, fs)
		forDisk := t.used() <= t.space.limit
		if short <= 0 || t.catalog.totals.chunks == 0 {
			t.helpless = 0
			return
		}
		if forDisk && t.now().Before(t.shrinkAgain) {
			return
		}
		n, err := t.evictSome(shrinkBatch, short)
		if err != nil {
			t.fail("read index", err)
		}
		if n == 0 || err != nil || !t.commit(nil) {
			return
		}
		if after, err := statfs(t.dir.path); forDisk && err == nil && after.free <= fs.free {
			t.helpless = min(max(2*t.helpless, firstHelpless), lastHelpless)
			t.shrinkAgain = t.now().Add(t.helpless)
			return
		}
		select {
		case <-t.stop:
			return
		default:
		}
	}
}

// evictSome evicts so many chunks, fewer where they have enough bytes of the disk or the rest may not go.
func (t *Tier) evictSome(most int, enough int64) (n int, err error) {
	for before := t.evictedSpace; n < most && t.evictedSpace-before < enough; n++ {
		v, ok, err := t.evictOne(nil)
		if err != nil || !ok {
			return n, err
		}
		t.evict(v)
	}
	return n, nil
}

// evict has the space of a chunk that is out of the catalog given back after the next commit.
func (t *Tier) evict(v victim) {
	t.stats.evicted.Add(1)
	t.evicted = append(t.evicted, v)
	t.evictedSpace += v.space()
}

// space is how many bytes of the disk it takes.
func (v victim) space() int64 {
	_, space := weigh(chunkLength(v.size, v.key.index), v.blocks)
	return space
}
