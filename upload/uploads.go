package upload

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// Content reads bytes of stored versions: n is less than len(p) only at a version's end.
type Content interface {
	ReadAt(ctx context.Context, v objstore.Version, p []byte, off int64) (n int, err error)
}

// Adoption is the taking over of a staging file. One of its methods ends it.
type Adoption interface {
	// Take takes the file over. shared tells that it may have been taken over, or still be: nothing else is ever written
	// to it then.
	Take() (shared bool)
	// Leave gives it up.
	Leave()
}

// Config says where what is written is kept. Zero fields take their defaults where one is named.
type Config struct {
	// Journal is this mount's staging directory. Required. It is not closed here.
	Journal *journal.Dir

	// Size is how many bytes all staging files may have on the disk together. Required.
	Size int64

	// WriteBack has publications be answered when data and log are on the local disk. The store gets them afterwards.
	WriteBack bool

	// CloseTimeout is for how long a publication is waited for that makes no progress. It goes on being tried afterwards.
	// 0 means 10 minutes.
	CloseTimeout time.Duration

	// Content reads the version that a changed file began as. Required.
	Content Content

	// Adopt is told of a staging file that has all of a version and is not needed any more, and does not wait. It is
	// closed and removed when the adoption has ended. nil means that nobody wants it.
	Adopt func(v objstore.Version, data *os.File) Adoption

	// Renamed is told that the store has given the bytes of one version another key. It is called before anybody asks for
	// them by that. nil for nobody.
	Renamed func(from, to objstore.Version)

	Log *slog.Logger     // nil for nobody
	Now func() time.Time // nil means time.Now
}

// Uploads are the files of one mount that are written or not stored yet. All methods may be called at the same time.
type Uploads struct {
	cfg    Config
	sizes  *sizes
	budget *budget
	mover  *mover
	punch  func(*os.File, objstore.Range) error // punch, but for tests

	life  context.Context // of what goes on when nobody waits
	stop  context.CancelFunc
	tasks sync.WaitGroup

	unconditional atomic.Bool  // the store knows no conditions, and that was said
	moving        atomic.Int64 // renames of dead mounts that go on
	totals        totals

	mu      sync.Mutex                    // guards what is below
	files   map[string]map[*File]struct{} // by key
	holds   map[*Hold]struct{}
	resumed map[string]struct{} // ids of files that were taken from the journal
	closed  bool
}

const defaultCloseTimeout = 10 * time.Minute

// New makes the uploads of a mount. The caller closes them.
func New(cfg Config) (*Uploads, error) {
	if cfg.Journal == nil || cfg.Content == nil || cfg.Size <= 0 {
		return nil, errors.New("upload: a journal, room and a source of content are needed")
	}
	if cfg.CloseTimeout <= 0 {
		cfg.CloseTimeout = defaultCloseTimeout
	}
	if cfg.Renamed == nil {
		cfg.Renamed = func(_, _ objstore.Version) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	u := &Uploads{
		cfg: cfg, sizes: storeSizes, budget: newBudget(cfg.Size, cfg.CloseTimeout), mover: newMover(cfg), punch: punch,
		files: make(map[string]map[*File]struct{}), holds: make(map[*Hold]struct{}), resumed: make(map[string]struct{}),
	}
	u.mover.replacing = u.replacing
	u.life, u.stop = context.WithCancel(objstore.WithTicket(context.Background(), objstore.NewTicket(objstore.ClassUpload)))
	return u, nil
}

// Base is what a file's content is to begin with; the zero value for nothing.
type Base = objstore.Version

// Target says where a file's content is to be stored.
type Target struct {
	Bucket objstore.Bucket
	Key    string

	// Replaces is what the key holds now, as far as is known; the zero value: nothing. The write happens only if that is
	// still so.
	Replaces objstore.Version

	// Exclusive says that the name had to be new: that it is not is objstore.ErrExists then, and else objstore.ErrChanged.
	Exclusive bool

	// Attributes go along with the object. Those of what is replaced are kept where none are given.
	Attributes objstore.Attributes

	// Metadata is laid over theirs: see [File.Describe].
	Metadata map[string]string
}

// Open begins to write a file. It asks nothing of the network, nor of the disk until something changes. The caller
// closes the file.
func (u *Uploads) Open(t Target, content Base) (*File, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, os.ErrClosed
	}
	f := newFile(u, t, content)
	u.list(f, t.Key)
	return f, nil
}

// Place is the directory where what is not stored is kept.
func (u *Uploads) Place() string { return u.cfg.Journal.Path() }

// forget takes a file off the list.
func (u *Uploads) forget(f *File) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.unlist(f)
	delete(u.resumed, f.resumed)
}

// list puts a file on the list, or gives it another key there. The caller holds mu.
func (u *Uploads) list(f *File, key string) {
	u.unlist(f)
	if u.files[key] == nil {
		u.files[key] = make(map[*File]struct{})
	}
	u.files[key][f] = struct{}{}
	f.listed = key
}

func (u *Uploads) unlist(f *File) {
	in := u.files[f.listed]
	if delete(in, f); len(in) == 0 {
		delete(u.files, f.listed)
	}
}

// relist gives a file another key on the list, if it is there.
func (u *Uploads) relist(f *File, key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, listed := u.files[f.listed][f]; listed {
		u.list(f, key)
	}
}

// at are the files on the list that have a key, or one below it where it ends in a slash.
func (u *Uploads) at(key string) (files []*File) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !strings.HasSuffix(key, "/") {
		return slices.Collect(maps.Keys(u.files[key]))
	}
	for has, in := range u.files {
		if strings.HasPrefix(has, key) {
			files = slices.AppendSeq(files, maps.Keys(in))
		}
	}
	return files
}

// all are the files on the list.
func (u *Uploads) all() (files []*File) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, in := range u.files {
		files = slices.AppendSeq(files, maps.Keys(in))
	}
	return files
}

// start runs a task that Close waits for; false once the uploads are closed.
func (u *Uploads) start(task func()) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.tasks.Go(task)
	return true
}

// MoveObject gives a stored object another key, if cond holds there, and returns what is under it.
func (u *Uploads) MoveObject(ctx context.Context, b objstore.Bucket, src objstore.Version, key string, cond objstore.Condition) (objstore.Entry, error) {
	return u.mover.object(ctx, b, src, key, cond)
}

// MoveDirectory gives all keys that begin with from ones that begin with to, and tells which ETags have changed by
// that, by the old keys. What could not be moved is named by the error, and stays in the journal. listing ends it
// before anything is moved; ctx ends the waiting.
func (u *Uploads) MoveDirectory(ctx, listing context.Context, b objstore.Bucket, from, to string) (changed map[string]NewETag, err error) {
	return u.mover.directory(ctx, listing, b, from, to)
}

// Close ends what is under way, and waits for it. What is not stored stays in the journal.
func (u *Uploads) Close() error {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.stop()
	u.mover.close()
	u.tasks.Wait()
	var err error
	for _, f := range u.all() {
		err = errors.Join(err, f.leave())
	}
	return err
}
