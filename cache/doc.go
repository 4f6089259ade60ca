// Package cache holds clean bytes of object versions in a bounded amount of memory, and brings those that are missing.
//
// It relies on versions being immutable: a byte of a version that is here is right for ever, so there is no coherence
// protocol, and a version whose key has other content by now simply gets no more bytes (objstore.ErrChanged). Bytes of
// two versions never meet in one chunk.
//
// The trade-off is memory for requests. Stores want ranges of 16 MiB, kernels ask for 4 KiB to 1 MiB; a chunk of 16 MiB
// is one contiguous piece of address space, so that a read is one slice into it and nothing is ever copied, while
// memory stands only behind the 1 MiB blocks in use.
//
// Its parts, from the bottom:
//
//   - extent.go: chunks, blocks, and the arithmetic of sets of bytes inside a chunk.
//   - ledger.go, arena.go, slab.go: memory. One ledger books every committed block and every record, and never exceeds
//     its limit. The arena gives out slots of a chunk each and reuses what is committed; the slab cuts blocks into
//     cells for small objects.
//   - clock.go: which chunk goes when memory is needed; resistant to scans.
//   - handover.go: which chunks go although there is room, because their bytes are in the kernel's page cache as well.
//   - chunk.go: what is here of a chunk, what is under way, who waits, and the index by version.
//   - fill.go: one GET that reads a body straight into a chunk, and wakes each reader as soon as its own bytes are
//     there.
//   - prediction.go, fetch.go: bytes asked for ahead, and how long they are kept for whoever will read them.
//   - read.go, room.go: the hit path; a miss; the queue for memory.
//
// Fills read from one source, an objstore.Opener. The tier on disk (package disk) lies in between, where there is one:
// a fill asks it before the store, and blocks are offered to it once present (kept.go, keep.go). Where it does not
// answer, it is done without (stall.go).
//
// Concurrency: one lock for everything, taken for reading by hits, which change no more than atomic pins and times. The
// lock is not held while bytes move, so what it protects is short. The arithmetic of who fills what needs no finer
// locks, and can be checked as a whole.
//
// Limits: a read is no longer than a chunk. Address space is 31 times the memory. A block of which a reader holds one
// byte is pinned with its whole chunk, until the read is released.
package cache
