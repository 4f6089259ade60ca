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
	at       place
	mover    *objectMover
	bar      *growingBar
	failures failures

	moved, bytes atomic.Int64
	hashed       *movedKeys
	manifests    int // of copies, which stay where they are
}

// migrate moves what is below a prefix. An end at any point leaves each object under one of its keys, or under both.
func (o *keysOptions) migrate(ctx context.Context, from string) error {
	stores := newStores(o.store)
	defer stores.close()
	at, err := stores.place(ctx, from)
	if err != nil {
		return err
	}
	m := &migration{
		options: o, at: at, mover: newObjectMover(o.log, o.stderr),
		bar: newGrowingBar(o.stderr, progressbar.OptionShowIts()), hashed: newMovedKeys(),
	}
	defer m.hashed.close()
	o.tidy(ctx, stores, &m.failures)
	ctx = objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassWarm))
	m.moveAll(ctx)
	if m.manifests > 0 {
		fmt.Fprintf(o.stderr, "%d objects have copies, which are of their plain keys: remove those with `headrace replicate s3://%s/KEY --copies 0`, and make others with --key-layout hashed\n",
			m.manifests, at.bucket.Name())
	}
	did := "moved"
	if o.dryRun {
		did = "would move"
	}
	fmt.Fprintf(o.stdout, "%s %d objects, %s; %d were hashed already\n", did, m.moved.Load(), sizeText(m.bytes.Load()), m.hashed.before())
	return m.failures.outcome(ctx)
}

// moveAll moves, in the order of keys in a dry run.
func (m *migration) moveAll(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(m.options.jobs)
	defer m.bar.end()
	if !m.options.dryRun {
		defer m.bar.countAhead(ctx, m.count)()
	}
	found := int64(0)
	m.failures.add(m.each(ctx, func(e objstore.Entry) {
		o := object{m.at.bucket, e}
		m.hashed.pass(e.Key)
		switch kind := kindOfKey(e.Key); {
		case kind == manifestKey:
			m.manifests++
		case kind == hashedKey:
			m.hashed.meet(e.Key)
		case m.options.dryRun:
			m.take(ctx, o)
		default:
			found++
			m.bar.find(found)
			g.Go(func() error {
				if ctx.Err() == nil {
					m.take(ctx, o)
					m.bar.add(1)
				}
				return nil
			})
		}
	}))
	_ = g.Wait() // what failed is in failures
}

// count finds how many objects are to be moved.
func (m *migration) count(ctx context.Context, one func(int64)) error {
	return m.each(ctx, func(e objstore.Entry) {
		if kindOfKey(e.Key) == plainKey {
			one(1)
		}
	})
}

// each calls take for what is meant: the object of the prefix itself, and those below it as a directory. What only
// begins with the same letters is not meant.
func (m *migration) each(ctx context.Context, take func(objstore.Entry)) error {
	at := m.at
	prefix := at.key
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
		e, err := at.bucket.Stat(ctx, at.key)
		if err != nil && !errors.Is(err, objstore.ErrNotExist) {
			return err
		}
		if err == nil {
			take(e)
		}
	}
	for page, err := range at.bucket.List(ctx, objstore.ListOptions{Prefix: prefix}) {
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			take(e)
		}
	}
	return nil
}

// keyKind is what a migration makes of a key.
type keyKind int

const (
	plainKey    keyKind = iota // to be moved
	hashedKey                  // it is where it belongs
	manifestKey                // of copies: where it is looked for
)

func kindOfKey(key string) keyKind {
	if strings.HasPrefix(key, replicas.Prefix) {
		return manifestKey
	}
	if _, ok := hashed.Decode(key); ok {
		return hashedKey
	}
	return plainKey
}

func (m *migration) move(ctx context.Context, o object, to string) error {
	m.hashed.making(to)
	err := m.mover.move(ctx, o, to)
	if err != nil {
		m.hashed.failed(to)
	} else {
		m.hashed.done(to)
	}
	return err
}

func (m *migration) take(ctx context.Context, o object) {
	to := hashed.Encode(o.Key)
	if m.options.dryRun {
		fmt.Fprintf(m.options.stdout, "%s -> %s\n", o.Key, to)
	} else if err := m.move(ctx, o, to); err != nil {
		if ctx.Err() == nil {
			m.failures.add(fmt.Errorf("%s: %w", o.name(), err))
		}
		return
	}
	m.moved.Add(1)
	m.bytes.Add(o.Size)
}
