package upload

import (
	"math/rand/v2"
	"time"
)

// How long is waited between two attempts to store a file: doubling, and up to a quarter less so that many files do not
// come at once.
const (
	firstRetry = time.Second
	maxRetry   = time.Minute
)

// retry is when a file is to be stored again.
type retry struct {
	failures int
	timer    *time.Timer
}

func (r *retry) cancel() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

func (r *retry) reset() {
	r.cancel()
	r.failures = 0
}

// delay is how long to wait after so many failures in a row.
func delay(failures int) time.Duration {
	d := min(firstRetry<<min(failures-1, 10), maxRetry)
	return d - rand.N(d/4+1)
}

// retryLater has the file be stored in a while. The caller holds mu.
func (f *File) retryLater() {
	f.retry.cancel()
	f.retry.failures++
	f.retry.timer = time.AfterFunc(delay(f.retry.failures), f.begin)
}
