package share

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/headrace/headrace/cache/disk"
)

// maxConnections bounds the connections to an owner: those of some fifty members.
const maxConnections = 512

// server answers for a directory that this process owns.
type server struct {
	tier      *disk.Tier
	self      User
	directory *os.File // the caller's
	listener  *net.UnixListener
	log       *slog.Logger

	mu         sync.Mutex // guards what is below
	closed     bool
	wires      map[*wire]User // by connection; the zero User for those that stand for no member
	goroutines sync.WaitGroup // added to under mu while closed is false
}

// serve begins to answer, until close. What a dead owner has left of its socket is replaced.
func serve(tier *disk.Tier, directory *os.File, self User, log *slog.Logger) (*server, error) {
	var l *net.UnixListener
	err := atSocket(directory, func(path string) (err error) {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
			return err
		}
		l.SetUnlinkOnClose(false) // close does, while the directory is still ours
		if err = os.Chmod(path, 0o600); err != nil {
			err = errors.Join(err, l.Close())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	s := &server{tier: tier, self: self, directory: directory, listener: l, log: log, wires: make(map[*wire]User)}
	s.goroutines.Go(s.accept)
	return s, nil
}

func (s *server) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors, for example
			time.Sleep(acceptAgain)
			continue
		}
		if uid, err := peerOf(conn); err != nil || uid != 0 && uid != os.Geteuid() {
			s.log.Warn("another user's process was refused the cache directory", "uid", uid)
			_ = conn.Close() // nothing was said
			continue
		}
		s.begin(newWire(conn))
	}
}

// acceptAgain is how long it is waited after a connection could not be taken.
const acceptAgain = 100 * time.Millisecond

// begin answers a connection, unless there are too many.
func (s *server) begin(w *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.wires) >= maxConnections {
		w.close()
		return
	}
	s.wires[w] = User{}
	s.goroutines.Go(func() {
		s.converse(w)
		s.mu.Lock()
		delete(s.wires, w)
		s.mu.Unlock()
		w.close()
	})
}

// converse answers requests until the connection ends, one after the other.
func (s *server) converse(w *wire) {
	var h hello
	w.within(askDeadline)
	file, err := w.receive(&h)
	if err != nil {
		return
	}
	closeFile(file)
	stats := s.tier.Stats()
	if err := w.send(welcome{Protocol: protocol, Owner: s.self, Limit: stats.Limit, MinFree: stats.MinFree}, nil); err != nil || h.Protocol != protocol {
		return
	}
	if h.Member {
		s.mu.Lock()
		s.wires[w] = h.User
		s.mu.Unlock()
	}
	for {
		_ = w.conn.SetDeadline(time.Time{}) // who has nothing to ask may stay; close ends it
		var q request
		file, err := w.receive(&q)
		if err != nil {
			return
		}
		a, lent, release := s.handle(q, file)
		closeFile(file)
		w.within(askDeadline)
		err = w.send(a, lent)
		release()
		if err != nil {
			return
		}
	}
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close() // nothing was written
	}
}

// users are the members, the owner first.
func (s *server) users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []User{s.self}
	for _, u := range s.wires {
		if u != (User{}) {
			all = append(all, u)
		}
	}
	return all
}

// close ends all connections. The tier is still the caller's.
func (s *server) close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for w := range s.wires {
		w.close()
	}
	s.mu.Unlock()
	s.goroutines.Wait()
	_ = atSocket(s.directory, os.Remove) // fails when the disk does; the next owner replaces what is left of it
	return err
}
