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
	// firstRetry and lastRetry are how long it is waited between attempts to find or become the owner. A directory is
	// without an owner for no longer than it takes one member to notice, which is at once, and to open the index.
	firstRetry = 20 * time.Millisecond
	lastRetry  = time.Second
)

// Config says which directory, and who uses it.
type Config struct {
	Disk disk.Config // of the tier, while this process is the owner
	Name string      // of this process, for people
}

// Member is a process's use of a cache directory, as its owner or not. It is what package cache keeps chunks on, with
// the promises of disk.Tier. Its methods may be called at the same time from many goroutines.
type Member struct {
	cfg     Config
	self    User
	log     *slog.Logger
	place   atomic.Pointer[place] // nil while there is no owner to be found, and while the disk does not work
	errands errands
	stats   counters

	stop       chan struct{}
	goroutines sync.WaitGroup
	closing    sync.Once
	told       bool // run's: that there is no place to be found was logged
}

// place is a member's in the directory.
type place struct {
	directory *os.File
	tier      *disk.Tier // of the owner; nil for others
	server    *server    // of the owner; nil where others cannot be served
	owner     *client    // of the others
}

// leave gives a place up.
func (p *place) leave() (err error) {
	if p.server != nil {
		err = p.server.close()
	}
	if p.tier != nil {
		err = errors.Join(err, p.tier.Close())
	}
	if p.owner != nil {
		p.owner.lose()
	}
	return errors.Join(err, p.directory.Close())
}

// Open takes a directory, or joins those who use it. The errors are those of disk.Open, but that it is in use, and that
// its disk does not work (see disk.Failed): then the member goes without until it does.
func Open(cfg Config) (*Member, error) {
	if cfg.Disk.Log == nil {
		cfg.Disk.Log = slog.New(slog.DiscardHandler)
	}
	m := &Member{
		cfg: cfg, self: User{PID: os.Getpid(), Name: cfg.Name}, log: cfg.Disk.Log.With("dir", cfg.Disk.Dir),
		errands: newErrands(cfg.Disk.Queue), stop: make(chan struct{}),
	}
	if err := m.begin(); err != nil {
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
		err := m.join(false)
		switch {
		case err == nil:
			return nil
		case disk.Failed(m.cfg.Disk.Dir, err):
			m.stats.errors.Add(1)
			m.tell(err)
			return nil
		case !errors.Is(err, disk.ErrInUse):
			return err
		case errors.Is(err, errProtocol) || time.Now().After(deadline):
			m.tell(err)
			return nil
		}
	}
}

// join becomes the owner, or finds who it is. disk.ErrInUse when somebody is, and does not answer. again is for a
// directory that was used before: it is not made anew, which would be on another disk where the one that failed has
// been unmounted.
func (m *Member) join(again bool) error {
	cfg := m.cfg.Disk
	cfg.Existing = again
	tier, err := disk.Open(cfg)
	if err != nil && !errors.Is(err, disk.ErrInUse) {
		return err
	}
	directory, failed := os.Open(cfg.Dir)
	if failed != nil {
		if tier != nil {
			failed = errors.Join(failed, tier.Close())
		}
		return fmt.Errorf("share: %w", failed)
	}
	p := &place{directory: directory, tier: tier}
	if tier != nil {
		m.own(p)
		return nil
	}
	if p.owner, failed = dial(directory, hello{Protocol: protocol, User: m.self, Member: true}); failed != nil {
		return errors.Join(fmt.Errorf("%w: %w", err, failed), directory.Close())
	}
	m.goroutines.Go(p.owner.watch)
	m.take(p)
	owner := p.owner.welcome
	m.log.Info("the cache directory is another mount's, and is shared", "owner", owner.Owner.PID, "limit", owner.Limit)
	if size := cfg.Size; size != 0 && size != owner.Limit {
		m.log.Info("its owner's --cache-size counts", "limit", owner.Limit, "asked_for", size)
	}
	return nil
}

// own is what the owner does with the directory.
func (m *Member) own(p *place) {
	var err error
	if p.server, err = serve(p.tier, p.directory, m.self, m.log); err != nil {
		m.log.Warn("other mounts cannot share the cache directory", "error", err)
	}
	s := p.tier.Stats()
	m.log.Info("disk cache", "limit", s.Limit, "min_free", s.MinFree, "used", s.Used, "chunks", s.Chunks)
	m.take(p)
}

func (m *Member) take(p *place) {
	m.place.Store(p)
	m.told = false
}

// run keeps a place until stop is closed.
func (m *Member) run() {
	for retry := firstRetry; ; {
		p := m.place.Load()
		if p == nil {
			if err := m.join(true); err == nil {
				retry = firstRetry
				continue
			} else if !errors.Is(err, disk.ErrInUse) {
				m.stats.errors.Add(1)
				m.tell(err)
			} else if retry == lastRetry { // not while somebody is becoming the owner
				m.tell(err)
			}
			select {
			case <-time.After(retry):
				retry = min(2*retry, lastRetry)
			case <-m.stop:
				return
			}
			continue
		}
		select {
		case <-p.lost():
			m.place.Store(nil)
			m.left(p)
		case <-m.stop:
			if p.owner != nil {
				p.owner.lose() // ends watch
			}
			return
		}
	}
}

// lost is closed when a place is of no use any more.
func (p *place) lost() <-chan struct{} {
	if p.tier != nil {
		return p.tier.Lost()
	}
	return p.owner.lost
}

// left is what remains to be done with a place that was lost.
func (m *Member) left(p *place) {
	if p.tier != nil {
		m.stats.remember(p.tier.Stats())
		m.told = true // by the tier
		m.log.Info("the cache disk is given up until the directory can be opened again")
	} else {
		m.log.Info("the owner of the cache directory is gone; another is looked for")
	}
	if err := p.leave(); err != nil {
		m.log.Debug("the cache directory was left", "error", err)
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
		if p := m.place.Load(); p != nil {
			err = p.leave()
		}
	})
	return err
}
