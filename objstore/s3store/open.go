package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/headrace/headrace/objstore"
)

// Open starts a GET of r of v. See [objstore.Opener]. ErrInvalid for a version without an ETag: two GETs of it could
// bring bytes of two contents. Both List and Stat tell the ETag.
func (b *Bucket) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	t := b.target("GetObject", v.Key)
	if v.ETag == "" {
		return nil, t.error(fmt.Errorf("%w: a version without an ETag; Stat tells it", objstore.ErrInvalid))
	}
	if r.Off < 0 || r.Empty() || r.End() > v.Size {
		return nil, t.error(fmt.Errorf("%w: range %v of %d bytes", objstore.ErrInvalid, r, v.Size))
	}
	header := make(http.Header, 8)
	header["Range"] = []string{"bytes=" + strconv.FormatInt(r.Off, 10) + "-" + strconv.FormatInt(r.End()-1, 10)}
	condition(header, v.ETag)
	resp, err := b.send(ctx, http.MethodGet, v.Key, header)
	if err != nil {
		return nil, b.client.fail(ctx, t, err)
	}
	if resp.StatusCode != http.StatusPartialContent && resp.StatusCode != http.StatusOK {
		return nil, b.client.refusal(t, readAnswer(resp))
	}
	if err := verify(resp, v, r); err != nil {
		resp.Body.Close()
		return nil, &objstore.Error{
			Op: t.op, Bucket: t.bucket, Key: t.key, Status: resp.StatusCode, RequestID: requestID(resp.Header), Err: err,
		}
	}
	return &body{ctx: ctx, inner: resp.Body, left: r.Len, client: b.client, target: t, requestID: requestID(resp.Header)}, nil
}

// verify checks that a response is of v and brings r.
func verify(resp *http.Response, v objstore.Version, r objstore.Range) error {
	if versionTag(headerValue(resp.Header, "Etag"), lastModified(resp.Header)) != v.ETag {
		return objstore.ErrChanged
	}
	length := resp.ContentLength
	if resp.StatusCode == http.StatusOK { // the whole object: right if that is what was asked for
		if length >= 0 && length != v.Size {
			return objstore.ErrChanged
		}
		if r.Off != 0 || r.Len != v.Size {
			return fmt.Errorf("%w: the store sent the whole object for %v", objstore.ErrCorrupt, r)
		}
		return nil
	}
	first, last, size, ok := parseContentRange(headerValue(resp.Header, "Content-Range"))
	if !ok {
		return fmt.Errorf("%w: a part without a readable Content-Range", objstore.ErrCorrupt)
	}
	if size >= 0 && size != v.Size {
		return objstore.ErrChanged
	}
	if first != r.Off || last != r.End()-1 || (length >= 0 && length != r.Len) {
		return fmt.Errorf("%w: bytes %d-%d and a length of %d for %v", objstore.ErrCorrupt, first, last, length, r)
	}
	return nil
}

// parseContentRange reads "bytes FIRST-LAST/SIZE"; size is -1 when it is "*".
func parseContentRange(s string) (first, last, size int64, ok bool) {
	s, found := strings.CutPrefix(s, "bytes ")
	span, total, slash := strings.Cut(s, "/")
	a, z, dash := strings.Cut(span, "-")
	if !found || !slash || !dash {
		return 0, 0, 0, false
	}
	first, err1 := parseDecimal(a)
	last, err2 := parseDecimal(z)
	size = -1
	var err3 error
	if total != "*" {
		size, err3 = parseDecimal(total)
	}
	return first, last, size, err1 == nil && err2 == nil && err3 == nil
}

// parseDecimal takes digits only.
func parseDecimal(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// body yields the bytes of a verified response and turns the transport's errors into those of objstore.
type body struct {
	ctx       context.Context
	inner     io.ReadCloser
	client    *Client
	target    target
	requestID string

	// For the reading goroutine alone.
	left int64 // bytes still to come
	err  error // what ended it

	closed atomic.Bool // Close may come while a Read waits
}

var errBodyClosed = errors.New("body is closed")

// Read reads from the connection into p without a copy in between, wherever p is larger than the connection's buffer.
func (b *body) Read(p []byte) (int, error) {
	if b.err == nil && b.closed.Load() {
		b.err = b.target.error(errBodyClosed)
	}
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.inner.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		b.err = b.end(err)
	case errors.Is(err, io.EOF):
		b.err = b.broken(io.ErrUnexpectedEOF)
	case err != nil:
		b.err = b.broken(err)
	}
	return n, b.err
}

// end is called with the last byte: it makes sure that the response ends there, which also gives the connection back.
func (b *body) end(err error) error {
	for err == nil {
		var more [1]byte
		var n int
		if n, err = b.inner.Read(more[:]); n > 0 {
			return b.broken(fmt.Errorf("%w: more bytes than asked for", objstore.ErrCorrupt))
		}
	}
	if !errors.Is(err, io.EOF) {
		return b.broken(err)
	}
	return io.EOF
}

func (b *body) broken(err error) error {
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if b.closed.Load() { // which is what broke it
		return b.target.error(errBodyClosed)
	}
	return &objstore.Error{Op: b.target.op, Bucket: b.target.bucket, Key: b.target.key, RequestID: b.requestID, Err: cause(err)}
}

// Close ends the request. A body that was not read to its end costs its connection.
func (b *body) Close() error {
	b.closed.Store(true)
	return b.inner.Close()
}
