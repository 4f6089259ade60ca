package fs

import (
	"errors"
	"os"
	"testing"
)

// TestUnmountLeavesAnotherMountAlone: a mount that was taken away lazily and is still in use does not take away the one
// that came in its place.
func TestUnmountLeavesAnotherMountAlone(t *testing.T) {
	b := newFakeBucket()
	b.put("file", []byte("x"))
	cfg, _ := testConfig(t, b)
	dir := t.TempDir()
	first, err := Mount(dir, cfg, MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inside, err := openHere(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := Unmount(dir, true); err != nil {
		t.Fatal(err)
	}
	other, _ := testConfig(t, b)
	second, err := Mount(dir, other, MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Unmount(); !errors.Is(err, ErrNotMounted) {
		t.Errorf("the first one: %v", err)
	}
	first.Abort()
	first.Wait()
	_ = inside.Close()
	if _, err := os.Stat(dir + "/file"); err != nil {
		t.Errorf("the second one is gone: %v", err)
	}
	if err := second.Unmount(); err != nil {
		t.Error(err)
	}
	second.Wait()
	checkNoGoroutines(t)
}
