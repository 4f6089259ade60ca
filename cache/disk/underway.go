package disk

import "sync"

// underWay is how much is being written to the data files at this moment. Several write at the same time, and what one
// of them is about to take is still free for whoever asks the file system.
type underWay struct {
	mu    sync.Mutex // guards bytes
	ended sync.Cond
	bytes int64
}

func newUnderWay() *underWay {
	w := &underWay{}
	w.ended.L = &w.mu
	return w
}

// begin takes n bytes of what room says is left of the disk, and end gives account of them. Who finds too little
// because of what others are writing, which may be on the disk already and be counted twice, waits until one of them
// has ended. false when there is no room for n alone.
//
// INVARIANT: whoever is the last to begin has counted all that is under way, and asked for the room after that.
func (w *underWay) begin(n int64, room func() int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		w.bytes += n
		all := w.bytes
		w.mu.Unlock()
		left := room() // asks the disk
		w.mu.Lock()
		if all <= left {
			return true
		}
		w.take(n)
		if all == n {
			return false
		}
		if w.bytes > 0 {
			w.ended.Wait()
		}
	}
}

// end is called once what was begun is on the disk, or will not be.
func (w *underWay) end(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(n)
}

func (w *underWay) take(n int64) {
	w.bytes -= n
	w.ended.Broadcast()
}
