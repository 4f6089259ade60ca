package disk

import (
	"os"

	"github.com/headrace/headrace/objstore"
)

// Lease is a whole version in one file, for who reads it without this process. Until it is released, and while anybody
// has its file open, nothing of it is evicted: see lent.go.
type Lease struct {
	tier *Tier // nil where another process gave it
	id   uint64
	file *os.File
}

// Borrowed is a lease that the directory's owner gave to this process.
func Borrowed(file *os.File) *Lease { return &Lease{file: file} }

// Lease gives a version whose every byte is on disk, committed, and was compared with its checksum in this process's
// life. nil when that is not so. Where only the comparison is missing, it is made in the background, so that a later
// call may succeed. It counts as a use of all chunks. After a block could not be read there are none for a while: who
// reads by a lease gets the disk's errors, and nobody else hears of them.
func (t *Tier) Lease(v objstore.Version) *Lease {
	if v.Size == 0 || !t.health.leasable(t.now()) {
		return nil
	}
	h := hashVersion(v)
	r, ok, err := t.catalog.version(h)
	if err != nil {
		t.fail("read index", err)
	}
	if err != nil || !ok || !r.whole() || r.version != v {
		return nil
	}
	t.uses.lease(r.id)
	l := &Lease{tier: t, id: r.id}
	if !l.take(h, v) {
		t.uses.unlease(r.id)
		return nil
	}
	return l
}

// take makes sure of what was found before the lease kept it.
func (l *Lease) take(h versionHash, v objstore.Version) bool {
	t := l.tier
	if r, ok, err := t.catalog.version(h); err != nil || !ok || r.id != l.id || !r.whole() {
		return false
	}
	if !t.catalog.committed(h) { // were this process killed now, the next owner would give back what is not
		return false
	}
	last := uint32((v.Size - 1) / ChunkSize)
	for index := uint32(0); index <= last; index++ {
		if !t.checked.all(chunkKey{l.id, index}, allBlocks(chunkLength(v.Size, index))) {
			t.checkLater(v)
			return false
		}
	}
	var err error
	if l.file, err = t.files.lease(l.id); err != nil {
		if isDiskError(err) { // else the file system has no such locks, and leases nothing
			t.fail("open", err)
		}
		return false
	}
	if st, err := l.file.Stat(); err != nil || st.Size() != v.Size {
		_ = l.file.Close() // read only
		return false
	}
	for index := uint32(0); index <= last; index++ {
		t.touch(hashOf(h, int64(index)))
	}
	return true
}

// File is the version's bytes, open for reading.
func (l *Lease) File() *os.File { return l.file }

// Release ends the lease.
func (l *Lease) Release() {
	_ = l.file.Close() // read only
	if l.tier != nil {
		l.tier.uses.unlease(l.id)
	}
}

// maxChecks is how many versions wait to be compared with their checksums.
const maxChecks = 64

// checkLater has a version compared with its checksums, unless many wait for that.
func (t *Tier) checkLater(v objstore.Version) {
	select {
	case t.checks <- v:
	default:
	}
}

// runChecks compares versions with their checksums, one after the other, until stop is closed.
func (t *Tier) runChecks() {
	buffer := make([]byte, BlockSize+diskBlock)
	for {
		select {
		case v := <-t.checks:
			t.compare(v, aligned(buffer))
		case <-t.stop:
			return
		}
	}
}

// compare reads all of a version that was not compared yet.
func (t *Tier) compare(v objstore.Version, buffer []byte) {
	for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
		hold := t.hold(v, chunk)
		if hold == nil {
			return
		}
		for i := range blocksPerChunk {
			select {
			case <-t.stop:
				hold.Release()
				return
			default:
			}
			if hold.Blocks().Has(i) && !t.checked.has(hold.key, i) {
				hold.Read(buffer[:blockLength(hold.length, i)], i*BlockSize)
			}
		}
		hold.Release()
	}
}
