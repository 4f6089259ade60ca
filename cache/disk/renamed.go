package disk

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/objstore"
)

// renamePatience is how long a rename waits for the writer, which may be in the middle of 128 MiB: what is cached is
// not worth more, and a disk that hangs must not hang renames.
const renamePatience = 5 * time.Second

// errLate says that the writer had no time.
var errLate = errors.New("disk: the writer had no time")

// Renamed has what there is of a version be another's, which has the same bytes: the store has given them another key.
// The data file stays as it is, and so do its checksums, pins, and those who hold or lease it, since all of these go by
// its number. reader is whose credentials renamed it; that others might read what had the old key says nothing of the
// new one. false when there was nothing of the version here, or there is something of the other, or the writer had no
// time for it within five seconds.
//
// It is one change of the index, which the next commit makes last: after a crash before that it is as it was.
func (t *Tier) Renamed(from, to objstore.Version, reader uint64) bool {
	if from == to || from.Size != to.Size || !t.health.writable(t.now()) || t.Cached(from) == 0 {
		return false
	}
	var renamed atomic.Bool
	err := t.orderUntil(time.After(renamePatience), func() error {
		done, err := t.renamed(hashVersion(from), to, reader)
		renamed.Store(done)
		return err
	})
	if err != nil && !errors.Is(err, errLate) {
		t.fail("read index", err)
	}
	return renamed.Load() && err == nil
}

// renamed is Renamed's share for the writer.
func (t *Tier) renamed(from versionHash, to objstore.Version, reader uint64) (bool, error) {
	r, ok, err := t.catalog.version(from)
	if err != nil || !ok {
		return false, err
	}
	h := hashVersion(to)
	if _, taken, err := t.catalog.version(h); err != nil || taken {
		return false, err
	}
	r.version, r.readers = to, nil
	r.admit(reader)
	t.catalog.rename(from, h, r)
	for chunk := int64(0); chunk*ChunkSize < to.Size; chunk++ { // else it has no use to show, and goes first
		t.touch(hashOf(h, chunk))
	}
	return true, nil
}
