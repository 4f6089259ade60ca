package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
)

const (
	// rawParts is how many parts the raw client sends at the same time: as many as a mount does for one file.
	rawParts = 8
	// copiedPart is how much a client has the store copy with one request.
	copiedPart = gib
)

// writeReference is a write workload by a raw client or, for what only staging is about, into plain files.
func (t *target) writeReference(ctx context.Context, opts Options, w workload, dir string) (measured, error) {
	// Before the mount, which believes for a second what it has seen.
	if err := t.prepareWriting(ctx, w, w.writings(opts, "mount")); err != nil {
		return measured{}, err
	}
	if w.stage == stageStaging {
		plain := dir + ".plain"
		if err := os.Mkdir(plain, 0o700); err != nil {
			return measured{}, fmt.Errorf("bench: %w", err)
		}
		all := w.writings(opts, "plain")
		if err := settle(ctx, all); err != nil {
			return measured{}, err
		}
		m, err := w.writeFiles(ctx, plain, all)
		return m, errors.Join(err, os.RemoveAll(plain))
	}
	all := w.writings(opts, "raw")
	if err := t.prepareWriting(ctx, w, all); err != nil {
		return measured{}, err
	}
	if err := settle(ctx, all); err != nil {
		return measured{}, err
	}
	limited, cancel := context.WithTimeout(ctx, w.bound(opts.Duration))
	defer cancel()
	m, err := crew(limited, w.readers, rawSide{t.raw}, func(ctx context.Context, writer int, n *tally) error {
		for _, one := range all[writer] {
			start := time.Now()
			size, err := w.writeRaw(ctx, t.raw, t.prefix+one.name, one.size)
			if err != nil {
				return err
			}
			if counts(one.name) {
				n.note(int(size), time.Since(start))
			}
		}
		return nil
	})
	return m, w.judge(ctx, m, err)
}

// prepareWriting stores what is appended to, and has all that is about to be written removed at the end.
func (t *target) prepareWriting(ctx context.Context, w workload, all [][]writing) error {
	for _, some := range all {
		for _, one := range some {
			t.maker.made = append(t.maker.made, t.prefix+one.name, t.prefix+one.name+temporarySuffix)
			if w.kind != kindAppend {
				continue
			}
			if _, err := writeWhole(ctx, t.maker.bucket, t.prefix+one.name, one.size, objstore.Condition{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// temporarySuffix is of a checkpoint that is not whole yet.
const temporarySuffix = ".tmp"

// writeRaw does by a raw client what a write workload does with a file, and returns how many bytes were written.
func (w workload) writeRaw(ctx context.Context, b objstore.Bucket, key string, size int64) (int64, error) {
	switch {
	case w.kind == kindAppend:
		return appended, appendRaw(ctx, b, key, size)
	case w.program == "git":
		return size, writeGitRaw(ctx, b, key, size)
	case w.synced, w.program == "rsync" && !strings.HasSuffix(key, "/"): // rsync has a temporary name for each file
		return size, writeRenamed(ctx, b, key, size)
	}
	_, err := writeWhole(ctx, b, key, size, objstore.Condition{IfNew: true})
	return size, err
}

// writeWhole stores an object by one request, or in the parts that a mount makes.
func writeWhole(ctx context.Context, b objstore.Bucket, key string, size int64, cond objstore.Condition) (objstore.Entry, error) {
	if size <= partSize {
		e, err := b.Put(ctx, key, bytes.NewReader(noise()[:size]), size, cond, objstore.Attributes{})
		e.Key, e.Size = key, size
		return e, err
	}
	id, err := b.CreateUpload(ctx, key, objstore.Attributes{})
	if err != nil {
		return objstore.Entry{}, err
	}
	parts := make([]objstore.Part, (size+partSize-1)/partSize)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(rawParts)
	for i := range parts {
		g.Go(func() (err error) {
			n := min(partSize, size-int64(i)*partSize)
			parts[i], err = b.UploadPart(gctx, key, id, i+1, bytes.NewReader(noise()[:n]), n)
			return err
		})
	}
	var e objstore.Entry
	if err = g.Wait(); err == nil {
		e, err = b.CompleteUpload(ctx, key, id, parts, cond)
	}
	if err != nil {
		return e, errors.Join(err, b.AbortUpload(context.WithoutCancel(ctx), key, id))
	}
	e.Key, e.Size = key, size
	return e, nil
}

// appendRaw makes an object longer: the store copies what is there, and the rest is sent.
func appendRaw(ctx context.Context, b objstore.Bucket, key string, size int64) error {
	e, err := b.Stat(ctx, key)
	if err != nil {
		return err
	}
	id, err := b.CreateUpload(ctx, key, objstore.Attributes{Copies: true})
	if err != nil {
		return err
	}
	copies := int((size + copiedPart - 1) / copiedPart)
	parts := make([]objstore.Part, copies+1)
	g, gctx := errgroup.WithContext(ctx)
	for i := range copies {
		g.Go(func() (err error) {
			r := objstore.Range{Off: int64(i) * copiedPart, Len: min(copiedPart, size-int64(i)*copiedPart)}
			parts[i], err = b.CopyPart(gctx, key, id, i+1, versionOf(b, e), r)
			return err
		})
	}
	g.Go(func() (err error) {
		parts[copies], err = b.UploadPart(gctx, key, id, copies+1, bytes.NewReader(noise()[:appended]), appended)
		return err
	})
	if err = g.Wait(); err == nil {
		_, err = b.CompleteUpload(ctx, key, id, parts, objstore.Condition{IfMatch: e.ETag})
	}
	if err != nil {
		return errors.Join(err, b.AbortUpload(context.WithoutCancel(ctx), key, id))
	}
	return nil
}
