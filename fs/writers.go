package fs

import "sync"

// writers are the processes that have written by way of a handle, and when: which close(2) stores what was written
// depends on it. FLUSH comes for each close of each duplicate of a descriptor, also from a child that was forked and
// wrote nothing; nothing tells which one is the last.
type writers struct {
	mu     sync.Mutex // guards what is below
	ever   bool
	thread uint32 // that wrote last, and its group: it writes again, mostly
	group  uint32
	last   map[uint32]uint64 // by thread group, 0 for one that cannot be seen: the cut in which it wrote
}

// note notes that a thread has written, before a cut ended.
func (w *writers) note(thread uint32, cut uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ever = true
	if w.last == nil {
		w.last = make(map[uint32]uint64)
	}
	group := w.groupOf(thread)
	w.thread, w.group = thread, group
	w.last[group] = max(w.last[group], cut)
}

// groupOf is the process of a thread. The caller holds mu.
func (w *writers) groupOf(thread uint32) uint32 {
	if thread != 0 && thread == w.thread {
		return w.group
	}
	return threadGroup(thread)
}

// unstored tells whether the process of a thread has written by way of the handle after the cut that is stored. One
// that cannot be seen may have.
func (w *writers) unstored(thread uint32, stored uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last[0] > stored {
		return true
	}
	group := w.groupOf(thread)
	if group == 0 {
		for _, cut := range w.last {
			if cut > stored {
				return true
			}
		}
	}
	return w.last[group] > stored
}

// any tells whether anybody has written by way of the handle after the cut that is stored.
func (w *writers) any(stored uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cut := range w.last {
		if cut > stored {
			return true
		}
	}
	return false
}

// wrote tells whether anybody ever has.
func (w *writers) wrote() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ever
}
