package upload

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/headrace/headrace/objstore"
)

// original is what is in a staging file now, after so many changes of the content.
type original struct {
	data    io.ReaderAt
	changes int64
}

// reading is what is found out of an object while it is read once: whether it has certain bytes of the staging file's,
// or their sum.
type reading struct {
	bytes ranges
	sum   hash.Hash   // nil where they are compared
	data  io.ReaderAt // with these
	other bool        // they differ
}

// compareUnit is how many bytes are read, and looked at, at a time.
const compareUnit = 256 << 10

// attemptOf is the last of some attempts of which a version has the bytes; nil for none. They are the staging file's
// where the content is still the same, and are known by their sum elsewhere. The version is read once, however many
// attempts there are, and only where one of them wrote.
func attemptOf(ctx context.Context, b objstore.Bucket, v objstore.Version, attempts []unanswered, now original) (*unanswered, error) {
	of, readings := make([]*reading, len(attempts)), []*reading(nil)
	var wanted ranges
	for i, a := range attempts {
		own := a.changes == now.changes
		at := slices.IndexFunc(readings, func(r *reading) bool { return (r.sum == nil) == own && slices.Equal(r.bytes, a.bytes) })
		if at < 0 {
			r := &reading{bytes: a.bytes, data: now.data}
			if !own {
				r.sum = sha256.New()
			}
			at, readings = len(readings), append(readings, r)
		}
		of[i] = readings[at]
		for _, r := range a.bytes {
			wanted = wanted.add(r)
		}
	}
	for _, r := range wanted {
		if !slices.ContainsFunc(readings, func(r *reading) bool { return !r.other }) {
			return nil, nil
		}
		if err := readOnce(ctx, b, v, r, readings); err != nil {
			return nil, err
		}
	}
	for i, a := range slices.Backward(attempts) {
		if r := of[i]; !r.other && (r.sum == nil || [sha256.Size]byte(r.sum.Sum(nil)) == a.sum) {
			return &a, nil
		}
	}
	return nil, nil
}

// readOnce has all readings see bytes of a version.
func readOnce(ctx context.Context, b objstore.Bucket, v objstore.Version, r objstore.Range, readings []*reading) (err error) {
	body, err := b.Open(ctx, v, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	buffer, own := make([]byte, min(compareUnit, r.Len)), make([]byte, min(compareUnit, r.Len))
	for !r.Empty() {
		piece := buffer[:min(int64(len(buffer)), r.Len)]
		if _, err := io.ReadFull(body, piece); err != nil {
			return err
		}
		for _, one := range readings {
			if err := one.see(piece, r.Off, own); err != nil {
				return err
			}
		}
		if !slices.ContainsFunc(readings, func(r *reading) bool { return !r.other }) {
			return nil // it is none of them
		}
		r.Off, r.Len = r.Off+int64(len(piece)), r.Len-int64(len(piece))
	}
	return nil
}

// see takes those bytes of a piece that are the reading's; buffer is as long as the piece.
func (r *reading) see(piece []byte, off int64, buffer []byte) error {
	here := objstore.Range{Off: off, Len: int64(len(piece))}
	for i := r.bytes.from(off + 1); i < len(r.bytes) && r.bytes[i].Off < here.End() && !r.other; i++ {
		part := r.bytes[i].Intersect(here)
		got := piece[part.Off-off : part.End()-off]
		if r.sum != nil {
			r.sum.Write(got) // never fails
			continue
		}
		own := buffer[:len(got)]
		if _, err := r.data.ReadAt(own, part.Off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		r.other = string(own) != string(got)
	}
	return nil
}
