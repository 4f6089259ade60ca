package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// The index's buckets.
var (
	versionsBucket = []byte("versions") // versionHash -> versionRecord
	idsBucket      = []byte("ids")      // number of a version -> versionHash
	chunksBucket   = []byte("chunks")   // chunkKey -> chunkRecord
	intentsBucket  = []byte("intents")  // chunkKey: blocks that are not present may be in the file all the same
	totalsBucket   = []byte("totals")   // totalsKey -> totals
	totalsKey      = []byte("totals")
)

// totals are the sums over the index, and what else there is one of.
type totals struct {
	nextID   uint64   // the number that the next new version gets
	space    int64    // bytes that the chunks take of the disk
	chunks   int64    // how many there are
	versions int64    // how many there are
	limit    int64    // bytes: what the last owner had; 0 for nothing
	minFree  int64    // bytes: the same
	hand     chunkKey // where eviction looks next
}

func (t totals) bytes() []byte {
	var b []byte
	for _, n := range []uint64{t.nextID, uint64(t.space), uint64(t.chunks), uint64(t.versions), uint64(t.limit), uint64(t.minFree)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return append(b, t.hand.bytes()...)
}

func parseTotals(b []byte) (t totals, ok bool) {
	if len(b) != 6*8+12 {
		return t, false
	}
	number := func() uint64 {
		n := binary.LittleEndian.Uint64(b)
		b = b[8:]
		return n
	}
	t = totals{nextID: number(), space: int64(number()), chunks: int64(number()), versions: int64(number()), limit: int64(number()), minFree: int64(number())}
	t.hand, ok = parseChunkKey(b)
	return t, ok
}

// index is the file that says what is in the data files. It is mapped into memory by its library, so a disk that cannot
// be read shows as a fault; view and update make errors of these.
type index struct {
	db    *bbolt.DB
	space atomic.Int64 // bytes that it takes of the disk
}

// errIndex is what a broken index is: one that has to be made anew.
var errIndex = errors.New("the index of the cache is damaged")

// openIndex opens or makes the index; fresh tells which. errIndex when there is one and it cannot be used.
func openIndex(path string) (_ *index, t totals, fresh bool, err error) {
	x := &index{}
	defer func() {
		if err != nil && x.db != nil {
			err = errors.Join(err, x.close())
		}
	}()
	err = x.open(path)
	switch {
	case errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist), isDiskError(err):
		return nil, t, false, fmt.Errorf("disk: index: %w", err)
	case err != nil:
		return nil, t, false, fmt.Errorf("disk: %w: %w", errIndex, err)
	}
	err = x.update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{versionsBucket, idsBucket, chunksBucket, intentsBucket, totalsBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		totalsOf := tx.Bucket(totalsBucket)
		b := totalsOf.Get(totalsKey)
		if fresh = b == nil; fresh {
			t = totals{nextID: 1}
			return totalsOf.Put(totalsKey, t.bytes())
		}
		var ok bool
		if t, ok = parseTotals(b); !ok {
			return errIndex
		}
		return nil
	})
	if err != nil {
		return nil, t, false, fmt.Errorf("disk: index: %w", err)
	}
	return x, t, fresh, nil
}

func (x *index) open(path string) error {
	return guard(func() (err error) {
		x.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:      time.Second, // nobody else should have it: the directory is locked
			FreelistType: bbolt.FreelistMapType,
		})
		return err
	})
}

// muchUnused is how many bytes of the index must be of no use, and more than half, for it to be made smaller: its file
// never shrinks by itself.
const muchUnused = 16 << 20

// makeSmaller writes the index anew if most of it is left over from a time when there was more in the cache. A crash
// leaves the one or the other, which say the same, and where there is no room the old one stays.
func (x *index) makeSmaller(path string) error {
	smaller := path + ".new"
	if err := os.Remove(smaller); err != nil && !errors.Is(err, os.ErrNotExist) && !isDiskError(err) {
		return err
	}
	if unused := int64(x.db.Stats().FreePageN) * int64(x.db.Info().PageSize); unused < muchUnused || unused < x.space.Load()/2 {
		return nil
	}
	err := guard(func() error {
		to, err := bbolt.Open(smaller, 0o600, &bbolt.Options{Timeout: time.Second})
		if err != nil {
			return err
		}
		return errors.Join(bbolt.Compact(to, x.db, 1<<20), to.Close())
	})
	if err == nil {
		err = os.Rename(smaller, path)
	}
	if err != nil {
		_ = os.Remove(smaller) // the next one does
		if isDiskError(err) {
			return nil
		}
		return err
	}
	_ = syncDirectory(filepath.Dir(path)) // else a loss of power may bring the old one back, whose pins are old and whose checksums tell what is not there any more
	if err := x.close(); err != nil {
		return err
	}
	if err := x.open(path); err != nil {
		return err
	}
	x.measure()
	return nil
}

// measure finds out how much of the disk the index takes.
func (x *index) measure() {
	if info, err := os.Stat(x.db.Path()); err == nil { // else it is as it was
		x.space.Store(takes(info))
	}
}

// view and update are errClosed once it is closed.
func (x *index) view(f func(*bbolt.Tx) error) error {
	return orClosed(guard(func() error { return x.db.View(f) }))
}

func (x *index) update(f func(*bbolt.Tx) error) error {
	err := orClosed(guard(func() error { return x.db.Update(f) }))
	x.measure()
	return err
}

func orClosed(err error) error {
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return errClosed
	}
	return err
}

// guard makes an error of a page of the map that cannot be read, and of what the library says by panicking when pages
// make no sense.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("%w: %v", errIndex, reason)
		}
	}()
	return f()
}

func (x *index) close() error { return guard(x.db.Close) }

func idBytes(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }
