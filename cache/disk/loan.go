package disk

import (
	"os"
	"strconv"
	"syscall"

	"github.com/headrace/headrace/objstore"
)

// Loan is what another process needs to read a chunk by itself. Nothing keeps the chunk for it: each read is compared
// with the checksums, so that bytes which have gone are not there, and never wrong.
type Loan struct {
	File    *os.File // the version's data file, for reading
	Present Blocks
	Sums    [blocksPerChunk]uint32 // CRC32C, of those present

	chunk  int64
	length int
	file   *dataFile // File, and the same for direct I/O; nil before Borrow
	bad    Blocks
}

// Lend is Hold for another process; nil when nothing of the chunk is here. Whoever gets the loan closes its File.
func (t *Tier) Lend(v objstore.Version, chunk int64) *Loan {
	if chunk < 0 || chunk*ChunkSize >= v.Size {
		return nil
	}
	t.Used(v, chunk)
	hold := t.hold(v, chunk)
	if hold == nil {
		return nil
	}
	defer hold.Release()
	f, err := t.files.lend(hold.key.id)
	if err != nil {
		t.fail("open", err)
		return nil
	}
	return &Loan{File: f, Present: hold.record.present, Sums: hold.record.sums}
}

// Borrow makes a loan of chunk of v ready to be read in this process, which Release ends. Bad is what it found.
func (l *Loan) Borrow(v objstore.Version, chunk int64) {
	l.chunk, l.length = chunk, chunkLength(v.Size, uint32(chunk))
	l.Present &= allBlocks(l.length)
	l.file = &dataFile{plain: l.File}
	if l.length >= BlockSize/2 { // see directly
		again := "/proc/self/fd/" + strconv.Itoa(int(l.File.Fd()))
		l.file.direct, _ = os.OpenFile(again, os.O_RDONLY|syscall.O_DIRECT, 0) // without it is slower, no more
	}
}

// Blocks are those that are here.
func (l *Loan) Blocks() Blocks { return l.Present }

// Read is as Hold.Read, and compares each time.
func (l *Loan) Read(b []byte, off int) bool {
	block := off / BlockSize
	piece := blockPiece{chunk: l.chunk, length: l.length, block: block}
	sum, err := l.file.readSummed(b, off, piece)
	if err != nil || sum != l.Sums[block] {
		l.bad |= 1 << block
		return false
	}
	return true
}

// Bad tells whether blocks were not there as the loan says: they have gone, or are damaged, which VerifyChunk finds
// out.
func (l *Loan) Bad() bool { return l.bad != 0 }

// Release ends the loan.
func (l *Loan) Release() { l.file.close() }
