package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

const (
	writtenSmall = 16 * kib // of each of many small files
	appended     = mib      // to a large object
	writtenPiece = mib      // of one write(2), where nothing else is said
	// stagedFiles of stagedSize each are written to see how fast write(2) is: they are too small to be sent before they
	// are closed.
	stagedFiles = 8
	stagedSize  = 60 * mib
)

// writeWorkloads are those that change the store.
func writeWorkloads() []workload {
	return []workload{
		{name: "write-1", kind: kindWrite, stage: stageWrite, readers: 1},
		{name: "write-4", kind: kindWrite, stage: stageWrite, readers: 4},
		{name: "write-64", kind: kindWrite, stage: stageWrite, readers: 64},
		{name: "write-small-files", kind: kindWriteFiles, stage: stageWrite, readers: 8},
		{name: "write-copy", kind: kindCopyTree, stage: stageWrite, readers: 1},
		{name: "write-rsync", kind: kindCopyTree, stage: stageWrite, readers: 1, program: "rsync"},
		{name: "write-tar", kind: kindCopyTree, stage: stageWrite, readers: 1, program: "tar"},
		{name: "write-git", kind: kindCopyTree, stage: stageWrite, readers: 1, program: "git"},
		{name: "write-rsync-back", kind: kindCopyTree, stage: stageStaging, readers: 1, program: "rsync", back: true},
		{name: "write-tar-back", kind: kindCopyTree, stage: stageStaging, readers: 1, program: "tar", back: true},
		{name: "write-git-back", kind: kindCopyTree, stage: stageStaging, readers: 1, program: "git", back: true},
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
		each := opts.Size / int64(max(2, w.readers))
		if w.readers > streams { // many are about the daemon's memory: fewer bytes show it too
			each /= 2
		}
		for i := range w.readers {
			add(i, i, each)
		}
	case kindWriteFiles:
		for i := range max(opts.SmallFiles/2, w.readers) {
			add(i%w.readers, i, writtenSmall)
		}
	case kindCopyTree:
		all[0] = treeWritings(w, opts, side)
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

// writeVisit is how a write workload is measured through a mount at dir.
func (t *target) writeVisit(opts Options, w workload, dir string) visit {
	all := w.writings(opts, "mount")
	v := visit{dir: dir, writes: true, scratch: dir + ".staging"}
	v.args = []string{"--staging-dir=" + v.scratch}
	if w.back {
		v.args = append(v.args, "--write-back")
	}
	v.prepare = func(ctx context.Context, _ *child) error { return settle(ctx, all) }
	v.read = func(ctx context.Context, c *child) (measured, error) {
		m, err := t.bounded(ctx, opts, w, c, func(ctx context.Context) (measured, error) { return w.writeFiles(ctx, c.dir, all) })
		if err != nil || m.cut {
			return m, err
		}
		return m, t.checkWritten(ctx, w, all)
	}
	return v
}

const (
	// memoryWritten is how many times what is written takes memory: the server's parts, its object, and a mount's staging
	// file.
	memoryWritten = 3
	// settledFrom is how much is written, in bytes, from where on the disk and first touches of memory show.
	settledFrom = 128 * mib
)

// settle has the machine ready for what is written, if that is much: what was written before is on the disk, so that
// nobody waits for it who did not write it, and memory is at hand. Where the page cache may not be dropped, the figures
// are less steady, and that is all.
func settle(ctx context.Context, all [][]writing) error {
	n := int64(0)
	for _, some := range all {
		for _, one := range some {
			n += one.size
		}
	}
	if n < settledFrom {
		return nil
	}
	unix.Sync()
	if mayDropPageCache() == nil {
		if err := dropPageCache(); err != nil {
			return err
		}
	}
	return claimMemory(ctx, memoryWritten*n)
}

// writeFiles writes files below dir, a mount or a directory, as programs do.
func (w workload) writeFiles(ctx context.Context, dir string, all [][]writing) (measured, error) {
	var inWrite time.Duration // of the one writer of kindStage
	m, err := crew(ctx, w.readers, fileSide{dir: dir}, func(ctx context.Context, writer int, n *tally) error {
		if w.kind == kindCopyTree {
			return w.copyTree(ctx, dir, all[writer], n)
		}
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

const (
	storedPoll     = 50 * time.Millisecond // how often it is looked whether what was written back is stored
	storedPatience = 2 * time.Minute       // how long all of it may take
)

// checkWritten makes sure that the store has what was written, all of it.
func (t *target) checkWritten(ctx context.Context, w workload, all [][]writing) (err error) {
	patient, cancel := context.WithTimeout(ctx, storedPatience)
	defer cancel()
	if w.program == "git" {
		defer func() { err = errors.Join(err, t.noteBelow(ctx, t.prefix+all[0][0].name)) }()
	}
	for _, some := range all {
		for _, one := range some {
			want := one.size
			if w.kind == kindAppend {
				want += appended
			}
			e, err := t.direct.Stat(ctx, t.prefix+one.name)
			for w.back && errors.Is(err, objstore.ErrNotExist) && patient.Err() == nil { // it is stored after close
				time.Sleep(storedPoll)
				e, err = t.direct.Stat(ctx, t.prefix+one.name)
			}
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
