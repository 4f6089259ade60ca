package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
)

const (
	smallSize = 100 * kib // of the small files: an image of a training set
	smallDir  = "small"
	largePath = "large"
	dataDir   = "dataset"
	dataSize  = 16 * mib // of a dataset's file: a shard
	streams   = 4
	// partSize and partsAtOnce are how the large objects are stored: parts of what the stores like, and 256 MiB of memory.
	partSize    = 64 * mib
	partsAtOnce = 4
	// smallAtOnce is how many small objects are stored or removed at a time.
	smallAtOnce = 16
)

// objects are what is read. Each list has at least one.
type objects struct {
	large   object
	streams []object // one for each of several readers
	small   []object
	dirs    []string // that hold the small ones
	dataset []object // twice what a disk cache may have
}

// total is how many bytes objects have.
func total(objects []object) (n int64) {
	for _, o := range objects {
		n += o.version.Size
	}
	return n
}

// distinct are objects of several lists, each once.
func distinct(lists ...[]object) (all []object) {
	seen := map[string]bool{"": true} // what was not made has no path
	for _, o := range slices.Concat(lists...) {
		if !seen[o.path] {
			seen[o.path] = true
			all = append(all, o)
		}
	}
	return all
}

// cacheable are those that are read from a disk cache which has room for all.
func (o objects) cacheable() []object {
	return distinct([]object{o.large}, o.streams, o.small)
}

// find makes objects of those that are in the store: the largest is read at random and so on, all of them as files.
func find(ctx context.Context, bucket objstore.Bucket, keys []string) (objects, error) {
	var all []object
	for _, key := range keys {
		entry, err := bucket.Stat(ctx, key)
		if err != nil {
			return objects{}, err
		}
		if entry.Size == 0 {
			return objects{}, fmt.Errorf("bench: %s is empty: nothing to read", key)
		}
		all = append(all, object{path: key, version: versionOf(bucket, entry)})
	}
	if len(all) == 0 {
		return objects{}, errors.New("bench: no keys given")
	}
	bySize := slices.SortedFunc(slices.Values(all), func(a, b object) int { return cmp.Compare(b.version.Size, a.version.Size) })
	o := objects{large: bySize[0], streams: bySize[:min(streams, len(bySize))], small: all, dataset: all}
	for _, s := range all {
		if dir := path.Dir(s.path); !slices.Contains(o.dirs, dir) {
			o.dirs = append(o.dirs, dir)
		}
	}
	return o, nil
}

// maker stores objects below a prefix, and removes what it stored.
type maker struct {
	bucket  objstore.Bucket
	prefix  string
	content *content
	made    []string // keys, those included whose storing failed or is under way
}

// newMaker stores below prefix. What is stored and removed is not measured, and has to succeed: requests are tried
// again.
func newMaker(bucket objstore.Bucket, prefix string) *maker {
	return &maker{bucket: objstore.NewRetry(bucket, objstore.RetryPolicy{}), prefix: prefix, content: newContent()}
}

// make stores a large object of size bytes, one for each stream that together have as many, so many small ones, and a
// dataset of the large one's size. Only what is needed for some kinds of workloads.
func (m *maker) make(ctx context.Context, size int64, files int, need func(kinds ...kind) bool) (o objects, err error) {
	if need(kindSequential, kindThreads, kindMapped, kindRandom) {
		if o.large, err = m.putLarge(ctx, largePath, size); err != nil {
			return o, err
		}
	}
	if need(kindStreams) {
		for i := range streams {
			s, err := m.putLarge(ctx, fmt.Sprintf("stream-%d", i), max(size/streams, 1))
			if err != nil {
				return o, err
			}
			o.streams = append(o.streams, s)
		}
	}
	if need(kindFiles, kindFirstByte) {
		o.dirs = []string{smallDir}
		if o.small, err = m.putSmall(ctx, files); err != nil {
			return o, err
		}
	}
	if need(kindEpoch) {
		for i := range 2 * roomFor(size) / dataSize {
			s, err := m.putLarge(ctx, fmt.Sprintf("%s/%05d", dataDir, i), dataSize)
			if err != nil {
				return o, err
			}
			o.dataset = append(o.dataset, s)
		}
	}
	return o, nil
}

