package disk

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

const (
	// rows is how many counters a chunk has; its estimate is the least of them.
	rows = 4
	// countersPerChunk is how many counters of 4 bits there are for each chunk on disk: as many chunks again, and more,
	// are only asked for and have to be told apart too.
	countersPerChunk = 8
	// bitsPerChunk is the size of an era's record of what was used, with two bits for each chunk.
	bitsPerChunk = 16
	// maxCount is where a counter stops.
	maxCount = 15
	// sampleRounds is how many times the number of counters must have been counted up until all are halved, so that what
	// was popular long ago is not popular for ever.
	sampleRounds = 10

	// eras is how many eras are remembered, the current one included. An era is over when as many bytes as fit on the disk
	// were asked of the store. A chunk that was used in none of them is stale.
	eras = 4

	// staleDivisor is what the count of a stale chunk is divided by.
	staleDivisor = 4

	// margin is by how much a newcomer must be asked for more often than what it replaces. In a cycle over twice the cache
	// a newcomer is always one ahead of a chunk that is still to be read in this round; without a margin each would push
	// out what comes next.
	margin = 1

	// minChunks is for how many chunks the tables are made at first.
	minChunks = 1 << 12
)

// popularity says which chunks are worth a place: TinyLFU (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient
// Cache Admission Policy", 2017), with a sense of time, since a popular dataset of last week should not keep this
// week's out.
//
// Chunks, on disk or not, are known by hashes of 64 bits. How often each was asked for lately is kept in a count-min
// sketch with counters of 4 bits that are halved from time to time; when it was last asked for, in a Bloom filter for
// each era. Time is counted in bytes that had to come from the store: what is on disk loses its place by what it does
// not serve.
//
// It is a value: no lock, no clock, no I/O.
type popularity struct {
	limit    int64    // bytes on disk that make an era
	chunks   int      // for how many the tables are made; a power of two
	counters []uint64 // 16 to a word
	counted  int      // since the counters were last halved

	used    [eras][]uint64 // the current era's first
	elapsed int64          // bytes of the current era

	changed bool // since marshal
}

func newPopularity(limit int64) *popularity {
	p := &popularity{limit: limit}
	p.resize(minChunks)
	return p
}

func (p *popularity) resize(chunks int) {
	p.chunks = chunks
	p.counters = repeat(p.counters, chunks*countersPerChunk/16)
	for i := range p.used {
		p.used[i] = repeat(p.used[i], chunks*bitsPerChunk/64)
	}
}

// repeat is a table of n words that gives the same answers as old: places are hashes modulo the size, so it is old
// again and again.
func repeat(old []uint64, n int) []uint64 {
	table := make([]uint64, 0, n)
	for len(old) > 0 && len(table) < n {
		table = append(table, old...)
	}
	return table[:n]
}

// fit grows the tables to a number of chunks on disk.
func (p *popularity) fit(chunks int) {
	if chunks > p.chunks {
		p.resize(1 << bits.Len(uint(chunks-1)))
	}
}

// touch notes that a chunk was asked for.
func (p *popularity) touch(h uint64) {
	p.changed = true
	p.use(h)
	least := p.count(h)
	if least == maxCount {
		return
	}
	for row := range rows { // only the lowest: the others count somebody else as well
		if word, shift := p.counter(h, row); p.counters[word]>>shift&maxCount == uint64(least) {
			p.counters[word] += 1 << shift
		}
	}
	if p.counted++; p.counted >= sampleRounds*p.chunks {
		p.halve()
	}
}

// count is how often a chunk was asked for lately, at most maxCount.
func (p *popularity) count(h uint64) int {
	least := uint64(maxCount)
	for row := range rows {
		word, shift := p.counter(h, row)
		least = min(least, p.counters[word]>>shift&maxCount)
	}
	return int(least)
}

// counter is where a row has its counter of a chunk.
func (p *popularity) counter(h uint64, row int) (word, shift uint64) {
	i := (h + uint64(row)*(h>>32|1)) & (uint64(len(p.counters))*16 - 1)
	return i / 16, i % 16 * 4
}

func (p *popularity) halve() {
	const lowThree = 0x7777777777777777
	for i := range p.counters {
		p.counters[i] = p.counters[i] >> 1 & lowThree
	}
	p.counted /= 2
}

// use notes that a chunk was asked for in this era.
func (p *popularity) use(h uint64) {
	a, b := p.places(h)
	p.used[0][a/64] |= 1 << (a % 64)
	p.used[0][b/64] |= 1 << (b % 64)
}

// places are a chunk's bits in an era's record.
func (p *popularity) places(h uint64) (a, b uint64) {
	mask := uint64(len(p.used[0]))*64 - 1
	return h & mask, h >> 32 & mask
}

// stale tells whether a chunk was not asked for in any era that is remembered.
func (p *popularity) stale(h uint64) bool {
	a, b := p.places(h)
	for _, era := range p.used {
		if era[a/64]>>(a%64)&1 == 1 && era[b/64]>>(b%64)&1 == 1 {
			return false
		}
	}
	return true
}

// brought moves time on by bytes that came from the store.
func (p *popularity) brought(n int64) {
	p.changed = true
	for p.elapsed += n; p.elapsed >= p.limit; p.elapsed -= p.limit {
		last := p.used[eras-1]
		copy(p.used[1:], p.used[:eras-1])
		clear(last)
		p.used[0] = last
	}
}

// worth orders chunks by what is lost with them. What is stale is worth little: a scan of ten times the cache does not
// push out what is read again and again, and a dataset that is not read any more gives way to one that is in its third
// epoch.
func (p *popularity) worth(h uint64) int {
	if p.stale(h) {
		return p.count(h) / staleDivisor
	}
	return p.count(h)
}

// admits tells whether a newcomer may have the place of a chunk that is worth so much.
func (p *popularity) admits(newcomer uint64, worth int) bool { return p.count(newcomer) > worth+margin }

// The form in which it survives a restart: a header, the tables, and a checksum over both.
const (
	popularityVersion = 1
	headerBytes       = 4 * 8
	trailerBytes      = 4
)

func (p *popularity) marshal() []byte {
	p.changed = false
	words := len(p.counters) + eras*len(p.used[0])
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, headerBytes+8*words+trailerBytes), popularityVersion)
	for _, n := range []int64{int64(p.chunks), int64(p.counted), p.elapsed} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	for _, table := range append([][]uint64{p.counters}, p.used[:]...) {
		for _, word := range table {
			b = binary.LittleEndian.AppendUint64(b, word)
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// unmarshal takes over what marshal gave; false, and nothing changed, when b is not that.
func (p *popularity) unmarshal(b []byte) bool {
	if len(b) < headerBytes+trailerBytes || crc32.Checksum(b[:len(b)-trailerBytes], castagnoli) != binary.LittleEndian.Uint32(b[len(b)-trailerBytes:]) {
		return false
	}
	next := func() uint64 {
		word := binary.LittleEndian.Uint64(b)
		b = b[8:]
		return word
	}
	if next() != popularityVersion {
		return false
	}
	chunks, counted, elapsed := int(next()), int(next()), int64(next())
	words := chunks*countersPerChunk/16 + eras*chunks*bitsPerChunk/64
	if chunks < minChunks || bits.OnesCount(uint(chunks)) != 1 || len(b) != words*8+trailerBytes {
		return false
	}
	p.resize(chunks)
	p.counted, p.elapsed = counted, elapsed
	for _, table := range append([][]uint64{p.counters}, p.used[:]...) {
		for i := range table {
			table[i] = next()
		}
	}
	return true
}
