package objstore

import "time"

// waiter is a request that waits for a slot. The gate's mutex guards all fields but ready, which is closed when the
// slot is there.
type waiter struct {
	slot       *slot         // which it will have; its class is the queue's
	since      time.Duration // when it came
	ready      chan struct{}
	granted    bool
	prev, next *waiter
}

// waiterQueue is a first-in-first-out queue that lets a waiter leave from its middle. The zero value is empty.
type waiterQueue struct {
	first, last *waiter
	length      int
}

func (q *waiterQueue) push(w *waiter) {
	w.prev, w.next = q.last, nil
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.length++
}

// remove takes out w, which must be in the queue.
func (q *waiterQueue) remove(w *waiter) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	q.length--
}
