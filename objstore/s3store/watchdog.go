package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/objstore"
)

// errStalled is the cause with which the watchdog ends a request.
var errStalled = fmt.Errorf("no byte moved: %w", objstore.ErrTimeout)

type patienceKey struct{}

// withPatience lets the requests made with the returned context stand still for d: for those on which the store works
// before it answers.
func withPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// Do sends a request under a watchdog: it is ended with errStalled when nothing moves for the progress deadline, from
// the dial to the last byte of the response's body. The time in which the caller does not read the body does not count.
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	t.trim()
	limit := t.progress
	if d, ok := req.Context().Value(patienceKey{}).(time.Duration); ok {
		limit = max(limit, d)
	}
	dog, ctx := newWatchdog(req.Context(), limit)
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &sentBody{ReadCloser: req.Body, dog: dog}
	}
	dog.waiting()
	resp, err := t.client.Do(req)
	var broken error
	if err == nil {
		broken = t.route.broken(resp)
	}
	dog.idle()
	if err != nil {
		err = dog.explain(err)
		dog.release()
		t.route.note(req.URL.Host, err)
		return nil, err
	}
	ended := func(err error) { t.route.note(req.URL.Host, err) }
	if broken != nil { // whatever comes after it
		ended(dog.explain(broken))
		ended = func(error) {}
	}
	resp.Body = &receivedBody{body: resp.Body, dog: dog, ended: ended}
	return resp, nil
}

// watchdog ends a request when somebody has waited for its next byte for too long. It costs a clock reading a wait, no
// timer: the timer looks at the time of the last wait only when it fires.
type watchdog struct {
	limit  time.Duration
	cancel context.CancelCauseFunc
	ctx    context.Context
	born   time.Time    // the clock that since is read from
	since  atomic.Int64 // 1 + nanoseconds after born at which the wait began; 0 while nobody waits

	mu    sync.Mutex // guards timer: the first look may come before newWatchdog has it
	timer *time.Timer
}

func newWatchdog(parent context.Context, limit time.Duration) (*watchdog, context.Context) {
	ctx, cancel := context.WithCancelCause(parent)
	d := &watchdog{limit: limit, cancel: cancel, ctx: ctx, born: time.Now()}
	d.mu.Lock()
	d.timer = time.AfterFunc(limit, d.look)
	d.mu.Unlock()
	return d, ctx
}

// waiting says that from now on somebody waits for a byte: it begins the wait, and begins it anew after progress.
func (d *watchdog) waiting() { d.since.Store(1 + int64(time.Since(d.born))) }

// idle says that nobody waits.
func (d *watchdog) idle() { d.since.Store(0) }

// look runs when the timer fires: it ends the request, or sets the timer to when the present wait would be too long.
func (d *watchdog) look() {
	left := d.limit
	if since := d.since.Load(); since != 0 {
		left -= time.Since(d.born) - time.Duration(since-1)
	}
	if left <= 0 {
		d.cancel(errStalled)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() == nil {
		d.timer.Reset(left)
	}
}

// release ends the watch. The request's context ends with it.
func (d *watchdog) release() {
	d.cancel(nil)
	d.mu.Lock()
	d.timer.Stop()
	d.mu.Unlock()
}

// explain gives errStalled for an error that the watchdog caused, and err for all others.
func (d *watchdog) explain(err error) error {
	if errors.Is(context.Cause(d.ctx), errStalled) {
		return errStalled
	}
	return err
}

// sentBody counts a request's body as progress as it goes out. The kernel's send buffer hides the end of it, which is
// small against what a connection sends in the deadline.
type sentBody struct {
	io.ReadCloser
	dog *watchdog
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.dog.waiting()
	return b.ReadCloser.Read(p)
}

// receivedBody is a response's body under the watchdog.
type receivedBody struct {
	body  io.ReadCloser
	dog   *watchdog
	ended func(error) // is told of the body's end, or of what came before it
}

func (b *receivedBody) Read(p []byte) (int, error) {
	b.dog.waiting()
	n, err := b.body.Read(p)
	b.dog.idle()
	if err != nil {
		if err == io.EOF {
			b.ended(nil)
		} else {
			err = b.dog.explain(err)
			b.ended(err)
		}
		b.dog.release()
	}
	return n, err
}

func (b *receivedBody) Close() error {
	b.dog.release()
	return b.body.Close()
}
