package objstore

import "time"

// window is what was seen since the last look at the limit.
type window struct {
	bytes    int64 // moved either way
	streamed int64 // those of them that were counted as they came
	answers  int   // requests that have ended
	served   int   // those of them that the store has answered
	carriers int   // those of these that carry a body
	waiting  bool  // a request is queued for a slot at the end: the limit is what holds it
}

// add counts a request that has ended. One that failed is no work: else a store that breaks under too many requests
// would seem to do more and more.
func (w *window) add(carriesBody bool, r result) {
	w.answers++
	if !r.served() {
		return
	}
	w.served++
	if carriesBody {
		w.carriers++
	}
	if r.err == nil {
		w.bytes += r.sent
	}
}

// data tells whether bodies were moved. Where they are, requests without one are no work: a thousand names come in the
// time of ten chunks, and that they come or do not says nothing about the limit.
func (w window) data() bool { return w.bytes > 0 || w.carriers > 0 }

// work is what a window has brought, in bytes a second.
func (w window) work(elapsed time.Duration) float64 {
	requests := w.carriers
	if !w.data() {
		requests = w.served
	}
	return (float64(w.bytes) + float64(requests)*requestWorth) / elapsed.Seconds()
}
