package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// examined is a store that the doctor looks at, with the buckets of it that were named.
type examined struct {
	store   storeOptions
	reach   string // the same, to be compared
	buckets []examinedBucket
}

// examinedBucket is a bucket, and what of it was named first.
type examinedBucket struct {
	name, prefix string
	mayProbe     bool // it was named itself, and not a file of a mount
}

// add notes a bucket, once.
func (e *examined) add(b examinedBucket) {
	i := slices.IndexFunc(e.buckets, func(known examinedBucket) bool { return known.name == b.name })
	switch {
	case b.name == "":
	case i < 0:
		e.buckets = append(e.buckets, b)
	default:
		e.buckets[i].mayProbe = e.buckets[i].mayProbe || b.mayProbe
	}
}

// targets are the stores of all that is named, each once, in the order in which they are named first; without
// arguments, the store of the flags.
func (o doctorOptions) targets(args []string) (all []*examined, err error) {
	if len(args) == 0 {
		return []*examined{{store: o.store}}, nil
	}
	for _, arg := range args {
		r, bucket, err := targetOf(arg)
		if err != nil {
			return nil, err
		}
		e := &examined{store: r.under(o.store)}
		e.reach = mountOptions{store: e.store}.reach()
		i := slices.IndexFunc(all, func(known *examined) bool { return known.reach == e.reach })
		if i < 0 {
			i, all = len(all), append(all, e)
		}
		all[i].add(bucket)
	}
	return all, nil
}

// targetOf is how the store of an argument is reached, and which bucket of it is meant.
func targetOf(arg string) (r reach, b examinedBucket, err error) {
	if rest, ok := strings.CutPrefix(arg, sourceScheme); ok {
		b.name, b.prefix, _ = strings.Cut(rest, "/")
		b.mayProbe = true
		return r, b, nil
	}
	path, err := resolvePath(arg)
	if err != nil {
		return r, b, usage("%v", err)
	}
	r, below, err := mountOf(path)
	if err != nil {
		return r, b, err
	}
	src, err := parseSource(r.Source)
	if src.all() {
		src.bucket, _, _ = strings.Cut(below, "/")
	}
	return r, examinedBucket{name: src.bucket, prefix: src.prefix}, err
}

// lookAtStores looks at the stores of what is named, and at each bucket of them: of its mount, or by the flags.
func (o doctorOptions) lookAtStores(ctx context.Context, args []string, tell func(...finding)) error {
	targets, err := o.targets(args)
	if err != nil {
		return err
	}
	for _, e := range targets {
		o.lookAt(ctx, e, tell)
	}
	return nil
}

func (o doctorOptions) lookAt(ctx context.Context, e *examined, tell func(...finding)) {
	asked, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	s, err := openStore(asked, e.store, slog.New(slog.DiscardHandler))
	if err != nil {
		tell(finding{"endpoint", mistaken, err.Error(), "check --endpoint and the configuration"})
		return
	}
	defer func() { _ = s.close() }() // nothing waits in it
	facts := lookAtStore(asked, s)
	tell(judgeStore(facts, time.Now())...)
	if facts.reachErr != nil {
		return
	}
	usable := examinedBucket{}
	for _, named := range e.buckets {
		bucket := lookAtBucket(asked, s, named.name, named.prefix)
		tell(judgeBucket(facts, bucket)...)
		if bucket.err == nil && (usable.name == "" || named.mayProbe && !usable.mayProbe) {
			usable = named
		}
	}
	if usable.name != "" { // what a store can do is the same for all its buckets
		tell(o.powers(ctx, e.store, usable, facts.endpoint)...)
	}
}
