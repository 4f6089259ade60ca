package listings

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// DefaultLimit is how much of the disk all listings may take, in bytes: some ten million names.
	DefaultLimit = 512 << 20
	// defaultQueue is how many bytes of listings may wait to be written: some 150,000 names.
	defaultQueue = 8 << 20
	// rest is how long nothing is tried on a disk that has failed.
	rest = 15 * time.Second
)

// Config says where listings are kept, and how much of it they may take.
type Config struct {
	Dir     string // the cache directory, which is its user's alone
	Limit   int64  // bytes; 0 is DefaultLimit
	MinFree int64  // bytes of the file system below which nothing is kept; 0 is a twentieth of it
	Queue   int64  // bytes that may wait to be written; 0 is 8 MiB

	Patience time.Duration // for how long who asks for names waits for the disk; 0 is 2 s

	Log *slog.Logger

	Now    func() time.Time     // nil is time.Now
	Uptime func() time.Duration // since the machine started; nil is the kernel's
	Boot   string               // which start that was; "" is the kernel's
}

// Store is a process's use of the listings in a cache directory. Its methods may be called at the same time from many
// goroutines.
type Store struct {
	cfg     Config
	turn    chan struct{} // whose turn it is to lock the state, within this process
	writer  writer
	recount atomic.Bool // what the listings take is not known

	voids   atomic.Int64 // 0, or how often a change could not be noted: nothing is found or kept before all was removed
	mending atomic.Bool  // that is about to be
	hanging atomic.Int64 // what the disk was asked for and has not answered in time
	tidied  sync.Once
	health  health
	stats   counters
}

// Stats are totals of this process.
type Stats struct {
	Hits    int64 // questions answered from the disk: of a directory, or of a name
	Misses  int64 // those that were not
	Kept    int64 // listings
	Skipped int64 // listings not kept: the disk was behind, full or failed, or the directory was changed meanwhile
	Corrupt int64 // listings that were not as they were written
	Errors  int64 // of the disk
}

type counters struct{ hits, misses, kept, skipped, corrupt, errors atomic.Int64 }

// Open begins to use the listings of a cache directory. A disk that does not work is one line in the log, and tried
// again.
func Open(cfg Config) *Store {
	if cfg.Limit <= 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.Queue <= 0 {
		cfg.Queue = defaultQueue
	}
	if cfg.Patience <= 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Uptime == nil {
		cfg.Uptime = uptime
	}
	if cfg.Boot == "" {
		cfg.Boot = boot()
	}
	return &Store{cfg: cfg, turn: make(chan struct{}, 1), writer: writer{wake: make(chan struct{}, 1)}}
}

// Close keeps what waits to be kept, and ends. Where a change could not be noted, it is the last to know of it. A disk
// that hangs is not waited for.
func (s *Store) Close() {
	if s.writer.close(changePatience * s.cfg.Patience); s.isVoid() {
		s.done(s.doWithin(s.remedy))
	}
}

func (s *Store) isVoid() bool { return s.voids.Load() > 0 }

// Stats is a snapshot.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{c.hits.Load(), c.misses.Load(), c.kept.Load(), c.skipped.Load(), c.corrupt.Load(), c.errors.Load()}
}

// uptime is the time since the machine started, also while it slept: what no setting of the clock changes.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // no Linux lacks it
	}
	return time.Duration(ts.Nano())
}

// boot tells one start of the machine from others.
func boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}

// health is whether the disk is worth trying.
type health struct {
	mu    sync.Mutex // guards what follows
	until time.Time  // nothing is tried before
	told  bool
}

// works tells whether it is.
func (s *Store) works() bool {
	if s.hanging.Load() > 0 {
		return false
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return !s.cfg.Now().Before(s.health.until)
}

// done notes how something on the disk has ended. The first failure is told, and so is the next after it worked again.
func (s *Store) done(err error) {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if err == nil {
		s.health.until, s.health.told = time.Time{}, false
		return
	}
	s.stats.errors.Add(1)
	s.health.until = s.cfg.Now().Add(rest)
	if !s.health.told {
		s.health.told = true
		s.cfg.Log.Warn("names cannot be kept in the cache directory; they are asked from the store, and it is tried again", "dir", s.cfg.Dir, "error", err)
	}
}

// unnoted is called when a change could not be noted: what is there may be out of date, and is not used before all of
// it was removed.
func (s *Store) unnoted(err error) {
	if errors.Is(err, os.ErrNotExist) && !s.isVoid() {
		s.cfg.Log.Debug("the cache directory is gone", "dir", s.cfg.Dir)
	}
	s.voids.Add(1)
	s.done(err)
	s.writer.enqueue(s, job{do: func() {}}) // who looks at this from time to time
}

// mend removes all listings after a change that could not be noted, once the disk may work again.
func (s *Store) mend() {
	if s.isVoid() && s.works() && s.mending.CompareAndSwap(false, true) {
		s.writer.enqueue(s, job{do: func() { s.done(s.remedy()) }})
	}
}
