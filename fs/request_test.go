package fs

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// waiting is a request that waits, in a bubble of its own time.
type waiting struct {
	fs        *fileSystem
	r         *request
	interrupt chan struct{}
	state     atomic.Int32 // a signalState
	dead      bool
}

func newWaiting(t *testing.T) *waiting {
	t.Helper()
	w := &waiting{interrupt: make(chan struct{})}
	life, stop := context.WithCancel(context.Background())
	w.fs = &fileSystem{
		dead:    func() bool { return w.dead },
		signals: func(uint32) signalState { return signalState(w.state.Load()) },
		stopped: life.Done(), stop: stop,
	}
	w.r = w.fs.begin(w.interrupt, 1)
	t.Cleanup(func() {
		w.r.end()
		stop()
		w.fs.watchers.Wait() // and synctest would find a goroutine that is left
	})
	return w
}

// ended tells how long the request goes on waiting, at most a minute.
func (w *waiting) ended() time.Duration {
	begun := time.Now()
	select {
	case <-w.r.Done():
	case <-time.After(time.Minute):
	}
	return time.Since(begun)
}

// TestRequestInterrupted: who is let go, and when.
func TestRequestInterrupted(t *testing.T) {
	for _, test := range []struct {
		name     string
		prepare  func(*waiting)
		min, max time.Duration
	}{
		{"nothing", func(*waiting) {}, time.Minute, time.Minute},
		{"a harmless signal", func(w *waiting) { close(w.interrupt) }, time.Minute, time.Minute},
		{"killed", func(w *waiting) { w.state.Store(int32(signalsFatal)); close(w.interrupt) }, 0, 0},
		{"asked to stop, with a handler", func(w *waiting) { w.state.Store(int32(signalsStop)); close(w.interrupt) }, handledGrace, handledGrace + signalPoll},
		{"any signal will do", func(w *waiting) { w.r.anySignal = true; close(w.interrupt) }, 0, 0},
		{"the mount is gone", func(w *waiting) { w.dead = true; close(w.interrupt) }, 0, 0},
		{"the mount is given up", func(w *waiting) { w.fs.stop() }, 0, 0},
		{"the request is over", func(w *waiting) { w.r.end() }, 0, 0},
		{"harmless, then the mount is given up", func(w *waiting) {
			close(w.interrupt)
			time.AfterFunc(10*time.Second, w.fs.stop)
		}, 10 * time.Second, 10 * time.Second},
		{"harmless, then killed", func(w *waiting) {
			close(w.interrupt)
			go func() {
				time.Sleep(10*time.Second + time.Millisecond) // the bubble's time
				w.state.Store(int32(signalsFatal))
			}()
		}, 10 * time.Second, 10*time.Second + signalPoll},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWaiting(t)
				w.r.Done() // somebody waits
				test.prepare(w)
				if took := w.ended(); took < test.min || took > test.max {
					t.Errorf("let go after %v, want %v to %v", took, test.min, test.max)
				}
			})
		})
	}
}

// TestRequestThatDoesNotWait starts nothing, and ends what hangs on it.
func TestRequestThatDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaiting(t)
		if w.r.Err() != nil {
			t.Error("ended before it began")
		}
		w.r.end()
		if w.r.Err() != context.Canceled {
			t.Errorf("after the end: %v", w.r.Err())
		}
		<-w.r.Done()
		w.r.end() // as often as one likes
	})
}
