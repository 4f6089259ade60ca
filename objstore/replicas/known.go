package replicas

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
)

const (
	// maxManifests is how many manifests of a bucket are known at most, of 70 KB at most: hot objects are few.
	maxManifests = 1000
	// manifestsAtOnce is how many are read at the same time.
	manifestsAtOnce = 8
)

// known are the manifests of a bucket. They are read in the background, when somebody reads and they are older than the
// TTL: no read waits for them.
type known struct {
	bucket objstore.Bucket
	ttl    time.Duration
	log    *slog.Logger
	now    func() time.Time

	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu        sync.Mutex // guards what follows
	manifests map[string]Manifest
	etags     map[string]string // of the manifests, by their keys: what has not changed is not read again
	asked     time.Time
	asking    bool
	failing   bool // the last time they were asked for
}

func newKnown(b objstore.Bucket, ttl time.Duration, log *slog.Logger, now func() time.Time) *known {
	k := &known{bucket: b, ttl: ttl, log: log, now: now}
	k.life, k.end = context.WithCancel(objstore.WithTicket(context.Background(), objstore.NewTicket(objstore.ClassPrefetch)))
	return k
}

func (k *known) close() {
	k.end()
	k.tasks.Wait()
}

// of gives the copies of a version.
func (k *known) of(v objstore.Version) []Copy {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.asking && k.life.Err() == nil && (k.asked.IsZero() || k.now().Sub(k.asked) > k.ttl) {
		k.asking, k.asked = true, k.now()
		k.tasks.Go(k.refresh)
	}
	if m := k.manifests[v.Key]; m.of(v) {
		return m.Copies
	}
	return nil
}

// distrust has a copy of a version not be read any more, until the manifest is another: it is not there as the manifest
// says.
func (k *known) distrust(v objstore.Version, c Copy) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m := k.manifests[v.Key]; m.of(v) {
		m.Copies = slices.DeleteFunc(slices.Clone(m.Copies), func(other Copy) bool { return other == c })
		k.manifests[v.Key] = m
	}
}

// refresh reads the manifests that are new.
func (k *known) refresh() {
	found, err := k.list()
	k.mu.Lock()
	defer k.mu.Unlock()
	failedBefore := k.failing
	k.asking, k.failing = false, err != nil
	if err != nil {
		if k.life.Err() == nil && !failedBefore {
			k.log.Warn("which objects have copies could not be found out", "bucket", k.bucket.Name(), "error", err)
		}
		return
	}
	k.manifests, k.etags = found.manifests, found.etags
}

func (k *known) list() (*known, error) {
	k.mu.Lock()
	old := &known{manifests: maps.Clone(k.manifests), etags: k.etags}
	k.mu.Unlock()
	byKey := make(map[string]Manifest, len(old.manifests))
	for key, m := range old.manifests {
		byKey[ManifestKey(key)] = m
	}
	found := &known{manifests: make(map[string]Manifest), etags: make(map[string]string)}
	g, ctx := errgroup.WithContext(k.life)
	g.SetLimit(manifestsAtOnce)
	add := func(e objstore.Entry, m Manifest) {
		found.mu.Lock()
		defer found.mu.Unlock()
		found.manifests[m.Key], found.etags[e.Key] = m, e.ETag
	}
	seen := 0
	for page, err := range k.bucket.List(ctx, objstore.ListOptions{Prefix: Prefix, Delimiter: "/"}) {
		if err != nil {
			_ = g.Wait() // the listing's error says more
			return nil, err
		}
		for _, e := range page.Entries {
			if seen++; seen > maxManifests {
				k.log.Warn("not all objects are read from their copies: there are too many manifests", "bucket", k.bucket.Name(), "most", maxManifests)
				return found, g.Wait()
			}
			if m, ok := byKey[e.Key]; ok && old.etags[e.Key] == e.ETag {
				add(e, m)
				continue
			}
			g.Go(func() error {
				m, err := load(ctx, k.bucket, e)
				if err == nil {
					add(e, m)
				} else if ctx.Err() == nil {
					k.log.Warn("a manifest of copies cannot be used", "key", e.Key, "error", err)
				}
				return ctx.Err()
			})
		}
	}
	return found, g.Wait()
}
