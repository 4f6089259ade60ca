// Package disk keeps chunks of object versions on a local disk, across restarts. It is the tier of the cache below
// memory: what was brought from the store is offered to it, and a fill asks it before the store.
//
// A version has one sparse data file, exactly as long as the object, and a chunk of it is present block by block. An
// index, an embedded key-value store, says which blocks are there and what their checksums are.
//
// INVARIANT: a block is in the index only after its bytes are in the file. After a crash it is absent or right: what
// the index says and the file does not have is found by its checksum the first time the block is used in a process's
// life.
// INVARIANT: the bytes present, being written and not yet given back are never more than the limit. What a crash leaves
// in the files and not in the index is known beforehand, as intents, and removed at the next start; what a machine
// without power leaves, by and by after it.
// INVARIANT: a chunk that is being read, or written, and one of a version that is leased or pinned, is not evicted. A
// lease counts whoever has it, and was given by whatever owner; a loan to another process does not, as each read of it
// is compared with its checksum.
//
// Nothing here makes a reader wait or fail. Offers are refused when the disk is behind; a disk that is full, broken or
// read-only is a cache that finds nothing. Nothing is read at start but the index's head: entries are checked when
// first used.
//
// Its parts, from the bottom:
//
//   - directory.go: the cache directory, whose it is, and that one process at a time owns it.
//   - hash.go, record.go, index.go: what is written down, and where.
//   - catalog.go: the index and what has changed since it was last committed.
//   - datafile.go: the data files: open ones, direct I/O, holes.
//   - popularity.go, worth.go, wanted.go, evict.go: which chunks are worth their place.
//   - space.go, underway.go: how much may be used: of the limit, and of the disk.
//   - hold.go, summed.go, checked.go, drop.go: reading a chunk. loan.go: the same in another process (see package
//     share).
//   - lease.go, lent.go: whole versions for readers who need no daemon.
//   - offer.go, writer.go, job.go: what is to be kept, written behind the readers by one goroutine, the only one that
//     changes the catalog.
//   - adopt.go: files that somebody else has written, taken over without a copy.
//   - admit.go: who may read what.
//   - giveback.go, recover.go, tidy.go: what is left in the files by what was evicted, a write that failed, a process
//     that was killed, and a machine without power.
//   - health.go: what to do when the disk fails, and when it is lost.
package disk
