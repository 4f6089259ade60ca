package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
)

// probeDeadline is how long LOTA may take to say that it is there. It is on the same node or next to it.
const probeDeadline = time.Second

// route has the requests of a client go to LOTA while it answers, and to the store itself while it does not. A request
// that fails is not repeated here: whoever tries it again finds the other endpoint.
type route struct {
	near, origin string // URLs
	nearHost     string // of near; buckets are below it
	pool         http.RoundTripper
	log          *slog.Logger
	use          atomic.Pointer[string] // what requests go to: near or origin

	life  context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu       sync.Mutex // guards what follows
	state    endpointSwitch
	asking   bool // somebody asks whether near is back
	switches uint64
}

// newRoute asks LOTA whether it is there, and says what is used and why. The caller closes it.
func newRoute(ctx context.Context, config Config, pool http.RoundTripper) (*route, error) {
	u, err := url.Parse(config.near)
	if err != nil {
		return nil, err
	}
	r := &route{near: config.near, origin: config.origin, nearHost: u.Hostname(), pool: pool, log: config.Log}
	r.life, r.stop = context.WithCancel(context.Background())
	r.use.Store(&r.near)
	why := "it answers"
	if err := r.ask(ctx); err != nil {
		if ctx.Err() != nil {
			r.stop()
			return nil, ctx.Err()
		}
		why = fmt.Sprintf("%s does not answer: %v", r.near, err)
		if os.Getenv("KUBERNETES_SERVICE_HOST") == "" {
			why += " (and this is no Kubernetes pod)"
		}
		r.use.Store(&r.origin)
		r.mu.Lock()
		r.state.leave(longestPause)
		r.askLater()
		r.mu.Unlock()
	}
	r.log.Info("endpoint", "using", *r.use.Load(), "because", why)
	return r, nil
}

// status is current, and how often that has changed.
func (r *route) status() (endpoint string, switches uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current(), r.switches
}

// current is the URL that requests go to.
func (r *route) current() string { return *r.use.Load() }

// isNear tells whether a request goes to LOTA.
func (r *route) isNear(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return name == r.nearHost || strings.HasSuffix(name, "."+r.nearHost)
}

// note takes over what came of a request to a host, once its answer was read: what failed, nil for nothing.
func (r *route) note(host string, err error) {
	if r == nil || !r.isNear(host) || errors.Is(err, context.Canceled) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.state.answered()
		return
	}
	if !r.state.failed(unreachable(err)) {
		return
	}
	r.use.Store(&r.origin)
	r.switches++
	r.log.Warn("endpoint", "using", r.origin, "because", fmt.Sprintf("%s fails: %v", r.near, err))
	r.askLater()
}

// broken is the error of an answer that says that LOTA is broken, and nil for those that say what it thinks of the
// request. A 503 is the store's throttling where it has the store's code, and else of a balancer that has nobody to
// send requests to. Where reading that broke, it is the error of that.
func (r *route) broken(resp *http.Response) error {
	if r == nil || !r.isNear(resp.Request.URL.Host) {
		return nil
	}
	switch status := resp.StatusCode; status {
	case http.StatusServiceUnavailable:
		if resp.Request.Method == http.MethodHead { // its answer has no code
			return nil
		}
		switch code, err := peekCode(resp); {
		case err != nil:
			return err
		case code == "":
			return fmt.Errorf("status %d, which is no answer of an object store", status)
		}
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return fmt.Errorf("status %d", status)
	}
	return nil
}

// unreachable tells whether nothing listens there: there is no such name, or no connection.
func unreachable(err error) bool {
	var name *net.DNSError
	var dial *net.OpError
	return errors.As(err, &name) || errors.As(err, &dial) && dial.Op == "dial" ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// askLater has LOTA be asked until it is back. The caller holds mu.
func (r *route) askLater() {
	if r.asking || r.life.Err() != nil {
		return
	}
	r.asking = true
	r.tasks.Go(func() {
		for {
			r.mu.Lock()
			pause := time.NewTimer(r.state.pause)
			r.mu.Unlock()
			select {
			case <-pause.C:
			case <-r.life.Done():
				pause.Stop()
				return
			}
			if r.takeAnswer(r.ask(r.life)) {
				return
			}
		}
	})
}

// takeAnswer notes what LOTA said, and tells whether requests go there again.
func (r *route) takeAnswer(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.state.asked(err == nil) {
		return false
	}
	r.asking = false
	r.use.Store(&r.near)
	r.switches++
	r.log.Info("endpoint", "using", r.near, "because", "it answers again")
	return true
}

// ask makes an unsigned request, which a store refuses: any answer of a store is one. A page of a web server or a
// redirect is none: outside of a cluster, the name may lead anywhere.
func (r *route) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeDeadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.near+"/", nil)
	if err != nil {
		return err
	}
	resp, err := r.pool.RoundTrip(req) // which follows nothing
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400, strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html"):
		return fmt.Errorf("what answers is no object store (status %d)", resp.StatusCode)
	case resp.StatusCode >= 500:
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// close ends the asking.
func (r *route) close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.stop() // askLater begins nothing after this
	r.mu.Unlock()
	r.tasks.Wait()
}

// routed resolves endpoints for the SDK by what the route says now.
type routed struct {
	s3.EndpointResolverV2
	route *route
}

func (r routed) ResolveEndpoint(ctx context.Context, params s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	params.Endpoint = aws.String(r.route.current())
	return r.EndpointResolverV2.ResolveEndpoint(ctx, params)
}
