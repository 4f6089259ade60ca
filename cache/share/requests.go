package share

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/cache/disk"
)

// handle does what a request asks for. file is what came with it, and stays the caller's; lent goes with the answer,
// and release is called when it has gone.
func (s *server) handle(q request, file *os.File) (a answer, lent *os.File, release func()) {
	release = func() {}
	t, v := s.tier, q.Version
	var err error
	switch q.Op {
	case opLend:
		if loan := t.Lend(v, q.Chunk); loan != nil {
			a.Found, a.Blocks, a.Sums = true, loan.Present, loan.Sums[:]
			return a, loan.File, func() { closeFile(loan.File) }
		}
	case opLease:
		if lease := t.Lease(v); lease != nil {
			a.Found = true
			return a, lease.File(), lease.Release
		}
	case opOffer:
		a.Found = s.offer(q, file)
	case opAdopt:
		a.Found = file != nil && t.Adopt(v, file, q.Reader)
	case opRenamed:
		a.Found = t.Renamed(v, q.To, q.Reader)
	case opUsed:
		t.Used(v, q.Chunk)
	case opWanted:
		t.Wanted(v)
	case opAdmits:
		a.Found = t.Admits(v, q.Reader)
	case opAdmit:
		t.Admit(v, q.Reader)
	case opPresent:
		a.Blocks = t.Present(v, q.Chunk)
	case opCached:
		a.Bytes = t.Cached(v)
	case opStats:
		a.Stats = t.Stats()
	case opVerify:
		a.Bytes = int64(t.VerifyChunk(v, q.Chunk))
	case opPin:
		err = t.Pin(v, q.Pinned)
	case opEvict:
		a.Bytes, err = t.Evict(v)
	case opEntries:
		a.Entries, a.After, err = t.EntriesAfter(q.After, entriesAtOnce)
	case opUsers:
		a.Users = s.users()
	default:
		a.Error = "the owner of the cache directory does not know this request"
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a, nil, release
}

// offer offers the tier what a member has put into a memfd, which cannot change any more: else the checksum might be of
// other bytes than those that are written. Its memory counts as the queue's until it is written.
func (s *server) offer(q request, file *os.File) bool {
	if file == nil || q.Chunk < 0 || q.Chunk*disk.ChunkSize >= q.Version.Size {
		return false
	}
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&offerSeals != offerSeals {
		return false
	}
	st, err := file.Stat()
	if err != nil || st.Size() != int64(disk.ChunkLength(q.Version, q.Chunk)) {
		return false
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return false
	}
	o := &disk.Offer{
		Version: q.Version, Chunk: q.Chunk, Data: data, Blocks: q.Blocks, Reader: q.Reader,
		Done: func() { _ = unix.Munmap(data) }, // fails for what is not mapped only
	}
	if !o.Valid() || !s.tier.Offer(o) {
		o.Done()
		return false
	}
	return true
}

// offerSeals are those of an offer: nobody changes it.
const offerSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
