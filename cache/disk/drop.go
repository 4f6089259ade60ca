package disk

// drop forgets blocks of a chunk that turned out to be wrong or lost, unless they have been written anew since the
// record was read. It does not wait; where the writer is behind, or somebody else reads the chunk, the next who uses
// the block finds out again.
func (t *Tier) drop(k chunkKey, seen chunkRecord, blocks Blocks) {
	t.checked.forget(k, blocks)
	select {
	case t.orders <- func() {
		if err := t.dropNow(k, seen, blocks); err != nil {
			t.fail("read index", err)
		}
	}:
	default:
	}
}

func (t *Tier) dropNow(k chunkKey, seen chunkRecord, blocks Blocks) error {
	h, ok, err := t.catalog.owner(k.id)
	if err != nil || !ok {
		return err
	}
	r, ok, err := t.catalog.version(h)
	if err != nil || !ok {
		return err
	}
	before, ok, err := t.catalog.chunk(k)
	if err != nil || !ok {
		return err
	}
	after := before
	for i := range blocksPerChunk {
		if blocks.Has(i) && before.sums[i] == seen.sums[i] {
			after.present &^= 1 << i
		}
	}
	t.checked.forget(k, blocks)
	gone := before.present &^ after.present
	if after.present == 0 {
		v, ok, err := t.remove(k)
		if ok {
			t.evict(v)
		}
		return err
	}
	leases, err := t.files.keeper(k.id)
	if err != nil {
		return err
	}
	defer leases.close()
	if t.uses.unlessUsed(k, leases, func() { t.catalog.put(h, r, k, before, after) }) {
		t.evict(victim{key: k, size: r.version.Size, blocks: gone})
	}
	return nil
}
