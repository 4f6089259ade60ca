package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

// decider carries out what a person has decided: a mount that lives, or this process in the place of one that is gone.
type decider interface {
	retry(ctx context.Context, id string, replace bool) error
	abort(ctx context.Context, id string) error
	storeAs(ctx context.Context, id, key string) error
	close()
}

func (o uploadsOptions) decider(ctx context.Context, where staged) (decider, error) {
	mount, err := dialControl(ctx, where.dir)
	if err != nil {
		return nil, err
	}
	if mount != nil { // what it is told to do may take long; whether it is there does not
		asked, cancel := context.WithTimeout(ctx, statusDeadline)
		defer cancel()
		if _, err := mount.progress(asked); err != nil {
			mount.close()
			return nil, err
		}
		return mount, nil
	}
	return openAtRest(ctx, o.store, where.dir, slog.New(slog.NewTextHandler(o.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

func uploadsRetry(ctx context.Context, o uploadsOptions, where staged, id string) error {
	return o.decide(ctx, where, "stored", id, func(d decider) error { return d.retry(ctx, id, o.replace) })
}

func uploadsAbort(ctx context.Context, o uploadsOptions, where staged, id string) error {
	return o.decide(ctx, where, "given up", id, func(d decider) error { return d.abort(ctx, id) })
}

func (o uploadsOptions) decide(ctx context.Context, where staged, what, id string, do func(decider) error) error {
	d, err := o.decider(ctx, where)
	if err != nil {
		return err
	}
	defer d.close()
	if err := do(d); err != nil {
		return err
	}
	return o.say(map[string]string{"id": id, "result": what}, "%s: %s", id, what)
}

func (o uploadsOptions) say(result any, format string, args ...any) error {
	return cacheCommandOptions{json: o.json, out: o.out}.say(result, format, args...)
}

// uploadsRecover gives what was written a place where it can be used.
func uploadsRecover(ctx context.Context, o uploadsOptions, where staged, id string) error {
	if strings.HasPrefix(o.to, sourceScheme) {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(o.to, sourceScheme), "/")
		r, data, err := where.dir.Look(id)
		if err != nil {
			return err
		}
		if data != nil {
			data.Close()
		}
		switch {
		case key == "" || strings.HasSuffix(key, "/"):
			return usage("%q is not an object: write it as s3://BUCKET/KEY", o.to)
		case bucket != r.Bucket:
			return usage("it was written for the bucket %s and goes there: --to s3://%s/%s", r.Bucket, r.Bucket, key)
		}
		return o.decide(ctx, where, "stored as "+o.to, id, func(d decider) error { return d.storeAs(ctx, id, key) })
	}
	to, err := os.OpenFile(o.to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usage("%s is there already: name a new file", o.to)
	} else if err != nil {
		return fail(exitFailure, err, "%v", err)
	}
	base := &storedContent{store: o.store, owner: where.dir.Owner()}
	defer base.close()
	size, err := upload.Export(ctx, where.dir, id, base, to)
	if err = errors.Join(err, to.Close()); err != nil {
		return errors.Join(err, os.Remove(o.to))
	}
	return o.say(map[string]any{"id": id, "file": o.to, "size": size},
		"%s: %s written to %s; `headrace uploads abort %s` removes what is kept", id, sizeText(size), o.to, id)
}

// atRest stands in for the mount of a staging directory that is gone.
type atRest struct {
	stack   *stack
	uploads *upload.Uploads
	dir     *journal.Dir
	opened  openedBuckets
}

// openAtRest takes the place of the mount that has left dir. What others should know is logged.
func openAtRest(ctx context.Context, o storeOptions, dir *journal.Dir, log *slog.Logger) (*atRest, error) {
	if err := dir.Lock(); err != nil {
		return nil, err
	}
	a := &atRest{dir: dir}
	var err error
	if a.stack, err = newStoreStack(ctx, o, dir.Owner()); err == nil {
		a.stack.names.note(dir.Owner().Cache, log)
		a.uploads, err = upload.New(upload.Config{Journal: dir, Size: math.MaxInt64 / 2, Content: bucketContent{a.buckets}})
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// openedBuckets remembers the buckets that were opened: each costs a request.
type openedBuckets struct {
	mu sync.Mutex // guards all; held across no request
	of map[string]objstore.Bucket
}

func (o *openedBuckets) open(ctx context.Context, s *stack, name, prefix string) (objstore.Bucket, error) {
	o.mu.Lock()
	b := o.of[name]
	o.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := s.bucket(ctx, name, prefix)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[string]objstore.Bucket)
	}
	o.of[name] = b
	return b, nil
}

// all are those that are open.
func (o *openedBuckets) all() []objstore.Bucket {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Values(o.of))
}

// newStoreStack is openStore for the store that a mount has written to.
func newStoreStack(ctx context.Context, o storeOptions, owner journal.Owner) (*stack, error) {
	url, isHashed := strings.CutSuffix(owner.Endpoint, hashed.EndpointMark)
	if isHashed {
		o.layout.keys.value = "hashed"
	}
	if o.endpoint == "" && strings.Contains(url, "://") {
		o.endpoint = url
	}
	s, err := openStore(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, explainStore(err, owner.Bucket, o)
	}
	endpoint, err := s.client.Endpoint(ctx)
	if endpoint = o.layout.identity(endpoint); err == nil && endpoint != owner.Endpoint {
		err = fail(exitUsage, nil, "it was written for %s, and this would be %s: give that mount's --endpoint", owner.Endpoint, endpoint)
	}
	if err != nil {
		s.client.Close()
		return nil, explainStore(err, owner.Bucket, o)
	}
	return s, nil
}

func (a *atRest) buckets(ctx context.Context, name string) (objstore.Bucket, error) {
	return a.opened.open(ctx, a.stack, name, a.dir.Owner().Prefix)
}

func (a *atRest) retry(ctx context.Context, id string, replace bool) error {
	return a.uploads.Retry(ctx, a.buckets, id, replace)
}

func (a *atRest) abort(ctx context.Context, id string) error {
	return a.uploads.Abort(ctx, a.buckets, id)
}

func (a *atRest) storeAs(ctx context.Context, id, key string) error {
	return a.uploads.StoreAs(ctx, a.buckets, id, key)
}

func (a *atRest) close() {
	if a.uploads != nil {
		_ = a.uploads.Close() // what could not be done has been said
	}
	if a.stack != nil {
		_ = a.stack.close()
	}
	_ = a.dir.Close()
}

// bucketContent reads stored versions with nothing in between.
type bucketContent struct{ buckets upload.Buckets }

// ReadAt fills p with bytes of v from off on.
func (c bucketContent) ReadAt(ctx context.Context, v objstore.Version, p []byte, off int64) (n int, err error) {
	r := objstore.Range{Off: off, Len: int64(len(p))}.Intersect(objstore.Range{Len: v.Size})
	if r.Empty() {
		return 0, nil
	}
	b, err := c.buckets(ctx, v.Bucket)
	if err != nil {
		return 0, err
	}
	body, err := b.Open(ctx, v, r)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	for n < int(r.Len) && err == nil {
		var got int
		got, err = body.Read(p[n:r.Len])
		n += got
	}
	if n == int(r.Len) {
		err = nil
	}
	return n, err
}

// storedContent is bucketContent for who may never need it: the store is asked for when something is read.
type storedContent struct {
	store storeOptions
	owner journal.Owner

	stack  *stack
	opened openedBuckets
}

// ReadAt fills p with bytes of v from off on. One at a time.
func (c *storedContent) ReadAt(ctx context.Context, v objstore.Version, p []byte, off int64) (n int, err error) {
	if c.stack == nil {
		if c.stack, err = newStoreStack(ctx, c.store, c.owner); err != nil {
			return 0, fmt.Errorf("what was not changed is in the store: %w", err)
		}
	}
	return bucketContent{func(ctx context.Context, name string) (objstore.Bucket, error) {
		return c.opened.open(ctx, c.stack, name, c.owner.Prefix)
	}}.ReadAt(ctx, v, p, off)
}

func (c *storedContent) close() {
	if c.stack != nil {
		_ = c.stack.close() // nothing was written
	}
}
