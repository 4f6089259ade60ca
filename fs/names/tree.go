package names

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

// Item is one name of a directory.
type Item struct {
	Name      string         // as shown: a valid name of at most 255 bytes
	Dir       bool           // a directory
	Key       string         // a file's key; a directory's prefix, which ends in "/" except for a %part= directory
	Entry     objstore.Entry // of a file; ContentType and Metadata may be missing
	Confirmed time.Time      // when the request that told this began: it was so at that time or later
}

// Store is what the tree asks.
type Store interface {
	objstore.Statter
	objstore.Lister
}

// DefaultMaxCached is how many names a tree remembers by default: about 50 MB of them at most, and enough to keep the
// listing of a directory of 100,000.
const DefaultMaxCached = 220_000

// Config says how long and how much a tree remembers.
type Config struct {
	// TTL is how old an answer may be; zero asks the store each time.
	TTL time.Duration
	// Immutable keeps names and listings once seen for as long as there is room. "Not found" still follows the TTL.
	Immutable bool
	// MaxCached bounds the names kept over all listings; zero is DefaultMaxCached. One listing keeps at most half of
	// them: of a larger directory only what was listed last is kept. Besides, an eighth as many answers for single names
	// are kept.
	MaxCached int
	// Shelf keeps listings across restarts; nil for none.
	Shelf Shelf
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Tree finds names. All methods may be called at the same time from many goroutines.
type Tree struct {
	store   Store
	longest int // key, in bytes

	ctx    context.Context // of the requests that several callers share
	cancel context.CancelFunc
	tasks  sync.WaitGroup // their goroutines

	mu       sync.Mutex // guards what follows, and the listings and flights reached from it
	memory   memory
	bursts   bursts
	renewals renewals
	own      own
	flights  map[address]*flight
	closed   bool
	keeping  keeping

	foresight *foresight
}

// address is one name of one directory.
type address struct{ dir, name string }

// New makes a tree over store.
func New(store Store, cfg Config) *Tree {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxCached <= 0 {
		cfg.MaxCached = DefaultMaxCached
	}
	cfg.MaxCached = max(cfg.MaxCached, 2)
	t := &Tree{
		store:    store,
		longest:  objstore.MaxKey,
		memory:   newMemory(cfg),
		bursts:   newBursts(cfg.TTL),
		renewals: newRenewals(),
		own:      newOwn(),
		flights:  make(map[address]*flight),
		keeping:  newKeeping(cfg.Shelf, store),

		foresight: newForesight(cfg, store),
	}
	if l, ok := store.(objstore.KeyLimiter); ok {
		t.longest = l.MaxKey()
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Close ends the requests under way and waits for them. Calls after it that need the store fail with context.Canceled.
func (t *Tree) Close() {
	t.cancel()
	t.mu.Lock()
	t.closed = true
	t.foresight.walks.Purge()
	t.mu.Unlock()
	t.tasks.Wait()
}

// start runs task in a goroutine that Close waits for. It is false once the tree is closed. The caller holds t.mu.
func (t *Tree) start(task func()) bool {
	if t.closed {
		return false
	}
	t.tasks.Go(task)
	return true
}

// stamp is the moment at which a request begins.
func (t *Tree) stamp() moment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.memory.stamp()
}

// Lookup finds a name in the directory whose prefix is dir. It costs nothing when a listing of dir or an earlier answer
// is young enough; else two requests in parallel, shared with whoever else asks for that name then. A stat of one name
// never lists its directory; several in a row that are not there have it be listed, if its names fit into a page. ctx
// ends only the waiting.
//
// Errors: objstore.ErrNotExist; objstore.ErrPermission when the store neither tells that the name exists nor that it
// does not; what else the store answers.
func (t *Tree) Lookup(ctx context.Context, dir, name string) (Item, error) {
	target, ok := resolve(dir, name)
	if !ok {
		return Item{}, objstore.ErrNotExist
	}
	return t.share(ctx, address{dir, name}, target)
}

// Stat asks the store for the item now, whatever is remembered, and remembers the answer: a file costs one HEAD, a
// directory one LIST of one key. Files that are asked for in the order of their directory's listing cost a page of it
// for all that it tells of. objstore.ErrNotExist when it is gone; what its name stands for then is for Lookup.
func (t *Tree) Stat(ctx context.Context, item Item) (Item, error) {
	a, ok := item.address()
	if !ok {
		return Item{}, objstore.ErrNotExist
	}
	t.mu.Lock()
	held, ok := t.own.held[a.dir][a.name]
	t.mu.Unlock()
	if ok {
		return held, nil
	}
	asked, before := t.stamp(), item.Entry
	var err error
	if item.Dir {
		err = t.askDirectory(ctx, item)
	} else if listed, ok := t.renew(ctx, a); ok && listed.item.Key == item.Key {
		item.Entry, asked = listed.item.Entry, listed.asked
	} else {
		item.Entry, err = t.entry(ctx, item.Key)
		if err == nil && item.Entry.Size == 0 && item.Key == a.dir {
			err = objstore.ErrNotExist // the directory's object has become a mere marker
		}
	}
	if err != nil {
		if errors.Is(err, objstore.ErrNotExist) {
			t.Forget(a.dir, a.name)
		}
		return Item{}, err
	}
	if item.Confirmed = asked.at; item.Entry.ETag != before.ETag || item.Entry.Size != before.Size {
		t.doubt(a.dir)
	}
	t.mu.Lock()
	t.memory.remember(a, answer{item: item, found: true, asked: asked})
	t.mu.Unlock()
	return item, nil
}

// Forget drops what is known of a name, what is being asked of it included: the next Lookup or ReadDir asks the store.
func (t *Tree) Forget(dir, name string) {
	t.doubt(dir)
	t.mu.Lock()
	t.memory.forget(address{dir, name})
	t.mu.Unlock()
}

// address is where the item is shown.
func (i Item) address() (address, bool) {
	raw, ok := i.Name, true
	if hasSign(raw) {
		raw, ok = decode(raw[signLen:])
	}
	if i.Dir && !strings.HasPrefix(i.Name, signPart) {
		raw += "/"
	}
	dir, found := strings.CutSuffix(i.Key, raw)
	return address{dir, i.Name}, ok && found
}
