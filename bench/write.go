package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

const (
	writtenSmall = 16 * kib // of each of many small files
	appended     = mib      // to a large object
	writtenPiece = mib      // of one write(2), where nothing else is said
	// stagedFiles of stagedSize each are written to see how fast write(2) is: they are too small to be sent before they are closed.
	stagedFiles = 8
	stagedSize  = 60 * mib
	// rawParts is how many parts the raw client sends at the same time: as many as a mount does for one file.
	rawParts = 8
	// copiedPart is how much a client has the store copy with one request.
	copiedPart = gib
)

// writeWorkloads are those that change the store.
func writeWorkloads() []workload {
	return []workload{
		{name: "write-1", kind: kindWrite, stage: stageWrite, readers: 1},
		{name: "write-4", kind: kindWrite, stage: stageWrite, readers: 4},
		{name: "write-small-files", kind: kindWriteFiles, stage: stageWrite, readers: 8},
		{name: "write-checkpoint-rename", kind: kindCheckpoint, stage: stageWrite, readers: 1},
		{name: "write-checkpoint-fsync", kind: kindCheckpoint, stage: stageWrite, readers: 1, synced: true},
		{name: "write-append", kind: kindAppend, stage: stageWrite, readers: 1},
		{name: "write-staging-4k", kind: kindStage, stage: stageStaging, readers: 1, size: 4 * kib},
		{name: "write-staging-128k", kind: kindStage, stage: stageStaging, readers: 1, size: 128 * kib},
	}
}

// writing is one file that is written.
type writing struct {
	name string
	size int64
}

// writings are what each of w's writers writes, in order.
func (w workload) writings(opts Options, side string) [][]writing {
	all := make([][]writing, w.readers)
	add := func(writer, i int, size int64) {
		all[writer] = append(all[writer], writing{fmt.Sprintf("%s-%s-%05d", w.name, side, i), max(size, 1)})
	}
	switch w.kind {
	case kindWrite:
		for i := range w.readers {
			add(i, i, opts.Size/int64(max(2, w.readers)))
		}
	case kindWriteFiles:
		for i := range max(opts.SmallFiles/2, w.readers) {
			add(i%w.readers, i, writtenSmall)
		}
	case kindCheckpoint:
		add(0, 0, opts.Size/4)
	case kindAppend:
		add(0, 0, opts.Size/2)
	case kindStage:
		for i := range stagedFiles {
			add(0, i, min(stagedSize, opts.Size/stagedFiles))
		}
	}
	return all
}

// noise is what is written, over and over: nothing that a disk or a store could make smaller.
var noise = sync.OnceValue(func() []byte {
	p := make([]byte, partSize)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(p) // never fails
	return p
})

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
		m, err := w.writeFiles(ctx, plain, w.writings(opts, "plain"))
		return m, errors.Join(err, os.RemoveAll(plain))
	}
	all := w.writings(opts, "raw")
	if err := t.prepareWriting(ctx, w, all); err != nil {
		return measured{}, err
	}
	return crew(ctx, w.readers, rawSide{t.raw}, func(ctx context.Context, writer int, n *tally) error {
		for _, one := range all[writer] {
			start := time.Now()
			size, err := w.writeRaw(ctx, t.raw, t.prefix+one.name, one.size)
			if err != nil {
				return err
			}
			n.note(int(size), time.Since(start))
		}
		return nil
	})
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
	case w.synced: // stored under another name, and renamed there
		e, err := writeWhole(ctx, b, key+temporarySuffix, size, objstore.Condition{IfNew: true})
		if err == nil {
			_, err = b.Copy(ctx, key, versionOf(b, e), objstore.Condition{})
		}
		if err == nil {
			err = b.Delete(ctx, key+temporarySuffix)
		}
		return size, err
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

// writeVisit is how a write workload is measured through a mount at dir.
func (t *target) writeVisit(opts Options, w workload, dir string) visit {
	all := w.writings(opts, "mount")
	v := visit{dir: dir, writes: true, scratch: dir + ".staging"}
	v.args = []string{"--staging-dir=" + v.scratch}
	v.read = func(ctx context.Context, c *child) (measured, error) {
		m, err := w.writeFiles(ctx, c.dir, all)
		if err != nil {
			return m, err
		}
		return m, t.checkWritten(ctx, w, all)
	}
	return v
}

// writeFiles writes files below dir, a mount or a directory, as programs do.
func (w workload) writeFiles(ctx context.Context, dir string, all [][]writing) (measured, error) {
	var inWrite time.Duration // of the one writer of kindStage
	m, err := crew(ctx, w.readers, fileSide{dir: dir}, func(ctx context.Context, writer int, n *tally) error {
		for _, one := range all[writer] {
			start := time.Now()
			size, took, err := w.writeFile(ctx, filepath.Join(dir, one.name), one.size)
			if err != nil {
				return err
			}
			if w.kind == kindStage {
				inWrite += took
			}
			n.note(int(size), time.Since(start))
		}
		return nil
	})
	if w.kind == kindStage {
		m.elapsed = inWrite
	}
	return m, err
}

// writeFile writes one file, and returns how many bytes it wrote and how long write(2) took.
func (w workload) writeFile(ctx context.Context, path string, size int64) (written int64, took time.Duration, err error) {
	target, flags := path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC
	switch w.kind {
	case kindCheckpoint:
		path += temporarySuffix
	case kindAppend:
		flags, size = unix.O_WRONLY|unix.O_APPEND, appended
	}
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return 0, 0, fmt.Errorf("bench: open %s: %w", path, err)
	}
	start := time.Now()
	err = writePieces(ctx, fd, size, w.piece())
	took = time.Since(start)
	if err == nil && w.synced {
		err = unix.Fsync(fd)
	}
	if err == nil && path != target {
		err = unix.Rename(path, target)
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return 0, took, fmt.Errorf("bench: write %s: %w", path, err)
	}
	return size, took, nil
}

// piece is how much w gives to one write(2).
func (w workload) piece() int64 {
	if w.kind == kindStage {
		return w.size
	}
	return writtenPiece
}

func writePieces(ctx context.Context, fd int, size, piece int64) error {
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		from := off % (partSize - piece + 1)
		n, err := unix.Write(fd, noise()[from:from+min(piece, size-off)])
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		off += int64(max(n, 0))
	}
	return nil
}

// checkWritten makes sure that the store has what was written, all of it.
func (t *target) checkWritten(ctx context.Context, w workload, all [][]writing) error {
	for _, some := range all {
		for _, one := range some {
			want := one.size
			if w.kind == kindAppend {
				want += appended
			}
			e, err := t.direct.Stat(ctx, t.prefix+one.name)
			if err != nil {
				return err
			}
			if e.Size != want {
				return fmt.Errorf("bench: %s has %d bytes in the store, and %d were written", e.Key, e.Size, want)
			}
		}
	}
	return nil
}
