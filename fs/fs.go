package fs

import (
	"context"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/prefetch"
)

// fileSystem answers the kernel's requests. Each comes in a goroutine of its own.
//
// LOCK ORDER: nodeTable.mu, then node.mu, then those of the packages below; lockTable.mu before these. No other two
// locks of this package are ever held together, and none while anything waits.
type fileSystem struct {
	fuse.RawFileSystem // for the requests that have no method here: ENOSYS, after which the kernel asks no more

	// Dependencies.
	cfg     Config
	checked bool                         // the kernel checks modes
	dead    func() bool                  // tells whether the kernel has ended the connection
	signals func(tid uint32) signalState // looks at the signals of a caller

	// What is known between requests; each guards itself.
	nodes   *nodeTable
	buckets *bucketTable // nil when one bucket is shown
	files   handles[*fileHandle]
	dirs    handles[*dirHandle]
	locks   lockTable
	turns   nameTurns

	secondTries secondTries

	passthrough passthrough
	siblings    *prefetch.Siblings // nil when files are not brought ahead of their opening

	counters counters
	refused  heldBack // lines about the credential

	started  int64           // Unix seconds: the time of what has none of its own
	life     context.Context // the mount's: what goes on between requests
	stopped  <-chan struct{} // life's Done
	stop     context.CancelFunc
	watchers sync.WaitGroup // goroutines: of requests that wait, and the pruner
}

func newFileSystem(cfg Config, checked bool, dead func() bool) *fileSystem {
	life, stop := context.WithCancel(context.Background())
	f := &fileSystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		cfg:           cfg, checked: checked, dead: dead, signals: threadSignals,
		started: cfg.Now().Unix(), life: life, stopped: life.Done(), stop: stop,
	}
	var v *volume
	if cfg.Volumes != nil {
		f.buckets = &bucketTable{source: cfg.Volumes}
	} else {
		v = f.newVolume(cfg.Bucket, names.DefaultMaxCached)
	}
	f.nodes = newNodeTable(newRoot(v, cfg.Prefix))
	f.passthrough.lease = cfg.Lease
	f.siblings = newSiblings(cfg)
	return f
}

// Init is called by the protocol library once the kernel has agreed to it, and before any request.
func (f *fileSystem) Init(server *fuse.Server) {
	if server.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH != 0 {
		f.passthrough.attach(server)
	}
	p := &pruner{nodes: f.nodes, kernel: server}
	f.watchers.Go(func() { p.run(f.life) })
}

// close gives everything back. No request may be under way or come. A kernel that ended the connection by force has
// closed nothing itself.
func (f *fileSystem) close() {
	f.stop()
	f.watchers.Wait()
	f.siblings.Close()
	for _, v := range f.volumes() {
		v.tree.Close()
	}
	for _, h := range f.files.removeAll() {
		f.passthrough.end(h.node.endIO())
		h.node.close()
	}
	f.abandonWriting()
	for _, h := range f.dirs.removeAll() {
		h.Close()
	}
}

// volumes are the buckets in use.
func (f *fileSystem) volumes() []*volume {
	if f.buckets == nil {
		return []*volume{f.nodes.get(fuse.FUSE_ROOT_ID).volume}
	}
	return f.buckets.volumes()
}

// fresh tells whether what the store said at a time still needs no asking.
func (f *fileSystem) fresh(at time.Time) bool { return f.validity(at) > 0 }

// forever is what the kernel is told of things that do not change: longer than machines run.
const forever = 10 * 365 * 24 * time.Hour

// validity is how much longer what the store said at a time is believed.
func (f *fileSystem) validity(at time.Time) time.Duration {
	if f.cfg.Immutable {
		return forever
	}
	return max(0, f.cfg.MetadataTTL-f.cfg.Now().Sub(at))
}

// stats is a snapshot; its fields may be a request apart.
func (f *fileSystem) stats() Stats {
	c := &f.counters
	return Stats{
		Nodes: f.nodes.len(), Files: f.files.len(), Dirs: f.dirs.len(), Locks: f.locks.len(),
		Lookups: c.lookups.Load(), Opens: c.opens.Load(), Passthrough: c.passthrough.Load(), Reads: c.reads.Load(), ReadBytes: c.readBytes.Load(),
		Writes: c.writes.Load(), WriteBytes: c.writeBytes.Load(),
		DirEntries: c.dirEntries.Load(), Stale: c.stale.Load(), Interrupted: c.interrupted.Load(), Errors: c.errors.Load(),
		Siblings: f.siblings.Stats(), Foresight: f.foresight(),
	}
}

// foresight is that of all volumes in use.
func (f *fileSystem) foresight() (total names.ForesightStats) {
	for _, v := range f.volumes() {
		total = total.Plus(v.tree.Foresight())
	}
	return total
}
