package fs

import (
	"context"
	"sync"
	"time"
)

// request is the context of one request of the kernel. It ends when the request is over, when the mount ends, or when
// the caller is to be let go because of a signal.
//
// The kernel sends INTERRUPT for any signal, also for those with a handler that only counts or that asks for nothing,
// such as SIGCHLD, SIGALRM and the SIGURG by which Go preempts itself. Answering EINTR to each would make stat and open
// fail where no program expects it. So INTERRUPT is taken as a reason to look: a caller that is being killed is let go
// at once; one that has a handler for a signal that asks it to stop is let go after handledGrace; nobody else is.
//
// Nothing is watched until somebody waits, that is, until Done is called: a read that is answered from memory costs no
// goroutine.
type request struct {
	fs        *fileSystem
	interrupt <-chan struct{} // closed by the protocol library on INTERRUPT; another request's after this one is over
	pid       uint32          // thread id of the caller, 0 when it cannot be seen from here
	anySignal bool            // any signal lets the caller go: blocking locks, which are restarted

	mu   sync.Mutex // guards what is below
	done chan struct{}
	err  error
}

const (
	// signalPoll is how often an interrupted request looks at its caller again: the kernel sends INTERRUPT once a request,
	// and a fatal signal may follow a harmless one. Well within the second in which a killed process is to be gone.
	signalPoll = 100 * time.Millisecond

	// handledGrace is how long a caller waits on after a signal that asks it to stop, when it has a handler for it: longer
	// than a store that is alive takes, short enough for somebody at a keyboard.
	handledGrace = time.Second
)

// begin makes the context of a request. The caller calls end when it is over.
func (f *fileSystem) begin(interrupt <-chan struct{}, pid uint32) *request {
	return &request{fs: f, interrupt: interrupt, pid: pid}
}

// end ends whatever still hangs on the context.
func (r *request) end() { r.finish(context.Canceled) }

func (r *request) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	r.err = err
	if r.done != nil {
		close(r.done)
	}
}

// Done implements [context.Context].
func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil {
		return r.done
	}
	r.done = make(chan struct{})
	if r.err != nil {
		close(r.done)
		return r.done
	}
	done := r.done
	r.fs.watchers.Go(func() { r.watch(done) })
	return r.done
}

// Err implements [context.Context].
func (r *request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Deadline implements [context.Context]: there is none, each layer below has its own.
func (r *request) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Value implements [context.Context].
func (r *request) Value(any) any { return nil }

// watch ends the request when its caller is to be let go. It returns when the request is over.
func (r *request) watch(done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-r.fs.stopped:
		r.finish(context.Canceled)
		return
	case <-r.interrupt:
	}
	interrupted := time.Now()
	tick := time.NewTicker(signalPoll)
	defer tick.Stop()
	for {
		if r.letGo(time.Since(interrupted)) {
			r.finish(context.Canceled)
			return
		}
		select {
		case <-done:
			return
		case <-r.fs.stopped:
		case <-tick.C:
		}
	}
}

// letGo decides whether an interrupted request is given up, a time after the interrupt.
func (r *request) letGo(after time.Duration) bool {
	select {
	case <-r.fs.stopped:
		return true
	default:
	}
	// The protocol library interrupts all requests when the connection ends.
	if r.anySignal || r.fs.dead() {
		return true
	}
	switch r.fs.signals(r.pid) {
	case signalsFatal:
		return true
	case signalsStop:
		return after >= handledGrace
	default:
		return false
	}
}
