package disk

import (
	"sync/atomic"

	"github.com/headrace/headrace/objstore"
)

// Stats is a snapshot: what is on disk now, and what the tier has done since it was opened.
type Stats struct {
	Owner    bool  // this process owns the directory
	Limit    int64 // bytes that chunks and the index may take
	MinFree  int64 // bytes that the file system keeps free
	Used     int64 // bytes that chunks take
	Index    int64 // bytes that the index takes
	Free     int64 // bytes that the file system has free
	Chunks   int64
	Versions int64
	Queued   int64 // bytes of memory that wait to be written
	Leased   int64 // versions that are read without the daemon

	Uncommitted  int64 // chunks and versions whose change the index does not have yet; what was Queued before is among them
	Hits         int64 // chunks found
	Misses       int64 // chunks not found
	BytesRead    int64
	BytesWritten int64
	BytesSkipped int64 // not written because the disk was behind or did not work
	Rejected     int64 // chunks not kept because what is here is worth more
	Evicted      int64 // chunks
	Adopted      int64 // versions taken over as files
	Corrupt      int64 // blocks whose bytes were not what was written
	Lost         int64 // blocks or chunks that were not in their file
	Errors       int64 // of the disk
}

// Plus adds what another tier has done, which is not any more.
func (s Stats) Plus(o Stats) Stats {
	s.Hits += o.Hits
	s.Misses += o.Misses
	s.BytesRead += o.BytesRead
	s.BytesWritten += o.BytesWritten
	s.BytesSkipped += o.BytesSkipped
	s.Rejected += o.Rejected
	s.Evicted += o.Evicted
	s.Adopted += o.Adopted
	s.Corrupt += o.Corrupt
	s.Lost += o.Lost
	s.Errors += o.Errors
	return s
}

type counters struct {
	hits, misses, bytesRead, bytesWritten, skipped atomic.Int64
	rejected, evicted, adopted, corrupt, lost      atomic.Int64
}

// Stats is a snapshot of the counters.
func (t *Tier) Stats() Stats {
	sums := t.catalog.sums()
	fs, _ := statfs(t.dir.path) // 0 free is what a disk has that does not even say
	return Stats{
		Owner: true, Limit: t.space.limit, MinFree: t.space.minFree, Used: sums.space, Index: t.catalog.index.space.Load(), Free: fs.free,
		Chunks: sums.chunks, Versions: sums.versions, Queued: t.queue.waits.Load(), Leased: int64(t.uses.leased()),
		Uncommitted: t.catalog.waiting(), // after Queued: what is not queued any more has been noted before
		Hits:        t.stats.hits.Load(), Misses: t.stats.misses.Load(),
		BytesRead: t.stats.bytesRead.Load(), BytesWritten: t.stats.bytesWritten.Load(), BytesSkipped: t.stats.skipped.Load(),
		Rejected: t.stats.rejected.Load(), Evicted: t.stats.evicted.Load(), Adopted: t.stats.adopted.Load(),
		Corrupt: t.stats.corrupt.Load(), Lost: t.stats.lost.Load(), Errors: t.health.errors.Load(),
	}
}

// Cached is how many bytes of a version are here.
func (t *Tier) Cached(v objstore.Version) int64 {
	r, ok, err := t.catalog.version(hashVersion(v))
	if err != nil || !ok {
		return 0
	}
	return r.present
}
