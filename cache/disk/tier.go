package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/headrace/headrace/objstore"
)

// Config says where the tier is and how much it may take.
type Config struct {
	Dir     string // made if missing; see Open
	Size    int64  // bytes of the disk that chunks and the index may take; 0 for what it was before, at first 80% of what is free
	MinFree int64  // bytes of the file system that stay free; 0 for 5% of it
	Queue   int64  // bytes of memory that may wait to be written
	Log     *slog.Logger

	Existing bool             // the directory must be a cache already: os.ErrNotExist otherwise
	Now      func() time.Time // nil for time.Now

	idle  bool              // limits are not enforced
	boot  string            // stands for this life of the machine; "" for what the kernel says
	crash func(step string) // called at each step that a crash may come after
}

// Tier is a cache directory in use. Its methods may be called at the same time from many goroutines.
type Tier struct {
	cfg   Config
	dir   *directory
	files *dataFiles

	catalog *catalog
	space   space
	uses    *uses
	wanted  *wanted
	checked *checkedBlocks
	readers *lru.Cache[admission, struct{}] // who may read what, admitted just now: the catalog knows it soon
	health  health
	stats   counters

	popularityMu sync.Mutex // guards popularity
	popularity   *popularity

	queue    queue
	underWay *underWay
	orders   chan func()
	checks   chan objstore.Version // to be compared with their checksums
	sweeping atomic.Bool           // the trash is being emptied

	// The writer's own.
	beingWritten map[chunkKey]bool
	evicted      []victim      // out of the catalog; their space is given back after the commit
	evictedSpace int64         // bytes
	leftovers    []leftover    // see removeLeftovers
	helpless     time.Duration // how long nothing was evicted for the disk's sake
	shrinkAgain  time.Time     // and until when
	ended        chan struct{}

	closing    sync.RWMutex // guards closed; held by those who put something into the queue
	closed     bool
	stop       chan struct{}
	goroutines sync.WaitGroup
}

// Open takes a cache directory, or makes one of an empty or missing directory. Errors say what is wrong with it:
// ErrInUse, ErrNotOurs, ErrTooOpen, ErrNotEmpty, ErrNoHoles, or the system's. A damaged index is no error: the cache is
// empty then.
func Open(cfg Config) (*Tier, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.crash == nil {
		cfg.crash = func(string) {}
	}
	dir, err := openDirectory(cfg.Dir, cfg.Existing)
	if err != nil {
		return nil, err
	}
	x, sums, err := openOrReplaceIndex(dir, cfg)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	fs, err := statfs(dir.path)
	if err == nil {
		err = dir.weighTrash()
	}
	if err != nil {
		return nil, errors.Join(err, x.close(), dir.close())
	}
	fs.free += dir.trash.Load()
	readers, _ := lru.New[admission, struct{}](maxAdmissions) // fails for a size that is not positive
	t := &Tier{
		cfg: cfg, readers: readers, dir: dir, files: newDataFiles(dir),
		catalog: newCatalog(x, sums), space: newSpace(cfg, sums, fs),
		uses: newUses(), wanted: newWanted(), checked: newCheckedBlocks(), health: health{log: cfg.Log, lost: make(chan struct{})},
		underWay: newUnderWay(),
		queue:    queue{limit: cfg.Queue, offers: make(chan *Offer, maxQueued)},
		orders:   make(chan func(), maxOrders), checks: make(chan objstore.Version, maxChecks), beingWritten: make(map[chunkKey]bool), stop: make(chan struct{}),
		ended: make(chan struct{}),
	}
	t.loadPopularity()
	t.catalog.setSpace(t.space)
	if err := t.recover(); err != nil {
		return nil, errors.Join(err, x.close(), dir.close())
	}
	t.sweeping.Store(dir.trash.Load() > 0)
	t.goroutines.Go(t.run)
	t.goroutines.Go(t.runChecks)
	t.goroutines.Go(func() {
		if err := dir.sweep(t.stop, t.crash); err != nil {
			t.fail("sweep", err)
		}
		t.sweeping.Store(false)
		if cfg.idle { // for a moment only
			return
		}
		if err := t.tidy(); err != nil {
			t.fail("tidy", err)
		}
	})
	return t, nil
}

// OpenExisting is Open for a directory that is a cache already, to look at it: nothing is evicted for the sake of
// limits, which are those of the last owner, and a damaged index, with which all would go, is left for the next owner:
// ErrDamaged.
func OpenExisting(cfg Config) (*Tier, error) {
	cfg.Existing, cfg.idle = true, true
	return Open(cfg)
}

// maxOrders is how many orders wait for the writer.
const maxOrders = 64

// openOrReplaceIndex makes a new index where there is none that can be used; the data files that only it knew go.
func openOrReplaceIndex(dir *directory, cfg Config) (*index, totals, error) {
	path := dir.file(indexFile)
	x, sums, fresh, err := openIndex(path)
	if errors.Is(err, errIndex) && !cfg.idle {
		cfg.Log.Warn("the index of the cache is damaged; the cache starts empty", "dir", dir.path, "error", err)
		if err := os.Remove(path); err != nil {
			return nil, sums, fmt.Errorf("disk: %w", err)
		}
		x, sums, fresh, err = openIndex(path)
	}
	if err != nil {
		return nil, sums, err
	}
	if fresh {
		err = dir.discardData()
	} else if !cfg.idle { // who only looks changes nothing
		err = x.makeSmaller(path)
	}
	if err != nil {
		return nil, sums, errors.Join(err, x.close())
	}
	return x, sums, nil
}

// Close gives up what waits to be written, commits what was, and leaves the directory to the next owner. Nothing is
// found any more then; holds and leases that are in use keep their files open until they are released.
func (t *Tier) Close() error {
	t.closing.Lock()
	if t.closed {
		t.closing.Unlock()
		return nil
	}
	t.closed = true
	t.closing.Unlock()
	close(t.stop)
	t.goroutines.Wait()
	for {
		select {
		case o := <-t.queue.offers:
			t.done(o)
			continue
		default:
		}
		break
	}
	t.files.closeAll()
	return errors.Join(t.catalog.index.close(), t.dir.close())
}

func (t *Tier) now() time.Time { return t.cfg.Now() }

func (t *Tier) crash(step string) { t.cfg.crash(step) }

// fail notes trouble with the disk.
func (t *Tier) fail(what string, err error) {
	if errors.Is(err, errClosed) {
		return
	}
	if t.health.failed(what, err, t.now()) {
		_ = os.Remove(t.dir.file(indexFile)) // so that the next owner makes a new one
	}
}

// keyOf is the key of the object that a version is of, for the log.
func (t *Tier) keyOf(id uint64) string {
	if h, ok, err := t.catalog.owner(id); ok && err == nil {
		if r, ok, err := t.catalog.version(h); ok && err == nil {
			return r.version.Key
		}
	}
	return ""
}

// Present is which blocks of a chunk are here, without counting it as a use.
func (t *Tier) Present(v objstore.Version, chunk int64) Blocks {
	r, ok, err := t.catalog.version(hashVersion(v))
	if err != nil || !ok {
		return 0
	}
	c, _, err := t.catalog.chunk(chunkKey{r.id, uint32(chunk)})
	if err != nil {
		return 0
	}
	return c.present
}
