package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/replicas"
)

// migration moves objects from plain keys to hashed ones.
type migration struct {
	options  *keysOptions
	failures failures

	moved, bytes atomic.Int64
	there        int // keys that are hashed already
	manifests    int // of copies, which stay where they are
}

// migrate moves what is below a prefix. Objects are moved one by one, each whole, so that an end at any point leaves each under one of its keys, or (between copy and
// removal) under both.
func (o *keysOptions) migrate(ctx context.Context, from string) error {
	stores := newStores(o.store)
	defer stores.close()
	at, err := stores.place(ctx, from)
	if err != nil {
		return err
	}
	m := &migration{options: o}
	o.tidy(ctx, stores, &m.failures)
	bar := newBar(o.stderr, 1, progressbar.OptionShowIts())
	var found int64
	var g errgroup.Group
	g.SetLimit(o.jobs)
	ctx = objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassWarm))
	m.failures.add(m.each(ctx, at, func(e objstore.Entry) {
		found++
		bar.ChangeMax64(found)
		if o.dryRun { // in the order of keys
			m.take(ctx, object{at.bucket, e})
			return
		}
		g.Go(func() error {
			if ctx.Err() == nil {
				m.take(ctx, object{at.bucket, e})
				_ = bar.Add(1)
			}
			return nil
		})
	}))
	_ = g.Wait() // what failed is in failures
	_ = bar.Finish()
	if m.manifests > 0 {
		fmt.Fprintf(o.stderr, "%d objects have copies, which are of their plain keys: remove those with `headrace replicate s3://%s/KEY --copies 0`, and make others with --key-layout hashed\n",
			m.manifests, at.bucket.Name())
	}
	did := "moved"
	if o.dryRun {
		did = "would move"
	}
	fmt.Fprintf(o.stdout, "%s %d objects, %s; %d were hashed already\n", did, m.moved.Load(), sizeText(m.bytes.Load()), m.there)
	return m.failures.outcome(ctx)
}

// each calls take for what is to be moved: the object of the prefix itself, and those below it as a directory. What only begins with the same letters is not meant.
func (m *migration) each(ctx context.Context, at place, take func(objstore.Entry)) error {
	prefix := at.key
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
		e, err := at.bucket.Stat(ctx, at.key)
		if err != nil && !errors.Is(err, objstore.ErrNotExist) {
			return err
		}
		if err == nil {
			m.sort(e, take)
		}
	}
	for page, err := range at.bucket.List(ctx, objstore.ListOptions{Prefix: prefix}) {
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			m.sort(e, take)
		}
	}
	return nil
}

// sort calls take for what is to be moved, and counts what is not.
func (m *migration) sort(e objstore.Entry, take func(objstore.Entry)) {
	_, isHashed := hashed.Decode(e.Key)
	switch {
	case strings.HasPrefix(e.Key, replicas.Prefix):
		m.manifests++
	case isHashed:
		m.there++
	default:
		take(e)
	}
}

func (m *migration) take(ctx context.Context, o object) {
	to := hashed.Encode(o.Key)
	if m.options.dryRun {
		fmt.Fprintf(m.options.stdout, "%s -> %s\n", o.Key, to)
	} else if err := moveObject(ctx, o, to, m.options.log); err != nil {
		if ctx.Err() == nil {
			m.failures.add(fmt.Errorf("%s: %w", o.name(), err))
		}
		return
	}
	m.moved.Add(1)
	m.bytes.Add(o.Size)
}

// moveObject moves an object to a key where nothing is, or a copy of it that an earlier run has made. What it removes in the end it has seen under both keys, the same as it was found.
func moveObject(ctx context.Context, o object, to string, log objstore.UploadLog) error {
	if renamer, ok := objstore.AsRenamer(o.bucket); ok {
		err := renamer.Rename(ctx, to, o.version(), objstore.Condition{IfNew: true})
		if !errors.Is(err, objstore.ErrUnsupported) && !errors.Is(err, objstore.ErrExists) {
			return err
		}
	}
	_, err := o.bucket.Stat(ctx, to) // not all stores know conditions of copies, and some ignore them
	switch {
	case err == nil:
		err = isCopy(ctx, o, to)
	case errors.Is(err, objstore.ErrNotExist):
		err = copyObject(ctx, o, to, log)
	}
	if err != nil {
		return err
	}
	now, err := o.bucket.Stat(ctx, o.Key)
	switch {
	case errors.Is(err, objstore.ErrNotExist):
		return nil
	case err != nil:
		return err
	case now.ETag != o.ETag:
		err = objstore.ErrChanged
	default:
		err = removeFound(ctx, o)
	}
	if errors.Is(err, objstore.ErrChanged) {
		return fmt.Errorf("it was copied, and replaced meanwhile: remove %s and run again: %w", to, err)
	}
	return err
}

// removeFound removes an object if it is still the one that was found, as far as the store looks at that: one that refuses the condition is asked without, and one that ignores it was
// asked what is there a moment ago.
func removeFound(ctx context.Context, o object) error {
	if deleter, ok := objstore.AsVersionDeleter(o.bucket); ok {
		if err := deleter.DeleteVersion(ctx, o.version()); !errors.Is(err, objstore.ErrUnsupported) {
			return err
		}
	}
	return o.bucket.Delete(ctx, o.Key)
}

// copyObject copies an object to a key where nothing is, and makes sure that the copy is there.
func copyObject(ctx context.Context, o object, to string, log objstore.UploadLog) error {
	plan := objstore.CopyPlan{Condition: objstore.Condition{IfNew: true}, Log: log}
	made, err := objstore.CopyObject(ctx, o.bucket, to, o.version(), plan)
	if errors.Is(err, objstore.ErrUnsupported) {
		plan.Condition = objstore.Condition{}
		made, err = objstore.CopyObject(ctx, o.bucket, to, o.version(), plan)
	}
	if err != nil {
		return err
	}
	there, err := o.bucket.Stat(ctx, to)
	if err == nil && (there.ETag != made.ETag || there.Size != o.Size) {
		err = fmt.Errorf("%s is not the copy that was made: %w", to, objstore.ErrChanged)
	}
	return err
}

// isCopy makes sure that what is under a key is the same content.
func isCopy(ctx context.Context, o object, to string) error {
	e, err := o.bucket.Stat(ctx, to)
	if err != nil {
		return err
	}
	same, err := objstore.SameContent(ctx, o.bucket, o.version(), objstore.VersionOf(o.bucket, e))
	if err == nil && !same {
		err = fmt.Errorf("%s is there already, with another content: %w", to, objstore.ErrExists)
	}
	return err
}
