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
