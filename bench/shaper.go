package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// pacePeriod is how much of a response is let through at a time, as a part of a second: a tenth of what 16 MiB take at
	// 80 MiB/s. With 5 ms the proxy's wake-ups, and those of its server, took a quarter of a machine with two processors.
	pacePeriod = 20 * time.Millisecond
	// maxHead bounds a request's or response's head.
	maxHead = 64 << 10
)

// shape is what a store looks like from far away.
type shape struct {
	firstByte time.Duration // from a request to the first byte of its response, at least
	rate      int64         // bytes a second of a response's body on each connection; 0 for no limit
}

func (s shape) none() bool { return s == shape{} }

// shaper is a proxy in front of a plain HTTP store. It understands as much of HTTP/1.1 as it takes to know where
// responses begin and end, and passes everything on as it is: signatures cover the host that the client named, which is
// the proxy's. Bodies go from socket to socket by splice(2) and cost it little.
type shaper struct {
	shape    shape
	server   string // host:port
	listener net.Listener
	conns    sync.WaitGroup
	ctx      context.Context
	cancel   context.CancelFunc
}

// startShaper listens on a port of 127.0.0.1. The caller stops it.
func startShaper(server string, s shape) (*shaper, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &shaper{shape: s, server: server, listener: l, ctx: ctx, cancel: cancel}
	p.conns.Go(p.accept)
	return p, nil
}

func (p *shaper) endpoint() string { return "http://" + p.listener.Addr().String() }

// stop cuts all connections and waits until they are gone.
func (p *shaper) stop() {
	p.cancel()
	p.listener.Close()
	p.conns.Wait()
}

func (p *shaper) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.conns.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve relays one connection until either side ends it.
func (p *shaper) serve(client *net.TCPConn) {
	defer client.Close()
	conn, err := (&net.Dialer{}).DialContext(p.ctx, "tcp", p.server)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	defer context.AfterFunc(p.ctx, func() { client.Close(); server.Close() })()
	r := relay{shape: p.shape, client: newHalf(client), server: newHalf(server), ctx: p.ctx}
	for r.exchange() == nil {
	}
}

// half is one side's connection with a small buffer to find heads with; what lies beyond the buffer is spliced.
type half struct {
	*net.TCPConn
	buf *bufio.Reader
}

func newHalf(c *net.TCPConn) half { return half{c, bufio.NewReaderSize(c, 4<<10)} }

type relay struct {
	shape          shape
	client, server half
	ctx            context.Context
}

// exchange passes one request on, and its response.
func (r *relay) exchange() error {
	request, err := readHead(r.client.buf)
	if err != nil {
		return err
	}
	if _, err := r.server.Write(request.raw); err != nil {
		return err
	}
	if err := r.body(r.client, r.server, request, 0); err != nil {
		return err
	}
	asked := time.Now()
	for {
		response, err := readHead(r.server.buf)
		if err != nil {
			return err
		}
		if err := r.pause(time.Until(asked.Add(r.shape.firstByte))); err != nil {
			return err
		}
		if _, err := r.client.Write(response.raw); err != nil {
			return err
		}
		status := response.status()
		if status/100 == 1 {
			continue // the response proper is still to come
		}
		if request.method() == "HEAD" || status == 204 || status == 304 {
			return nil
		}
		if !response.chunked && response.length < 0 {
			response.length = 1 << 62 // until the server closes
		}
		return r.body(r.server, r.client, response, r.shape.rate)
	}
}

// body passes on what follows a head.
func (r *relay) body(from, to half, h head, rate int64) error {
	if h.chunked {
		return relayChunks(from.buf, to)
	}
	start, sent := time.Now(), int64(0)
	batch := int64(1 << 62)
	if rate > 0 {
		batch = max(rate*int64(pacePeriod)/int64(time.Second), 1)
	}
	for left := h.length; left > 0; {
		n := min(left, batch)
		buffered := min(n, int64(from.buf.Buffered()))
		if _, err := io.CopyN(to.TCPConn, from.buf, buffered); err != nil {
			return err
		}
		if _, err := io.CopyN(to.TCPConn, from.TCPConn, n-buffered); err != nil {
			return err
		}
		sent, left = sent+n, left-n
		if rate > 0 && left > 0 {
			if err := r.pause(time.Until(start.Add(time.Duration(float64(sent) / float64(rate) * float64(time.Second))))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *relay) pause(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// relayChunks passes on a chunked body and its trailer.
func relayChunks(from *bufio.Reader, to io.Writer) error {
	for {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return err
		}
		if _, err := to.Write(line); err != nil {
			return err
		}
		text, _, _ := strings.Cut(strings.TrimSpace(string(line)), ";")
		size, err := strconv.ParseInt(text, 16, 64)
		if err != nil {
			return err
		}
		if size == 0 {
			trailer, err := readHead(from)
			if err == nil {
				_, err = to.Write(trailer.raw)
			}
			return err
		}
		if _, err := io.CopyN(to, from, size+2); err != nil {
			return err
		}
	}
}

// head is the head of a message, as it came and as far as it is understood.
type head struct {
	raw     []byte
	first   string
	length  int64 // of the body; -1 when not said
	chunked bool
}

func (h head) method() string { method, _, _ := strings.Cut(h.first, " "); return method }

func (h head) status() int {
	_, rest, _ := strings.Cut(h.first, " ")
	code, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(code)
	if err != nil {
		return 0
	}
	return n
}

var errHead = errors.New("bench: head of a message too long")

// readHead reads up to and including the empty line.
func readHead(from *bufio.Reader) (head, error) {
	h := head{length: -1}
	for {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		h.raw = append(h.raw, line...)
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			return h, nil
		}
		if h.first == "" {
			h.first = text
		}
		name, value, _ := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			if h.length, err = strconv.ParseInt(value, 10, 64); err != nil {
				return h, err
			}
		case "transfer-encoding":
			h.chunked = strings.EqualFold(value, "chunked")
		}
		if len(h.raw) > maxHead {
			return h, errHead
		}
	}
}
