package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/cache"
	"github.com/headrace/headrace/fs"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/s3store"
	"github.com/headrace/headrace/prefetch"
	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

// stack is everything one mount is made of, from the network up:
//
//	client    speaks S3                                   objstore/s3store
//	meter     counts what the store is asked and answers  objstore
//	gate      bounds how much it is asked at once         objstore
//	hedger    asks twice for reads that take too long     objstore
//	          (retry, around all, asks again)             objstore
//	names     keeps what directories list on a disk       cache/listings
//	spread    reads copies of hot objects as well         objstore/replicas
//	layout    hashes keys, and indexes them               objstore/hashed
//	router    finds the bucket a version lives in         objstore
//	cache     keeps bytes, fetches each missing one once  cache
//	          (with --cache-dir also on a disk,           cache/disk
//	          which mounts may share)                     cache/share
//	files     foresees what will be read                  prefetch
//	staging   where what is written waits, and its logs   upload/journal
//	uploads   keeps what is written until it is stored    upload
//	mount     answers the kernel                          fs
//
// A read goes down this list until somebody has the bytes; a write goes to the uploads, and from there to the router's
// buckets. Each layer knows the one below it through a small interface and none above it.
type stack struct {
	client *s3store.Client
	meter  *objstore.Meter
	gate   *objstore.Gate
	hedger *objstore.Hedger // nil: reads are not hedged
	layout layout
	names  keptNames
	spread spreading
	router *objstore.Router
	cache  *cache.Cache
	files  *prefetch.Prefetcher
	mount  *fs.Server

	staging *journal.Dir    // nil, as uploads, for a mount that is read-only
	uploads *upload.Uploads // what is written
	control *control        // at which `headrace uploads` is answered

	started   time.Time
	mounted   atomic.Bool // mount is set
	log       *slog.Logger
	retries   [objstore.NumOps]atomic.Uint64 // by operation
	trouble   trouble
	distances distances
	answered  func() // a store that is not ready yet has said so; nil while nobody waits for it
}

// answerDeadline is how long the store may take to answer at start. A wrong endpoint is a typing error more often than
// an outage, so nobody should wait for the retries' full minute to hear of it.
const answerDeadline = 20 * time.Second

// startBudget is for how long a request at start is tried again: a store that throttles for a moment should not fail a
// mount.
const startBudget = 3 * time.Second

