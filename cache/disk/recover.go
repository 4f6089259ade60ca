package disk

import (
	"errors"
	"fmt"
	"os"
)

// recover removes what was being written when the last owner ended, and has that and the limit written down.
func (t *Tier) recover() error {
	intents, err := t.catalog.intents()
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	for _, k := range intents {
		if err := t.undo(k); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("disk: %w", err)
		}
		t.crash("undone")
	}
	if err := t.catalog.commit(nil); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	t.crash("recovered")
	return nil
}

// removeLeftovers gives back what files may have and the catalog has not, because it was not written as a whole or could not be given back when it went.
// What cannot be given back now is tried again after the next commit, and is among its intents, for a next owner.
func (t *Tier) removeLeftovers() {
	left := t.leftovers
	t.leftovers = nil
	for _, k := range left {
		t.crash("leftover")
		if err := t.undo(k); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.leftovers = append(t.leftovers, k)
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
