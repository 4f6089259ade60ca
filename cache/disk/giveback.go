package disk

import (
	"errors"
	"os"
)

// giveBack frees the disk space of what was removed, once that is committed. What is in a file that goes, goes with it.
func (t *Tier) giveBack(victims []victim) {
	removed := make(map[uint64]bool)
	for _, v := range victims {
		if v.last {
			t.crash("remove")
			removed[v.key.id] = t.givenBack(v, t.files.remove(v.key.id))
		}
	}
	for _, v := range victims {
		if !v.last && !removed[v.key.id] {
			t.crash("punch")
			t.givenBack(v, t.punch(v))
		}
	}
}

// givenBack notes how giving back a chunk's space went.
func (t *Tier) givenBack(v victim, err error) bool {
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return true
	}
	t.leftovers = append(t.leftovers, leftover{v.key, v.space()}) // by what the catalog says then: it may have been written anew
	t.fail("remove", err)
	return false
}

func (t *Tier) punch(v victim) error {
	d, err := t.files.use(v.key.id, -1)
	if err != nil {
		return err
	}
	defer t.files.release(d)
	return d.punchBlocks(v.key.index, chunkLength(v.size, v.key.index), v.blocks)
}

// leftover is a chunk of which the file may have more than the catalog, and how many bytes of the disk that may be,
// which count as used.
type leftover struct {
	key   chunkKey
	space int64
}

// removeLeftovers gives back what files may have and the catalog has not, because it was not written as a whole or
// could not be given back when it went. What cannot be given back now is tried again after the next commit, and is
// among its intents, for a next owner.
func (t *Tier) removeLeftovers() {
	left := t.leftovers
	t.leftovers = nil
	for _, l := range left {
		t.crash("leftover")
		if err := t.undo(l.key); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.leftovers = append(t.leftovers, l)
			t.fail("remove", err)
		}
	}
}

// undo gives back what a chunk has in its file and not in the index.
func (t *Tier) undo(k chunkKey) error {
	h, ok, err := t.catalog.owner(k.id)
	if err != nil {
		return err
	}
	if !ok {
		return t.files.remove(k.id)
	}
	r, _, err := t.catalog.version(h)
	if err != nil {
		return err
	}
	c, _, err := t.catalog.chunk(k)
	if err != nil {
		return err
	}
	d, err := t.files.use(k.id, -1)
	if err != nil {
		return err
	}
	defer t.files.release(d)
	length := chunkLength(r.version.Size, k.index)
	return d.punchBlocks(k.index, length, allBlocks(length)&^c.present)
}
