package disk

import (
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// restAfterError is for how long nothing is written after the disk failed to take something.
const restAfterError = 15 * time.Second

// health remembers that the disk failed, so that it is left alone for a while and the log says so once, not for each
// block.
type health struct {
	log    *slog.Logger
	errors atomic.Int64

	mu     sync.Mutex // guards what is below
	told   map[string]bool
	resume time.Time     // when to write again
	lease  time.Time     // when to give leases again
	doubt  time.Time     // when to find out whether the disk still fails; zero while it is not known to
	broken bool          // the index cannot be used
	lost   chan struct{} // closed when the disk, or the index, will not work again
	gone   bool          // lost is closed
}

// isDiskError tells whether an error comes from the disk and not from what is on it.
func isDiskError(err error) bool {
	for _, errno := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENODEV, syscall.ENXIO, syscall.EUCLEAN, syscall.EBADMSG} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// isGone tells whether an error is one that a disk which is dead, or was taken away, goes on giving.
func isGone(err error) bool {
	for _, errno := range []error{syscall.EIO, syscall.ENODEV, syscall.ENXIO, syscall.EUCLEAN, syscall.EBADMSG, syscall.ESTALE, syscall.ESHUTDOWN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// failed notes an error, and tells whether by it the index was found to be of no use. While the disk has a kind of
// trouble it is logged once.
func (h *health) failed(what string, err error, now time.Time) (broke bool) {
	h.errors.Add(1)
	h.mu.Lock()
	broke = !h.broken && errors.Is(err, errIndex)
	h.broken = h.broken || broke
	h.resume = now.Add(restAfterError)
	if h.doubt.IsZero() && (isGone(err) || errors.Is(err, syscall.EROFS)) {
		h.doubt = h.resume
	}
	if broke {
		h.lose()
	}
	kind := what
	var errno syscall.Errno
	if errors.As(err, &errno) {
		kind = errno.Error()
	}
	told := h.told[kind]
	if h.told == nil {
		h.told = make(map[string]bool)
	}
	h.told[kind] = true
	h.mu.Unlock()
	if told {
		return broke
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	h.log.Warn("the cache disk fails; reads go on from the store", "operation", what, "error", err)
	return broke
}

// wrote notes that the disk works again.
func (h *health) wrote() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.told)
}

// doubtful tells whether it is to be found out now if the disk still fails.
func (h *health) doubtful(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.doubt.IsZero() && !now.Before(h.doubt)
}

// found notes what was found out.
func (h *health) found(err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.doubt = time.Time{}
	case isGone(err):
		h.lose()
	default:
		h.doubt = now.Add(restAfterError)
	}
}

// lose closes lost, once. The caller holds mu.
func (h *health) lose() {
	if !h.gone {
		h.gone = true
		close(h.lost)
	}
}

// writable tells whether writing is worth a try.
func (h *health) writable(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.broken && !now.Before(h.resume)
}

// misread notes that the disk did not give back what it has.
func (h *health) misread(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease = now.Add(restAfterError)
}

// leasable tells whether the disk has been readable of late.
func (h *health) leasable(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.broken && !now.Before(h.lease)
}

// readable tells whether the index can be used.
func (h *health) readable() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.broken
}
