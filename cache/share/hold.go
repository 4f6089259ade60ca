package share

import (
	"os"
	"time"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// ask asks the owner, if that is another process and can be asked. ok is false when there is no answer; then what is
// asked for is not here.
func (m *Member) ask(p *place, q request) (a answer, file *os.File, ok bool) {
	if p == nil || p.owner == nil {
		return a, nil, false
	}
	a, file, err := p.owner.ask(askDeadline, q, nil)
	if err != nil {
		closeFile(file)
		return answer{}, nil, false
	}
	return a, file, true
}

// owned is the tier when this process is the owner; nil otherwise, and p says whom to ask.
func (m *Member) owned() (t *disk.Tier, p *place) {
	if p = m.place.Load(); p == nil {
		return nil, nil
	}
	return p.tier, p
}

// Hold finds a chunk: nil when nothing of it is here.
func (m *Member) Hold(v objstore.Version, chunk int64) disk.Held {
	t, p := m.owned()
	if t != nil {
		return t.Hold(v, chunk)
	}
	a, file, ok := m.ask(p, request{Op: opLend, Version: v, Chunk: chunk})
	if !ok || file == nil {
		m.stats.misses.Add(1)
		return nil
	}
	m.stats.hits.Add(1)
	loan := &disk.Loan{File: file, Present: a.Blocks}
	copy(loan.Sums[:], a.Sums)
	loan.Borrow(v, chunk)
	return &borrowed{Loan: loan, member: m, version: v, chunk: chunk}
}

// borrowed is a loan that counts, and has the owner look at what was not right.
type borrowed struct {
	*disk.Loan
	member  *Member
	version objstore.Version
	chunk   int64
}

// Read implements disk.Held.
func (b *borrowed) Read(data []byte, off int) bool {
	if !b.Loan.Read(data, off) {
		return false
	}
	b.member.stats.bytesRead.Add(int64(len(data)))
	return true
}

// Release implements disk.Held.
func (b *borrowed) Release() {
	b.Loan.Release()
	if b.Bad() {
		b.member.errands.add(errand{request: request{Op: opVerify, Version: b.version, Chunk: b.chunk}})
	}
}

// Lease gives a version whose every byte is on disk and was compared with its checksum by the owner: see
// disk.Tier.Lease.
func (m *Member) Lease(v objstore.Version) *disk.Lease {
	t, p := m.owned()
	if t != nil {
		return t.Lease(v)
	}
	_, file, ok := m.ask(p, request{Op: opLease, Version: v})
	if !ok || file == nil {
		return nil
	}
	return disk.Borrowed(file)
}

// Adopt has a file become a version's data file: see disk.Tier.Adopt.
func (m *Member) Adopt(v objstore.Version, file *os.File, reader uint64) bool {
	t, p := m.owned()
	switch {
	case t != nil:
		return t.Adopt(v, file, reader)
	case p == nil:
		return false
	}
	const slowest = 100 << 20 // bytes a second: the owner reads all of it
	within := actDeadline + time.Duration(v.Size/slowest)*time.Second
	a, _, err := p.owner.ask(within, request{Op: opAdopt, Version: v, Reader: reader}, file)
	return err == nil && a.Found
}

// Renamed has what is here of a version be another's: see disk.Tier.Renamed.
func (m *Member) Renamed(from, to objstore.Version, reader uint64) bool {
	t, p := m.owned()
	switch {
	case t != nil:
		return t.Renamed(from, to, reader)
	case p == nil:
		return false
	}
	a, _, err := p.owner.ask(actDeadline, request{Op: opRenamed, Version: from, To: to, Reader: reader}, nil)
	return err == nil && a.Found
}

// Admits tells whether a reader is known to be allowed to read a version: see disk.Tier.Admits.
func (m *Member) Admits(v objstore.Version, reader uint64) bool {
	t, p := m.owned()
	if t != nil {
		return t.Admits(v, reader)
	}
	a, _, _ := m.ask(p, request{Op: opAdmits, Version: v, Reader: reader})
	return a.Found
}

// Admit notes that a reader may read a version: the store has said so.
func (m *Member) Admit(v objstore.Version, reader uint64) {
	if t, p := m.owned(); t != nil {
		t.Admit(v, reader)
	} else {
		_, _, _ = m.ask(p, request{Op: opAdmit, Version: v, Reader: reader}) // else the store is asked again
	}
}

// Present is which blocks of a chunk are here.
func (m *Member) Present(v objstore.Version, chunk int64) disk.Blocks {
	t, p := m.owned()
	if t != nil {
		return t.Present(v, chunk)
	}
	a, _, _ := m.ask(p, request{Op: opPresent, Version: v, Chunk: chunk})
	return a.Blocks
}

// Cached is how many bytes of a version are here.
func (m *Member) Cached(v objstore.Version) int64 {
	t, p := m.owned()
	if t != nil {
		return t.Cached(v)
	}
	a, _, _ := m.ask(p, request{Op: opCached, Version: v})
	return a.Bytes
}
