package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// adoptShare is the part of the limit that one adopted version may have: half. A larger one would push out all the rest
// before it was ever read.
const adoptShare = 2

// Adopt makes a file that holds all of a version the version's data file, without a copy: the file gets another name,
// and whoever gives it does not write to it any more. It reads the file once, for its checksums. reader is whose
// credentials stored it. false when the version is not wanted, or the file is on another file system.
func (t *Tier) Adopt(v objstore.Version, file *os.File, reader uint64) bool {
	if v.Size == 0 || !t.health.writable(t.now()) || !t.adoptable(v, file) {
		return false
	}
	err := writeOut(file, 0, 0) // so that what is in the page cache now is what will be there: see dataFile.writeAt
	var records []chunkRecord
	if err == nil {
		records, err = t.recordsOf(v, file)
	}
	if err != nil {
		t.fail("adopt", err)
		return false
	}
	adopted := false
	err = t.order(func() (err error) {
		adopted, err = t.adopt(v, file, records, reader)
		return err
	})
	if err != nil && !errors.Is(err, errClosed) && !errors.Is(err, unix.EXDEV) {
		t.fail("adopt", err)
	}
	return adopted && err == nil
}

// adoptable tells whether it is worth reading a file: one that is too large, is here already or is on another disk is
// refused in any case.
func (t *Tier) adoptable(v objstore.Version, file *os.File) bool {
	var given, ours unix.Stat_t
	err := errors.Join(unix.Fstat(int(file.Fd()), &given), unix.Fstat(int(t.dir.lock.Fd()), &ours))
	return err == nil && given.Size == v.Size && given.Dev == ours.Dev && v.Size <= t.space.limit/adoptShare && t.Cached(v) == 0
}

// recordsOf are what the index is to say of a file's chunks. errClosed when the tier is closed meanwhile: to read a
// file of a terabyte takes minutes.
func (t *Tier) recordsOf(v objstore.Version, file *os.File) ([]chunkRecord, error) {
	records := make([]chunkRecord, (v.Size+ChunkSize-1)/ChunkSize)
	buffer := make([]byte, BlockSize)
	for i := range records {
		select {
		case <-t.stop:
			return nil, errClosed
		default:
		}
		length := chunkLength(v.Size, uint32(i))
		r := &records[i]
		r.present = allBlocks(length)
		for b := range r.present.count() {
			block := buffer[:blockLength(length, b)]
			if _, err := file.ReadAt(block, int64(i)*ChunkSize+int64(b)*BlockSize); err != nil && !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("disk: %w", err)
			}
			r.sums[b] = crc32.Checksum(block, castagnoli)
		}
	}
	return records, nil
}

// adopt is Adopt's share for the writer. The order is that of [Tier.writeTurn]: what goes and what may be there is
// committed before the file is.
func (t *Tier) adopt(v objstore.Version, file *os.File, records []chunkRecord, reader uint64) (bool, error) {
	h := hashVersion(v)
	if _, ok, err := t.catalog.version(h); err != nil || ok {
		return false, err
	}
	var need int64
	for i, r := range records {
		_, space := weigh(chunkLength(v.Size, uint32(i)), r.present)
		need += space
	}
	if ok, err := t.makeRoom(need); err != nil || !ok {
		return false, err
	}
	id := t.catalog.newID()
	if !t.commit([]chunkKey{{id, 0}}) {
		return false, nil
	}
	t.crash("before adoption")
	from := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, t.dir.dataFile(id), unix.AT_SYMLINK_FOLLOW); err != nil {
		return false, err
	}
	t.crash("adopted")
	r := versionRecord{id: id, version: v}
	r.admit(reader)
	for i, chunk := range records {
		k := chunkKey{id, uint32(i)}
		t.checked.add(k, chunk.present)
		t.catalog.put(h, r, k, chunkRecord{}, chunk)
		t.touch(hashOf(h, int64(i)))
		var err error
		if r, _, err = t.catalog.version(h); err != nil {
			return false, err
		}
	}
	t.fitPopularity(int(t.catalog.totals.chunks))
	if !t.commit(nil) { // it is not leased before that
		return false, nil
	}
	t.stats.adopted.Add(1)
	return true, nil
}

// makeRoom evicts until a file of so many bytes may be counted, which are on the disk already. It gives up no more for
// it than the file has, and nothing where that could not be enough: then others have filled the disk, and it is better
// off without the file.
func (t *Tier) makeRoom(need int64) (bool, error) {
	fs, err := statfs(t.dir.path)
	if err != nil || need > t.space.limit/adoptShare {
		return false, err
	}
	fs.free += need
	short := need - t.left(0, fs)
	if short > min(need, t.catalog.totals.space) {
		return false, nil
	}
	for enough := t.evictedSpace + short; t.evictedSpace < enough; {
		gone, ok, err := t.evictOne(nil)
		if err != nil || !ok {
			return false, err
		}
		t.evict(gone)
	}
	return true, nil
}
