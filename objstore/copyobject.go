package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// MaxCopy is the most, in bytes, that S3 copies with one request.
	MaxCopy = 5 << 30
	// maxCopyParts is how many parts an upload has at most.
	maxCopyParts = 10_000
	// copiesAtOnce bounds the requests of one copy in parts.
	copiesAtOnce = 8
	// abortDeadline is for how long giving up an upload is tried, whoever has told the caller to end.
	abortDeadline = 10 * time.Second
)

// CopyRanges divides size bytes into parts for the store to copy, larger than part only where there would be too many.
func CopyRanges(size, part int64) []Range {
	length := max(part, (size+maxCopyParts-1)/maxCopyParts)
	var ranges []Range
	for off := int64(0); off < size; off += length {
		ranges = append(ranges, Range{Off: off, Len: min(length, size-off)})
	}
	return ranges
}

// CopyParts makes the object of a key from the parts of a stored version, which may be of that key itself, on the
// store's side. What it has begun it gives up when it fails; of a process that is killed the plan's log tells what it
// has left in the store.
func CopyParts(ctx context.Context, b Bucket, key string, src Version, ranges []Range, p CopyPlan) (e Entry, err error) {
	id, number, err := p.begin(ctx, b, key)
	if err != nil {
		return e, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.giveUp(ctx, b, key, id, number))
		} else {
			p.log().Ended(number)
		}
	}()
	parts := make([]Part, len(ranges))
	g, sending := errgroup.WithContext(ctx)
	g.SetLimit(copiesAtOnce)
	for i, r := range ranges {
		g.Go(func() (err error) {
			if parts[i], err = b.CopyPart(sending, key, id, i+1, src, r); err == nil && p.Progress != nil {
				p.Progress(r.Len)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return e, err
	}
	return b.CompleteUpload(ctx, key, id, parts, p.Condition)
}

// begin creates the upload, and has the log know of it.
func (p CopyPlan) begin(ctx context.Context, b Bucket, key string) (id string, number int, err error) {
	attrs := p.Attributes
	attrs.Copies = true
	if number, err = p.log().Intend(b, key); err != nil {
		return "", 0, err
	}
	if id, err = createUpload(ctx, b, key, attrs); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) || !mayHaveHappened(err) {
			p.log().Ended(number)
		}
		return "", 0, err
	}
	if err = p.log().Created(number, id); err != nil {
		return "", 0, errors.Join(err, p.giveUp(ctx, b, key, id, number))
	}
	return id, number, nil
}

// giveUp aborts an upload, whoever has told the caller to end.
func (p CopyPlan) giveUp(ctx context.Context, b Bucket, key, id string, number int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortDeadline)
	defer cancel()
	if err := b.AbortUpload(ctx, key, id); err != nil {
		return fmt.Errorf("its upload %s is left in the store: %w", id, err)
	}
	p.log().Ended(number)
	return nil
}

func (p CopyPlan) log() UploadLog {
	if p.Log == nil {
		return unlogged{}
	}
	return p.Log
}

// createUpload goes on for a moment when ctx ends: an upload whose id nobody knows could not be given up.
func createUpload(ctx context.Context, b Bucket, key string, attrs Attributes) (id string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	creating, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(abortDeadline):
			cancel()
		case <-creating.Done():
		}
	})()
	return b.CreateUpload(creating, key, attrs)
}

// CopyPlan says how a copy is made in parts.
type CopyPlan struct {
	Attributes Attributes // of the copy
	Condition  Condition
	Progress   func(bytes int64) // called from several goroutines; nil for nobody
	Log        UploadLog         // nil for none
}

// CopyObject copies a version to a key, with what goes along with it in place of the plan's attributes, by as many
// requests as its size takes. Markers of directories are made anew: stores that keep objects in folders do not copy
// them.
func CopyObject(ctx context.Context, b Bucket, key string, src Version, p CopyPlan) (Entry, error) {
	isMarker := src.Size == 0 && strings.HasSuffix(src.Key, "/")
	if !isMarker && src.Size <= MaxCopy {
		return b.Copy(ctx, key, src, p.Condition)
	}
	e, err := b.Stat(ctx, src.Key)
	if err != nil {
		return Entry{}, err
	}
	p.Attributes, err = AllAttributesOf(ctx, b, e)
	switch {
	case err != nil:
		return Entry{}, err
	case isMarker:
		return b.Put(ctx, key, strings.NewReader(""), 0, p.Condition, p.Attributes)
	}
	return CopyParts(ctx, b, key, src, CopyRanges(src.Size, 1<<30), p)
}

// SameContent tells whether two versions are the same bytes. Where their ETags do not say so they are read: equal
// contents have different ETags when they were sent in different parts.
func SameContent(ctx context.Context, b Opener, one, other Version) (bool, error) {
	if one.Size != other.Size {
		return false, nil
	}
	if one.ETag == other.ETag || one.Size == 0 {
		return true, nil
	}
	all := Range{Len: one.Size}
	first, err := b.Open(ctx, one, all)
	if err != nil {
		return false, err
	}
	defer first.Close()
	second, err := b.Open(ctx, other, all)
	if err != nil {
		return false, err
	}
	defer second.Close()
	return SameBytes(first, second)
}

// SameBytes tells whether two streams of the same length are equal.
func SameBytes(first, second io.Reader) (bool, error) {
	a, b := make([]byte, 1<<18), make([]byte, 1<<18)
	for {
		n, err := io.ReadFull(first, a)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		if _, err := io.ReadFull(second, b[:n]); err != nil {
			return false, err
		}
		if string(a[:n]) != string(b[:n]) {
			return false, nil
		}
		if n < len(a) {
			return true, nil
		}
	}
}
