package share

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/cache/disk"
)

const (
	// patience is how long Open waits for an owner that does not answer: one that has just started reads its index first.
	patience = 3 * time.Second
	// firstRetry and lastRetry are how long it is waited between attempts to find or become the owner. A directory is without an owner for
	// no longer than it takes one member to notice, which is at once, and to open the index.
	firstRetry = 20 * time.Millisecond
	lastRetry  = time.Second
)

// Config says which directory, and who uses it.
type Config struct {
	Disk disk.Config // of the tier, while this process is the owner
	Name string      // of this process, for people
}

// Member is a process's use of a cache directory, as its owner or not. It is what package cache keeps chunks on, with the promises of disk.Tier. Its methods may be called
// at the same time from many goroutines.
type Member struct {
	cfg       Config
	self      User
	log       *slog.Logger
	directory *os.File
	place     atomic.Pointer[place] // nil while there is no owner to be found
	errands   errands
	stats     counters

	stop       chan struct{}
	goroutines sync.WaitGroup
	closing    sync.Once
	told       bool // run's: that there is no owner to be found was logged
}

// place is a member's in the directory.
type place struct {
	tier   *disk.Tier // of the owner; nil for others
	server *server    // of the owner; nil where others cannot be served
	owner  *client    // of the others
}

// Open takes a directory, or joins those who use it. The errors are those of disk.Open, but that it is in use.
func Open(cfg Config) (*Member, error) {
	if cfg.Disk.Log == nil {
		cfg.Disk.Log = slog.New(slog.DiscardHandler)
	}
	m := &Member{
		cfg: cfg, self: User{PID: os.Getpid(), Name: cfg.Name}, log: cfg.Disk.Log.With("dir", cfg.Disk.Dir),
		errands: newErrands(cfg.Disk.Queue), stop: make(chan struct{}),
	}
	if err := m.begin(); err != nil {
		if m.directory != nil {
			err = errors.Join(err, m.directory.Close())
		}
		return nil, err
	}
	m.goroutines.Go(m.run)
	for range errandRunners {
		m.goroutines.Go(m.runErrands)
	}
	return m, nil
}

// begin finds a place, or waits for one for a while.
func (m *Member) begin() error {
	for deadline := time.Now().Add(patience); ; time.Sleep(firstRetry) {
		err := m.join()
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, disk.ErrInUse):
			return err
		case errors.Is(err, errProtocol) || time.Now().After(deadline):
			m.tell(err)
			return nil
		}
	}
}

// join becomes the owner, or finds who it is. disk.ErrInUse when somebody is, and does not answer.
func (m *Member) join() error {
	tier, err := disk.Open(m.cfg.Disk)
	if err != nil && !errors.Is(err, disk.ErrInUse) {
		return err
	}
	if m.directory == nil {
		directory, failed := os.Open(m.cfg.Disk.Dir)
		if failed != nil {
			if tier != nil {
				failed = errors.Join(failed, tier.Close())
			}
			return fmt.Errorf("share: %w", failed)
		}
		m.directory = directory
	}
	if err == nil {
		m.own(tier)
		return nil
	}
	owner, failed := dial(m.directory, hello{Protocol: protocol, User: m.self, Member: true})
	if failed != nil {
		return fmt.Errorf("%w: %w", err, failed)
	}
	m.goroutines.Go(owner.watch)
	m.place.Store(&place{owner: owner})
	m.told = false
	m.log.Info("the cache directory is another mount's, and is shared", "owner", owner.welcome.Owner.PID, "limit", owner.welcome.Limit)
	if size := m.cfg.Disk.Size; size != 0 && size != owner.welcome.Limit {
		m.log.Info("its owner's --cache-size counts", "limit", owner.welcome.Limit, "asked_for", size)
	}
	return nil
}

// own is what the owner does with the directory.
func (m *Member) own(tier *disk.Tier) {
	p := &place{tier: tier}
	var err error
	if p.server, err = serve(tier, m.directory, m.self, m.log); err != nil {
		m.log.Warn("other mounts cannot share the cache directory", "error", err)
	}
	s := tier.Stats()
	m.log.Info("disk cache", "limit", s.Limit, "min_free", s.MinFree, "used", s.Used, "chunks", s.Chunks)
	m.place.Store(p)
	m.told = false
}

// run keeps a place until stop is closed.
func (m *Member) run() {
	for retry := firstRetry; ; {
		p := m.place.Load()
		switch {
		case p == nil:
			if err := m.join(); err == nil {
				retry = firstRetry
				continue
			} else if retry == lastRetry { // not while somebody is becoming the owner
				m.tell(err)
			}
			select {
			case <-time.After(retry):
				retry = min(2*retry, lastRetry)
			case <-m.stop:
				return
			}
		case p.tier != nil:
			<-m.stop
			return
		default:
			select {
			case <-p.owner.lost:
				m.place.Store(nil)
				m.log.Info("the owner of the cache directory is gone; another is looked for")
			case <-m.stop:
				p.owner.lose()
				return
			}
		}
	}
}

// tell says, once, that the disk cannot be used.
func (m *Member) tell(err error) {
	if !m.told {
		m.told = true
		m.log.Warn("the cache directory cannot be used; reads go on from the store, and it is tried again", "error", err)
	}
}

// Owner tells whether this process is the owner.
func (m *Member) Owner() bool {
	p := m.place.Load()
	return p != nil && p.tier != nil
}

// Close leaves the directory to the others. No hold may be in use.
func (m *Member) Close() (err error) {
	m.closing.Do(func() {
		close(m.stop)
		m.errands.close()
		m.goroutines.Wait()
		if p := m.place.Load(); p != nil && p.tier != nil {
			if p.server != nil {
				err = p.server.close()
			}
			err = errors.Join(err, p.tier.Close())
		}
		err = errors.Join(err, m.directory.Close())
	})
	return err
}
