package share

import (
	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// protocol is the version of all that follows. Sides whose numbers differ do not work together.
const protocol = 1

// User is a process that uses a cache directory.
type User struct {
	PID  int
	Name string // what it mounts
}

// hello is what each connection begins with, and welcome the answer.
type hello struct {
	Protocol int
	User     User
	Member   bool // this connection stands for a member, and ends with it
}

type welcome struct {
	Protocol       int
	Owner          User
	Limit, MinFree int64 // bytes: see disk.Stats
}

// operation is what a request is for.
type operation int

const (
	opLend    operation = iota + 1 // -> Found, Blocks, Sums and the data file
	opLease                        // -> Found and the data file
	opOffer                        // Blocks and a sealed memfd of the chunk's length -> Found: it is taken
	opAdopt                        // the file -> Found
	opUsed                         // no more than that
	opAdmits                       // -> Found: admitted
	opAdmit                        //
	opPresent                      // -> Blocks
	opCached                       // -> Bytes
	opStats                        // -> Stats
	opVerify                       // one chunk -> Bytes: how many blocks were bad
	opPin                          // Pinned
	opEvict                        // -> Bytes
	opEntries                      // those after After -> Entries, After
	opUsers                        // -> Users: the owner first
	opRenamed                      // To -> Found
	opWanted                       // one that does not know it keeps what it would keep anyhow
)

// request is about a version, a chunk of it, and a reader, as far as its operation needs them.
type request struct {
	Op      operation
	Version objstore.Version
	To      objstore.Version
	Chunk   int64
	Reader  uint64
	Blocks  disk.Blocks
	Pinned  bool
	After   []byte
}

// answer is to one request.
type answer struct {
	Found   bool
	Blocks  disk.Blocks
	Sums    []uint32
	Bytes   int64
	Stats   disk.Stats
	Entries []disk.Entry
	After   []byte
	Users   []User
	Error   string // what the owner could not do; empty for nothing
}

// entriesAtOnce keeps an answer below maxMessage: an entry is below 2 KiB, as keys are below 1.
const entriesAtOnce = 128
