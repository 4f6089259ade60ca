package share

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// askDeadline is for what the owner answers from its index. Who does not answer in that time is left.
	askDeadline = 2 * time.Second
	// actDeadline is for what the owner reads, writes or removes files for.
	actDeadline = time.Minute
	// connections is how many requests are under way at the same time. Most take some 50 µs.
	connections = 8
)

var (
	errLost     = errors.New("share: the owner of the cache directory is gone")
	errProtocol = errors.New("the process that owns the cache directory is another version of headrace, which cannot share it")
)

// client asks an owner.
type client struct {
	directory *os.File // the caller's
	hello     hello
	welcome   welcome
	slots     chan struct{} // holds a token for each request under way
	lost      chan struct{} // closed when the owner is gone, or close was called
	losing    sync.Once

	mu   sync.Mutex // guards idle and all
	idle []*wire
	all  []*wire // nil once lost
}

// dial finds the owner of a directory, which stays open until the client is not used any more. The error is
// errProtocol, or why there is none.
func dial(directory *os.File, h hello) (*client, error) {
	c := &client{directory: directory, hello: h, slots: make(chan struct{}, connections), lost: make(chan struct{}), all: make([]*wire, 0, connections+1)}
	w, welcome, err := c.connect()
	if err != nil {
		return nil, err
	}
	c.welcome = welcome
	c.hello.Member = false // once is enough
	if !h.Member {
		c.idle = append(c.idle, w)
	}
	return c, nil
}

// connect makes one more connection.
func (c *client) connect() (w *wire, answer welcome, err error) {
	var conn *net.UnixConn
	err = atSocket(c.directory, func(path string) (err error) {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, answer, fmt.Errorf("share: %w", err)
	}
	w = newWire(conn)
	w.within(askDeadline)
	if err = w.send(c.hello, nil); err == nil {
		_, err = w.receive(&answer)
	}
	if err == nil && answer.Protocol != protocol {
		err = fmt.Errorf("share: %w: its protocol is %d and ours %d", errProtocol, answer.Protocol, protocol)
	}
	c.mu.Lock()
	if err == nil && c.all == nil {
		err = errLost
	}
	if err == nil {
		c.all = append(c.all, w)
	}
	c.mu.Unlock()
	if err != nil {
		w.close()
		return nil, answer, err
	}
	return w, answer, nil
}

// watch waits until the owner is gone. It is for a client whose first connection stands for a member.
func (c *client) watch() {
	c.mu.Lock()
	if c.all == nil {
		c.mu.Unlock()
		return
	}
	w := c.all[0]
	c.mu.Unlock()
	_ = w.conn.SetDeadline(time.Time{}) // as in wire.within
	_, _ = w.conn.Read(make([]byte, 1)) // nothing is ever sent: it returns when the connection ends
	c.lose()
}

// ask makes a request that may come with a file, and returns the answer, which may come with one too.
func (c *client) ask(within time.Duration, q request, with *os.File) (a answer, file *os.File, err error) {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.lost:
		return a, nil, errLost
	case <-timeout.C:
		return a, nil, fmt.Errorf("share: %w", os.ErrDeadlineExceeded)
	}
	w, err := c.take()
	if err == nil {
		w.within(within)
		if err = w.send(q, with); err == nil {
			file, err = w.receive(&a)
		}
	}
	if err != nil { // nobody knows what the connection would say next, and the owner is dead or stuck
		c.lose()
		return answer{}, nil, err
	}
	c.mu.Lock()
	c.idle = append(c.idle, w)
	c.mu.Unlock()
	if a.Error != "" {
		return a, file, errors.New(a.Error)
	}
	return a, file, nil
}

// take is a connection that is not in use.
func (c *client) take() (*wire, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		w := c.idle[n-1]
		c.idle = slices.Delete(c.idle, n-1, n)
		c.mu.Unlock()
		return w, nil
	}
	c.mu.Unlock()
	w, _, err := c.connect()
	return w, err
}

// lose ends all connections.
func (c *client) lose() {
	c.losing.Do(func() {
		c.mu.Lock()
		all := c.all
		c.all = nil
		c.mu.Unlock()
		for _, w := range all {
			w.close()
		}
		close(c.lost)
	})
}