// putLarge stores an object in parts.
func (m *maker) putLarge(ctx context.Context, name string, size int64) (object, error) {
	key := m.prefix + name
	m.made = append(m.made, key)
	if size <= partSize {
		return m.put(ctx, name, size)
	}
	id, err := m.bucket.CreateUpload(ctx, key, objstore.Attributes{})
	if err != nil {
		return object{}, err
	}
	parts := make([]objstore.Part, (size+partSize-1)/partSize)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for i := range parts {
		g.Go(func() (err error) {
			off := int64(i) * partSize
			body := make([]byte, min(partSize, size-off))
			m.content.fill(body, key, off)
			parts[i], err = m.bucket.UploadPart(gctx, key, id, i+1, bytes.NewReader(body), int64(len(body)))
			return err
		})
	}
	err = g.Wait()
	var entry objstore.Entry
	if err == nil {
		entry, err = m.bucket.CompleteUpload(ctx, key, id, parts, objstore.Condition{})
	}
	if err != nil {
		return object{}, errors.Join(err, m.abort(ctx, key, id))
	}
	entry.Key, entry.Size = key, size
	return object{path: name, version: versionOf(m.bucket, entry)}, nil
}

// abort removes the parts of a failed upload, also when ctx has ended.
func (m *maker) abort(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanDeadline)
	defer cancel()
	return m.bucket.AbortUpload(ctx, key, id)
}

// put stores an object with one request. The caller has noted its key.
func (m *maker) put(ctx context.Context, name string, size int64) (object, error) {
	key, body := m.prefix+name, make([]byte, size)
	m.content.fill(body, key, 0)
	entry, err := m.bucket.Put(ctx, key, bytes.NewReader(body), size, objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		return object{}, err
	}
	entry.Key, entry.Size = key, size
	return object{path: name, version: versionOf(m.bucket, entry)}, nil
}

func (m *maker) putSmall(ctx context.Context, n int) ([]object, error) {
	out := make([]object, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(smallAtOnce)
	for i := range out {
		name := fmt.Sprintf("%s/%05d", smallDir, i)
		m.made = append(m.made, m.prefix+name)
		g.Go(func() (err error) {
			out[i], err = m.put(ctx, name, smallSize)
			return err
		})
	}
	return out, g.Wait()
}

// remove deletes what was made. An object that cannot be deleted stops none of the others; a *LeftoverError tells of
// those that stay.
func (m *maker) remove(ctx context.Context) error {
	slices.Sort(m.made)
	failures := m.removeAll(ctx, slices.Compact(m.made))
	if len(failures) == 0 {
		failures = m.removeAll(ctx, m.late(ctx))
	}
	if len(failures) == 0 {
		return nil
	}
	return &LeftoverError{
		Endpoint: m.bucket.Endpoint(), Bucket: m.bucket.Name(), Prefix: m.prefix,
		Objects: len(failures), Err: errors.Join(failures[:min(causesShown, len(failures))]...),
	}
}

// removeAll deletes keys, and returns why that failed where it did.
func (m *maker) removeAll(ctx context.Context, keys []string) []error {
	failures := make([]error, len(keys))
	var g errgroup.Group
	g.SetLimit(smallAtOnce)
	for i, key := range keys {
		g.Go(func() error {
			failures[i] = m.bucket.Delete(ctx, key)
			return nil
		})
	}
	_ = g.Wait() // failures has all there are
	return slices.DeleteFunc(failures, func(err error) bool { return err == nil })
}

// late are the keys there are after all were removed: of a PUT that was given up the store may have had everything, and
// store it afterwards. Where listing is not allowed, none are known.
func (m *maker) late(ctx context.Context) (keys []string) {
	for page, err := range m.bucket.List(ctx, objstore.ListOptions{Prefix: m.prefix}) {
		if err != nil {
			return keys
		}
		for _, e := range page.Entries {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

func versionOf(b objstore.Bucket, e objstore.Entry) objstore.Version {
	return objstore.Version{Endpoint: b.Endpoint(), Bucket: b.Name(), Key: e.Key, ETag: e.ETag, Size: e.Size}
}

// checker looks at bytes that were read.
type checker func(p []byte, o object, off int64) error

func noCheck([]byte, object, int64) error { return nil }

// checker is for the objects that m has made.
func (m *maker) checker() checker {
	return func(p []byte, o object, off int64) error { return m.content.check(p, o.version.Key, off) }
}

// joinPrefix makes a prefix end in a slash, and the empty one stay empty.
func joinPrefix(prefix string) string {
	if prefix == "" || strings.HasSuffix(prefix, "/") {
		return prefix
	}
	return prefix + "/"
}
