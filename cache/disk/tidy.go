package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
)

// bootKey has, among the totals, which life of the machine the data files were last looked through in.
var bootKey = []byte("boot")

// bootID stands for this life of the machine; "" where it is not to be had.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// tidy looks through the data files once in each life of the machine, by their names and sizes alone, until that is
// done or the tier is closed. For when the power goes, a file system forgets what was removed in the last few seconds,
// although the index, which is made to last, knows of it and has no intents for it any more.
func (t *Tier) tidy() error {
	boot := t.cfg.boot
	if boot == "" {
		boot = bootID()
	}
	var last string
	err := t.catalog.index.view(func(tx *bbolt.Tx) error {
		last = string(tx.Bucket(totalsBucket).Get(bootKey))
		return nil
	})
	if err != nil || boot == "" || boot == last {
		return err
	}
	err = filepath.WalkDir(t.dir.file(dataDirectory), func(path string, e os.DirEntry, err error) error {
		select {
		case <-t.stop:
			return errClosed
		default:
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // evicted meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		return t.tidyFile(e.Name(), info)
	})
	if err == nil {
		err = t.order(func() error {
			return t.catalog.index.update(func(tx *bbolt.Tx) error { return tx.Bucket(totalsBucket).Put(bootKey, []byte(boot)) })
		})
	}
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// tidyFile gives back what a data file has and the catalog has not.
func (t *Tier) tidyFile(name string, info os.FileInfo) error {
	id, err := strconv.ParseUint(name, 16, 64)
	st, ok := info.Sys().(*syscall.Stat_t)
	if err != nil || !ok { // somebody else's
		return nil
	}
	stored, err := t.storedOf(id)
	if err != nil || st.Blocks*512 <= stored && stored > 0 {
		return err
	}
	chunks := uint32(max((info.Size()+ChunkSize-1)/ChunkSize, 1))
	for first := uint32(0); first < chunks; first += tidyBatch {
		err := t.order(func() error { // nothing is being written now
			for index := first; index < min(first+tidyBatch, chunks); index++ {
				if err := t.undo(chunkKey{id, index}); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tidyBatch is how many chunks of a file are looked at while the writer waits: an object of 48.8 TiB has three million.
const tidyBatch = 64

// storedOf is how many bytes of the disk a version takes by what the catalog says; 0 for one that it does not have.
func (t *Tier) storedOf(id uint64) (int64, error) {
	h, ok, err := t.catalog.owner(id)
	if err != nil || !ok {
		return 0, err
	}
	r, _, err := t.catalog.version(h)
	return r.stored, err
}
