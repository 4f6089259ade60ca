package main

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/headrace/headrace/cache/listings"
	files "github.com/headrace/headrace/fs"
	"github.com/headrace/headrace/objstore"
)

const (
	// keptTTL is how long names have to be good to be kept on the disk: a mount that is made again takes as long as that
	// to find them there.
	keptTTL = 5 * time.Second
	// namesShare is the part of --cache-size that names may take besides, an eighth, where that is less than their own
	// limit.
	namesShare = 8
)

// keptNames are the names that a mount keeps in its cache directory. The zero value keeps none.
type keptNames struct {
	store  *listings.Store // nil without a cache directory
	reader uint64
	keep   bool

	mu      sync.Mutex // guards shelves
	shelves map[string]*listings.Shelf
}

// keepsNames tells whether what directories list is kept on the disk: with the policies that keep what is slow to
// fetch, and where it is good for long enough to be found there.
func (o mountOptions) keepsNames() bool {
	policy := o.cache.policy.String()
	return o.cache.dir != "" && !o.store.layout.hashed() && (policy == "auto" || policy == "all") && (o.read.immutable || time.Duration(o.read.metadataTTL) >= keptTTL)
}

// open begins to use the cache directory. Where nothing is kept, changes are noted all the same, for those who do.
func (k *keptNames) open(o mountOptions, reader uint64, log *slog.Logger) {
	limit := int64(listings.DefaultLimit)
	if o.cache.size > 0 {
		limit = min(limit, int64(o.cache.size)/namesShare)
	}
	k.reader, k.keep, k.shelves = reader, o.keepsNames(), make(map[string]*listings.Shelf)
	k.store = listings.Open(listings.Config{Dir: o.cache.dir, Limit: limit, MinFree: int64(o.cache.minFree), Log: log})
}

// note has changes noted for the mounts that keep names in a cache directory, and keeps none.
func (k *keptNames) note(dir string, log *slog.Logger) {
	if dir != "" {
		k.shelves = make(map[string]*listings.Shelf)
		k.store = listings.Open(listings.Config{Dir: dir, Log: log})
	}
}

// shelf has the names of a bucket; nil without a cache directory, and for a bucket whose listings come from an index.
func (k *keptNames) shelf(b objstore.Bucket) *listings.Shelf {
	if _, local := b.(objstore.Indexed); local || k.store == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	name := b.Endpoint() + "\x00" + b.Name()
	if k.shelves[name] == nil {
		k.shelves[name] = k.store.Of(b.Endpoint(), b.Name(), k.reader, k.keep)
	}
	return k.shelves[name]
}

// wrap is b with changes that are noted.
func (k *keptNames) wrap(b objstore.Bucket) objstore.Bucket {
	if shelf := k.shelf(b); shelf != nil {
		return objstore.TellChanges(b, shelf.Changing)
	}
	return b
}

// forMount is what the file system asks for names.
func (k *keptNames) forMount(b objstore.Bucket) files.Shelf {
	if shelf := k.shelf(b); shelf != nil && k.keep {
		return shelf
	}
	return nil
}

func (k *keptNames) stats() listings.Stats {
	if k.store == nil {
		return listings.Stats{}
	}
	return k.store.Stats()
}

func (k *keptNames) close() {
	if k.store != nil {
		k.store.Close()
	}
}

// namesUsage is how many listings a cache directory has, and the bytes they take; none where they cannot be counted.
func namesUsage(dir string) (n int, bytes int64) {
	n, bytes, err := listings.Usage(dir)
	if err != nil {
		return 0, 0
	}
	return n, bytes
}

// purgeNames removes all names from a cache directory.
func purgeNames(dir string) error {
	if err := listings.Purge(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fail(exitCache, err, "%s: the names in it could not be removed: %v", dir, err)
	}
	return nil
}

// nameMetrics say what becomes of names in the cache directory.
func nameMetrics() []metric {
	const counter = prometheus.CounterValue
	return []metric{
		{"names_disk_hits_total", "Directories listed, and names looked up, by what the cache directory had of them: the store was not asked.", counter, func(s *snapshot) int64 { return s.names.Hits }},
		{"names_disk_misses_total", "Those of which it had nothing that was young enough.", counter, func(s *snapshot) int64 { return s.names.Misses }},
		{"names_disk_kept_total", "Listings of directories that were kept in the cache directory.", counter, func(s *snapshot) int64 { return s.names.Kept }},
		{"names_disk_skipped_total", "Listings that were not: the disk was behind, full or failed, or the directory was changed meanwhile.", counter, func(s *snapshot) int64 { return s.names.Skipped }},
		{"names_disk_corrupt_total", "Listings in the cache directory that were not as they were written.", counter, func(s *snapshot) int64 { return s.names.Corrupt }},
		{"names_disk_errors_total", "Errors of the disk with them.", counter, func(s *snapshot) int64 { return s.names.Errors }},
	}
}
