package s3store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// dialTimeout is above three retransmissions of a lost SYN (1 + 2 + 4 s).
	dialTimeout = 10 * time.Second
	// tlsTimeout bounds a handshake in the same way.
	tlsTimeout = 10 * time.Second
	// idleTimeout: stores and the balancers before them drop idle connections after one to several minutes.
	idleTimeout = 90 * time.Second
	// continueTimeout: how long a store may take to refuse an upload before its body is sent.
	continueTimeout = time.Second
	// readBuffer and writeBuffer are the sizes, in bytes, of the buffers that a connection has. See the package comment.
	readBuffer  = 4 << 10
	writeBuffer = 32 << 10
	// redirectLimit: a fresh bucket answers with one temporary redirect; more than a few are a loop.
	redirectLimit = 4
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// transport is the client's pool of connections, with a watchdog over each request. It is what the SDK sends by, too.
type transport struct {
	pool     *http.Transport
	client   *http.Client // over pool, following nothing
	route    *route       // nil where there is one endpoint
	progress time.Duration
	conns    atomic.Int64 // open connections
	limit    atomic.Int64 // as many as requests may be under way
}

func newTransport(config Config, roots *x509.CertPool) *transport {
	t := &transport{progress: config.ProgressTimeout}
	t.limit.Store(int64(config.MaxConns))
	dial := config.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // one request a connection: bodies of different requests do not share a window
	t.pool = &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return t.count(c), nil
		},
		TLSClientConfig: &tls.Config{
			RootCAs:            roots,
			MinVersion:         tls.VersionTLS12,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
		TLSHandshakeTimeout:   tlsTimeout,
		Protocols:             protocols,
		DisableCompression:    true,            // an object's bytes are the object's bytes
		MaxIdleConns:          config.MaxConns, // each bucket may be a host of its own
		MaxIdleConnsPerHost:   config.MaxConns,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: continueTimeout,
		ReadBufferSize:        readBuffer,
		WriteBufferSize:       writeBuffer,
	}
	t.client = &http.Client{Transport: t.pool, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a signature is for one host: see resending
	}}
	return t
}

// setMaxConns drops the idle connections when more are open than n. Those in use are not touched: they are dropped by
// the first request after their own have ended.
func (t *transport) setMaxConns(n int) {
	t.limit.Store(int64(n))
	if t.conns.Load() > int64(n) {
		t.closeIdle()
	}
}

// trim is called before a request, and drops the idle connections when there are many more than the limit: those that
// were in use when it fell, and those to the hosts of other buckets. A quarter more is let be: connections whose bodies
// were closed early are still closing when the next request begins.
func (t *transport) trim() {
	if limit := t.limit.Load(); t.conns.Load() > limit+limit/4 {
		t.closeIdle()
	}
}

func (t *transport) closeIdle() { t.pool.CloseIdleConnections() }

// count makes an open connection count until it is closed.
func (t *transport) count(c net.Conn) net.Conn {
	t.conns.Add(1)
	return &countedConn{Conn: c, open: &t.conns}
}

type countedConn struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

// Close may be called more than once.
func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}