// newStack builds the layers of a mount, from the network up to prefetch, and makes sure that the store can be used.
// What is mounted comes last, by attach. The caller ends the stack with close.
func newStack(ctx context.Context, o mountOptions, log *slog.Logger) (s *stack, err error) {
	if s, err = openStore(ctx, o.store, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	if source := o.store.endpointSource(s.client); source != "" {
		endpoint, _ := s.client.Using()
		log.Info("endpoint", "using", cmp.Or(endpoint, "AWS"), "because", source)
	}
	if o.read.hedgeBudget > 0 {
		s.hedger = objstore.NewHedger(o.read.hedgeBudget / 100)
	}
	s.spread.on = o.read.replicas
	if s.cache, err = s.newCache(ctx, o); err != nil {
		return s, err
	}
	s.files, err = prefetch.New(prefetch.Config{Source: s.cache, Budget: int64(o.read.memory) / aheadShare})
	return s, err
}

// openStore builds the lowest layers, for commands that need no others: the store, through the gate.
func openStore(ctx context.Context, o storeOptions, log *slog.Logger) (*stack, error) {
	s := &stack{started: time.Now(), log: log}
	config := o.config(log)
	config.OnNewBucket = func() {
		if s.answered != nil {
			s.answered()
		}
	}
	client, err := s3store.New(ctx, config)
	if err != nil {
		return nil, err
	}
	s.client, s.meter, s.router, s.gate = client, objstore.NewMeter(), objstore.NewRouter(), objstore.NewGate(objstore.GateConfig{Max: o.maxConcurrency})
	s.layout.options = o.layout
	s.gate.OnLimit(client.SetMaxConns) // the pool follows
	return s, nil
}

// newCache makes the cache, with the tier on disk below the one in memory where there is a directory for it.
func (s *stack) newCache(ctx context.Context, o mountOptions) (*cache.Cache, error) {
	policy, err := cache.ParsePolicy(o.cache.policy.String())
	if err != nil {
		return nil, err
	}
	config := cache.Config{Opener: s.router, Memory: int64(o.read.memory), Policy: policy, Near: s.client.UsesLota, Log: s.log}
	if o.cache.dir != "" {
		identity, err := s.client.Identity(ctx)
		if err != nil {
			return nil, err
		}
		member, err := o.cache.open(o.source.String(), o.read.memory, s.log)
		if err != nil {
			return nil, err
		}
		config.Disk = member
		endpoint, err := s.client.Endpoint(ctx)
		if err != nil {
			return nil, errors.Join(err, member.Close())
		}
		config.Reader = readerOf(endpoint, identity)
		s.names.open(o, config.Reader, s.log)
	}
	c, err := cache.New(config)
	if err != nil && config.Disk != nil {
		err = errors.Join(err, config.Disk.Close())
	}
	return c, explainMemory(err, o.read.memory)
}

// aheadShare is the part of the memory that may hold what nobody has asked for yet: half. The other half is what
// readers are in the middle of, and what was read and may be read again.
const aheadShare = 2

// bucket opens a bucket of the store, of which only what is below prefix need be allowed, and puts the decorators
// around it. Retry is outermost, so a request that sleeps between attempts holds no slot of the gate; the hedger is
// around the gate, so its second requests need slots; the meter is innermost, so it counts whatever is sent.
func (s *stack) bucket(ctx context.Context, name, prefix string) (objstore.Bucket, error) {
	var raw *s3store.Bucket
	err := s.again(ctx, objstore.RetryEvent{Op: objstore.OpList, Bucket: name, Key: prefix}, func(ctx context.Context) (err error) {
		raw, err = s.client.BucketBelow(ctx, name, s.layout.allowed(prefix))
		return err
	})
	if err != nil {
		return nil, err
	}
	s.distances.add(name, raw)
	b := s.gate.Wrap(s.meter.Wrap(raw))
	if s.hedger != nil {
		b = s.hedger.Wrap(b)
	}
	direct := b
	b = objstore.NewRetry(b, objstore.RetryPolicy{OnRetry: s.noteRetry})
	b = s.names.wrap(b)
	b = s.spread.wrap(b, direct, s.log)
	b = s.layout.wrap(b, prefix, s.log)
	s.router.Add(b)
	return b, nil
}

// buckets lists the buckets of the store.
func (s *stack) buckets(ctx context.Context) (names []string, err error) {
	err = s.again(ctx, objstore.RetryEvent{Op: objstore.OpList}, func(ctx context.Context) (err error) {
		names, err = s.client.Buckets(ctx)
		return err
	})
	return names, err
}

// again makes a request that goes by no bucket's decorators.
func (s *stack) again(ctx context.Context, event objstore.RetryEvent, call func(context.Context) error) error {
	return objstore.RetryPolicy{Budget: startBudget, OnRetry: s.noteRetry}.Do(ctx, event, call)
}

// noteRetry counts an attempt that failed and will be made again. Each is logged for those who look closely only, since
// a store that throttles makes many; but when requests go on failing, one line in a while says so.
func (s *stack) noteRetry(e objstore.RetryEvent) {
	s.retries[e.Op].Add(1)
	level, message := slog.LevelDebug, "retry"
	if s.trouble.report(e.Tried, time.Now()) {
		level, message = slog.LevelWarn, "the store has failed a request for some time; still trying"
	}
	s.log.Log(context.Background(), level, message, "operation", e.Op.String(), "bucket", e.Bucket, "key", e.Key, "attempt", e.Attempt,
		"tried", e.Tried, "delay", e.Delay, "reached", e.Reached, "error", e.Err)
}

// acceptWrites makes what a mount needs that can be written to.
func (s *stack) acceptWrites(ctx context.Context, dir string, o mountOptions) (err error) {
	if o.readOnly() {
		return nil
	}
	endpoint, err := s.client.Endpoint(ctx)
	if err != nil {
		return err
	}
	owner := journal.Owner{
		Endpoint: o.store.layout.identity(endpoint), Bucket: o.source.bucket, Prefix: o.source.prefix, Mountpoint: dir, PID: os.Getpid(), Started: time.Now(),
		Cache: o.cache.dir,
	}
	var limit int64
	if s.staging, limit, err = o.write.open(o.cache.dir, owner, s.log); err != nil {
		return err
	}
	s.uploads, err = upload.New(upload.Config{
		Journal: s.staging, Size: limit, WriteBack: o.write.writeBack, CloseTimeout: time.Duration(o.write.closeTimeout),
		Content: content{s.cache}, Renamed: s.cache.Renamed, Log: s.log,
		Adopt: func(v objstore.Version, data *os.File) upload.Adoption { return s.cache.Adopt(v, data) },
	})
	return err
}

// goOn takes over what dead mounts have left, and begins to answer for what is not stored.
func (s *stack) goOn(ctx context.Context, buckets upload.Buckets) (err error) {
	if s.uploads == nil {
		return nil
	}
	if err := s.recoverUploads(ctx, buckets); err != nil {
		return err
	}
	s.control, err = openControl(s.staging, s.uploads, buckets, s.log)
	return explainStaging(err, s.staging.Path())
}

// attach mounts what o names at dir and returns once the mount answers.
func (s *stack) attach(ctx context.Context, dir string, o mountOptions) error {
	whole := ctx
	ctx, cancel := s.whileAnswered(ctx, answerDeadline)
	defer cancel()
	if err := s.acceptWrites(ctx, dir, o); err != nil {
		return err
	}
	config := o.files.config(o.read)
	config.Uploads, config.ExclusiveAtOpen, config.KeepRemoved = s.uploads, o.write.exclusiveCreate.String() == "open", int64(o.write.keepRemoved)
	config.Files, config.Log, config.Cached, config.Store = s.files, s.log, s.cache.Cached, o.reach()
	config.Status = func() string { return s.status(o) }
	if o.read.aheadOfOpening() {
		config.Spare = s.cache
	}
	if o.cache.dir != "" {
		config.Keep = s.keep
		s.log.Info("disk cache", "dir", o.cache.dir, "policy", o.cache.policy.String(), "behind LOTA", s.client.UsesLota(), "small up to", cache.SmallObject,
			"names kept", o.keepsNames())
		config.Shelf = s.names.forMount
	}
	if o.cache.passthrough.String() != "off" {
		config.Lease = s.cache.Lease
	}
	var buckets upload.Buckets
	if o.source.all() {
		buckets = func(ctx context.Context, name string) (objstore.Bucket, error) { return s.bucket(ctx, name, "") }
		v := &volumes{named: o.files.names, list: s.buckets, open: buckets}
		if err := v.check(ctx, o.store); err != nil {
			return err
		}
		config.Volumes = v
	} else {
		b, err := s.bucket(ctx, o.source.bucket, o.source.prefix)
		if err != nil {
			return explainStore(err, o.source.bucket, o.store)
		}
		s.layout.advise(ctx, b, o.source.prefix, s.log)
		config.Bucket, config.Prefix, buckets = b, o.source.prefix, only(b)
	}
	if err := s.goOn(whole, buckets); err != nil {
		return err
	}
	mount, err := fs.Mount(dir, config, fs.MountOptions{AllowOther: o.files.allowOther, FSName: o.source.String()})
	if err != nil {
		return explainMount(err, dir, o.files.allowOther)
	}
	s.mount = mount
	s.mounted.Store(true)
	return nil
}

// keep has a version be kept on the disk, and tells how that goes.
func (s *stack) keep(v objstore.Version) (k fs.Keeping) {
	s.cache.Want(v)
	s.cache.Keep(v)
	k.OnDisk, k.Refused, k.Queued = s.cache.Keeping(v)
	return k
}

// close ends the layers from the top down. The mount must be gone, by Unmount or Abort.
func (s *stack) close() error {
	err := s.control.close()
	if s.uploads != nil {
		err = errors.Join(err, s.uploads.Close())
	}
	if s.staging != nil {
		err = errors.Join(err, s.staging.Close())
	}
	if s.cache != nil {
		err = errors.Join(err, s.cache.Close())
	}
	s.names.close()
	s.spread.close()
	if saved := s.layout.close(); saved != nil { // it is made anew then
		s.log.Warn("the key index could not be saved", "error", saved)
	}
	if s.client != nil {
		s.client.Close()
	}
	return err
}
