package objstore

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// ChunkSize is the size in bytes of a read that stores serve best, and at whose multiples such reads begin. Stores ask
// for at least 15 MB a request; the layers above read in units of it, and the meter tells whether they did.
const ChunkSize = 16 << 20

// GetShape is how the range of a GET lies in its object.
type GetShape int

// The shapes.
const (
	GetWhole     GetShape = iota // the whole of an object no larger than a chunk
	GetChunk                     // a chunk of a larger object: aligned, of full size or up to the object's end
	GetPart                      // less than a chunk otherwise
	GetMore                      // anything larger than a chunk, or of a chunk's size but not aligned
	NumGetShapes = int(GetMore) + 1
)

// String is the shape as it stands in metrics.
func (s GetShape) String() string {
	if s < 0 || int(s) >= NumGetShapes {
		return "unknown"
	}
	return [NumGetShapes]string{"whole", "chunk", "part", "more"}[s]
}

func shapeOf(v Version, r Range) GetShape {
	switch {
	case r.Off == 0 && r.Len == v.Size && r.Len <= ChunkSize:
		return GetWhole
	case r.Off%ChunkSize == 0 && (r.Len == ChunkSize || r.End() == v.Size && r.Len < ChunkSize):
		return GetChunk
	case r.Len < ChunkSize:
		return GetPart
	default:
		return GetMore
	}
}

// MeterStats is what a meter has counted.
type MeterStats struct {
	Ops  []OpStats            // of the operations and classes that have occurred, in their order
	Gets [NumGetShapes]uint64 // by GetShape, whether they succeeded or not
}

// OpStats counts the requests of one operation and class. A request counts for the class it had when it was sent.
type OpStats struct {
	Op       Op
	Class    Class
	InFlight int                   // answers not yet read to their end
	Requests uint64                // attempts, those in flight included
	Errors   [NumErrorKinds]uint64 // by ErrorKind; a body that broke counts too
	Received uint64                // bytes of bodies
	Sent     uint64                // bytes of bodies that the store took

	// FirstByte is the time to the answer's headers, of requests that were answered well; that of an upload includes
	// the upload.
	FirstByte Latency
}

// Failed is the number of requests that failed.
func (s OpStats) Failed() uint64 {
	var n uint64
	for _, count := range s.Errors {
		n += count
	}
	return n
}

// latencyBuckets is the number of buckets: up to 100 us * 2^19, nearly a minute, and one for what is longer.
const latencyBuckets = 21

// LatencyBound is the upper bound of bucket i of a [Latency]: 100 us, doubling. The last bucket has none: 0.
func LatencyBound(i int) time.Duration {
	if i >= latencyBuckets-1 {
		return 0
	}
	return 100 * time.Microsecond << i
}

// Latency is a histogram of durations.
type Latency struct {
	Count   uint64
	Sum     time.Duration
	Buckets [latencyBuckets]uint64 // not cumulative; bounds from [LatencyBound]
}

type latencyCounter struct {
	sum     atomic.Int64
	buckets [latencyBuckets]atomic.Uint64
}

func (c *latencyCounter) add(d time.Duration) {
	c.sum.Add(int64(d))
	i := bits.Len64(uint64(max(0, d-1) / (100 * time.Microsecond)))
	c.buckets[min(i, latencyBuckets-1)].Add(1)
}

func (c *latencyCounter) snapshot() Latency {
	l := Latency{Sum: time.Duration(c.sum.Load())}
	for i := range c.buckets {
		l.Buckets[i] = c.buckets[i].Load()
		l.Count += l.Buckets[i]
	}
	return l
}

// Stats is a snapshot. Counters that belong together may differ by requests that end while it is taken.
func (m *Meter) Stats() MeterStats {
	var s MeterStats
	for op := range m.rows {
		for class := range m.rows[op] {
			if row := &m.rows[op][class]; row.requests.Load() > 0 {
				s.Ops = append(s.Ops, row.stats(Op(op), Class(class)))
			}
		}
	}
	for i := range m.gets {
		s.Gets[i] = m.gets[i].Load()
	}
	return s
}

func (row *meterRow) stats(op Op, class Class) OpStats {
	s := OpStats{
		Op:        op,
		Class:     class,
		InFlight:  int(row.inFlight.Load()),
		Requests:  row.requests.Load(),
		Received:  row.received.Load(),
		Sent:      row.sent.Load(),
		FirstByte: row.firstByte.snapshot(),
	}
	for i := range row.errors {
		s.Errors[i] = row.errors[i].Load()
	}
	return s
}

// Requests is the number of requests of one operation, whatever their class.
func (s MeterStats) Requests(op Op) uint64 {
	var n uint64
	for _, row := range s.Ops {
		if row.Op == op {
			n += row.Requests
		}
	}
	return n
}
