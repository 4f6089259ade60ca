package disk

// setPin keeps a version from being evicted, or ends that. It is for the writer; nothing happens when the version is not here.
func (t *Tier) setPin(h versionHash, pinned bool) error {
	r, ok, err := t.catalog.version(h)
	if err != nil || !ok {
		return err
	}
	r.pinned = pinned
	t.catalog.mark(h, r)
	return nil
}
