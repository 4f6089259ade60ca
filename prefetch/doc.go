// Package prefetch decides what the readers of open files will want next, and when to ask for it.
//
// It relies on a [Source] that keeps bytes and starts downloads: the package owns no buffers, does no I/O and starts no
// goroutines (but [Siblings]). What it adds is time: each [File] watches the offsets that are read and asks the source
// for ranges before, or at the moment when, somebody waits for them.
//
// The trade it makes: stores want few, large, aligned requests, so everything is asked for in chunks of 16 MiB unless
// the reads prove to be random; then in blocks of 1 MiB, and never less. Fetched bytes that nobody reads are the price,
// and it is bounded: by four times what a lane has read, by the budget, and by what the source accepts.
//
// # Parts
//
//   - window, with lane and touches: a pure state machine for each file. Reads go in, ranges to ask for come out. It is
//     tested by scripts of reads with the state printed after each (testdata).
//   - [File]: the thin part that acts on it, and owns the contexts that are the predictions' lives.
//   - siblings: a pure state machine for each directory of small files: openings in, how many of the next files to
//     bring out. [Siblings] acts on it, with goroutines of its own that are bounded and that Close waits for.
//   - [Prefetcher]: what files share, that is the budget, the claims on memory and the search for idle lanes.
//
// # How reads are understood
//
// Lanes are found by offset and not by handle, so several threads on one descriptor, forked readers and page faults
// each get their own. Kernel readahead sends requests of up to 1 MiB, several at a time and a little out of order, so
// small jumps either way stay in the lane. A read at offset 0 is the start of a sequential lane. A lane elsewhere is
// given the rest of its chunk on trust, and is sequential once it was read on. Four lanes that nobody read on say that
// the file is read at random, and from then on a new lane gets blocks until it proves itself.
//
// A sequential lane's window is up to four times what was read in it, so that it doubles as the run doubles. It ends at
// the lane's share of the budget, and shrinks when the source accepts less than it was asked for.
//
// # Limits
//
// More than 32 interleaved streams of one file are taken for random reads. A file read backwards is fetched a chunk at
// a time, with no window. Which files come next in a directory is for the caller of [Siblings] to say.
package prefetch
