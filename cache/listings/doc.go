// Package listings keeps what directories list on a local disk, beside the chunks of package disk, across restarts:
// blocks of names that mean nothing here, by directory, with the moment at which the store was asked and whose
// credentials have asked.
//
// A listing is a file that is written beside and renamed, with a checksum over each block and one over the rest.
// Nothing is looked through or loaded at start: a listing is found by the hash of its directory, and a name in it by
// what each block says of its first and last. Files need no database, and processes that share a cache directory need
// no owner for them.
//
// INVARIANT: a listing that is found is as it was written, or is not found.
// INVARIANT: a listing that is found was asked for after the last change of its directory that any process on this
// machine has made through here (see [Shelf.Changing]). One that was asked for before, or in the minute after, and
// comes to its end only afterwards, is refused: each change leaves its time in the file STATE, and what is put in place
// is compared with that under the file's lock. Where a change cannot be noted, because the disk fails, nothing is found
// until all listings were removed.
//
// Nothing that is kept makes a reader wait: what is to be kept goes through a bounded queue to one goroutine, and is
// given up where that is full. What changes a directory waits for its listing's removal. Neither waits for long: a disk
// that hangs is asked nothing more until it answers, and what could not be removed counts as a change that could not be
// noted.
//
// Its parts, from the bottom:
//
//   - state.go: what the processes that use the directory have to know of each other.
//   - listingfile.go: a listing as a file.
//   - store.go: what a process does with a cache directory, and whether its disk works.
//   - patience.go: how long anybody waits for the disk.
//   - shelf.go: the listings of one bucket: finding them, and removing those that have changed.
//   - saving.go: a listing that is being kept. writer.go: the goroutine that does it, behind those who list.
//   - bound.go: how much of the disk they may take.
package listings
