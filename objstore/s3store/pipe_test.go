package s3store

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
)

// pipeServer serves handler over connections in memory, so that tests of deadlines can run on a bubble's clock.
type pipeServer struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// servePipes runs handler until the test ends.
func servePipes(t *testing.T, handler http.HandlerFunc) *pipeServer {
	t.Helper()
	p := &pipeServer{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(p)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return p
}

// dial connects to the server, whatever the address.
func (p *pipeServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipeServer) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeServer) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipeServer) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// bucketOver is a bucket whose requests go to handler. No request is sent to open it.
func bucketOver(t *testing.T, config Config, handler http.HandlerFunc) *Bucket {
	t.Helper()
	config.dial = servePipes(t, handler).dial
	if config.Endpoint == "" {
		config.Endpoint = "http://127.0.0.1:1"
	}
	if config.AccessKey == "" {
		config.AccessKey, config.SecretKey = testAccessKey, testSecretKey
	}
	c, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b, err := c.bucketIn(t.Context(), "bucket", "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	testAccessKey = "ACCESSKEYOFTESTS"
	testSecretKey = "secret-key-of-tests"
)
