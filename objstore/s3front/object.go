package s3front

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/headrace/headrace/objstore"
)

func quote(etag string) string { return `"` + etag + `"` }

func unquote(etag string) string { return strings.Trim(etag, `"`) }

// version names what an entry of q's bucket is a version of.
func (q *request) version(e objstore.Entry) objstore.Version {
	return objstore.Version{Endpoint: q.bucket.Endpoint(), Bucket: q.bucket.Name(), Key: e.Key, ETag: e.ETag, Size: e.Size}
}

// describe sets the headers that GET and HEAD have in common.
func (q *request) describe(e objstore.Entry) {
	h := q.w.Header()
	h.Set("Etag", quote(e.ETag))
	h.Set("Last-Modified", e.ModTime.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	if e.ContentType != "" {
		h.Set("Content-Type", e.ContentType)
	} else {
		h.Set("Content-Type", "binary/octet-stream")
	}
	if e.StorageClass != "" {
		h.Set("X-Amz-Storage-Class", e.StorageClass)
	}
	if e.Tagged {
		h.Set("X-Amz-Tagging-Count", "1")
	}
	for name, value := range e.Metadata {
		h.Set("X-Amz-Meta-"+name, value)
	}
	for name, value := range e.Headers {
		h.Set(name, value)
	}
}

// stat finds q's object and checks If-Match; it has answered when it returns false.
func (q *request) stat() (objstore.Entry, bool) {
	e, err := q.bucket.Stat(q.r.Context(), q.key)
	if err != nil {
		q.fail(err)
		return e, false
	}
	if match := q.r.Header.Get("If-Match"); match != "" && unquote(match) != e.ETag {
		q.refuse(http.StatusPreconditionFailed, "PreconditionFailed")
		return e, false
	}
	return e, true
}

func (q *request) head() {
	e, ok := q.stat()
	if !ok {
		return
	}
	q.describe(e)
	q.w.Header().Set("Content-Length", strconv.FormatInt(e.Size, 10))
}

func (q *request) get() {
	e, ok := q.stat()
	if !ok {
		return
	}
	r, status := objstore.Range{Len: e.Size}, http.StatusOK
	if header := q.r.Header.Get("Range"); header != "" {
		if r, ok = parseRange(header, e.Size); !ok {
			q.refuse(http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		status = http.StatusPartialContent
		q.w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", r.Off, r.End()-1, e.Size))
	}
	var body io.ReadCloser = http.NoBody
	if !r.Empty() {
		var err error
		if body, err = q.bucket.Open(q.r.Context(), q.version(e), r); err != nil {
			q.w.Header().Del("Content-Range")
			q.fail(err)
			return
		}
	}
	defer body.Close()
	q.describe(e)
	q.w.Header().Set("Content-Length", strconv.FormatInt(r.Len, 10))
	q.w.WriteHeader(status)
	if _, err := io.Copy(q.w, body); err != nil {
		panic(http.ErrAbortHandler) // the status is out: a broken connection is all that is left to say it with
	}
}

// parseRange reads "bytes=FIRST-LAST" and "bytes=FIRST-", the forms headrace sends.
func parseRange(header string, size int64) (objstore.Range, bool) {
	a, z, ok := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	first, err := strconv.ParseInt(a, 10, 64)
	if !ok || err != nil || first < 0 || first >= size {
		return objstore.Range{}, false
	}
	last := size - 1
	if z != "" {
		if last, err = strconv.ParseInt(z, 10, 64); err != nil || last < first {
			return objstore.Range{}, false
		}
	}
	return objstore.Range{Off: first, Len: min(last, size-1) - first + 1}, true
}

func (q *request) condition() objstore.Condition {
	return objstore.Condition{IfMatch: unquote(q.r.Header.Get("If-Match")), IfNew: q.r.Header.Get("If-None-Match") == "*"}
}

func (q *request) attributes() objstore.Attributes {
	a := objstore.Attributes{
		ContentType: q.r.Header.Get("Content-Type"), StorageClass: q.r.Header.Get("X-Amz-Storage-Class"), Tags: q.r.Header.Get("X-Amz-Tagging"),
		Headers: objstore.HeadersFrom(q.r.Header.Get),
	}
	for name, values := range q.r.Header {
		if rest, ok := strings.CutPrefix(name, "X-Amz-Meta-"); ok {
			if a.Metadata == nil {
				a.Metadata = make(map[string]string)
			}
			a.Metadata[strings.ToLower(rest)] = values[0]
		}
	}
	return a
}

// content is the request's body as it was meant to be, or false after answering.
func (q *request) content() (*bytes.Reader, int64, bool) {
	data := make([]byte, max(q.r.ContentLength, 0))
	if _, err := io.ReadFull(q.r.Body, data); err != nil || q.r.ContentLength < 0 {
		q.refuse(http.StatusBadRequest, "IncompleteBody")
		return nil, 0, false
	}
	return bytes.NewReader(data), int64(len(data)), true
}

func (q *request) put() {
	body, size, ok := q.content()
	if !ok {
		return
	}
	e, err := q.bucket.Put(q.r.Context(), q.key, body, size, q.condition(), q.attributes())
	if err != nil {
		q.fail(err)
		return
	}
	q.w.Header().Set("Etag", quote(e.ETag))
}

func (q *request) delete() {
	remove := q.bucket.Delete
	if match := q.r.Header.Get("If-Match"); match != "" {
		remove = func(ctx context.Context, key string) error {
			deleter, ok := objstore.AsVersionDeleter(q.bucket)
			if !ok {
				return objstore.ErrUnsupported
			}
			return deleter.DeleteVersion(ctx, q.version(objstore.Entry{Key: key, ETag: unquote(match)}))
		}
	}
	if err := remove(q.r.Context(), q.key); err != nil {
		q.fail(err)
		return
	}
	q.w.WriteHeader(http.StatusNoContent)
}

// source is the version that a copy is made of, in q's own bucket, or false after answering.
func (q *request) source() (objstore.Version, bool) {
	path, err := url.PathUnescape(strings.TrimPrefix(q.r.Header.Get("X-Amz-Copy-Source"), "/"))
	bucket, key, _ := strings.Cut(path, "/")
	if err != nil || bucket != q.bucket.Name() {
		q.refuse(http.StatusBadRequest, "InvalidArgument")
		return objstore.Version{}, false
	}
	e, err := q.bucket.Stat(q.r.Context(), key)
	if err != nil {
		status, code := statusOf(err)
		q.refuse(status, code)
		return objstore.Version{}, false
	}
	if match := q.r.Header.Get("X-Amz-Copy-Source-If-Match"); match != "" && unquote(match) != e.ETag {
		q.refuse(http.StatusPreconditionFailed, "PreconditionFailed")
		return objstore.Version{}, false
	}
	return q.version(e), true
}

func (q *request) copy() {
	src, ok := q.source()
	if !ok {
		return
	}
	var e objstore.Entry
	var err error
	if q.r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
		e, err = q.bucket.CopyWith(q.r.Context(), q.key, src, q.condition(), q.attributes())
	} else {
		e, err = q.bucket.Copy(q.r.Context(), q.key, src, q.condition())
	}
	if err != nil {
		q.fail(err)
		return
	}
	q.answer(copyResult{XMLName: xml.Name{Local: "CopyObjectResult"}, ETag: quote(e.ETag), LastModified: stamp(e.ModTime)})
}

func (q *request) rename() {
	key, err := url.PathUnescape(q.r.Header.Get("X-Amz-Rename-Source"))
	renamer, ok := objstore.AsRenamer(q.bucket)
	if err != nil || !ok {
		q.refuse(http.StatusNotImplemented, "NotImplemented")
		return
	}
	e, err := q.bucket.Stat(q.r.Context(), key)
	if err != nil {
		status, code := statusOf(err)
		q.refuse(status, code)
		return
	}
	if match := q.r.Header.Get("X-Amz-Rename-Source-If-Match"); match != "" && unquote(match) != e.ETag {
		q.refuse(http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	if err := renamer.Rename(q.r.Context(), q.key, q.version(e), q.condition()); err != nil {
		q.fail(err)
	}
}

// tagging is the document that tells an object's tags.
type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	Tags    []tag    `xml:"TagSet>Tag"`
}

type tag struct{ Key, Value string }

func (q *request) tags() {
	tagger, ok := objstore.AsTagger(q.bucket)
	if !ok {
		q.refuse(http.StatusNotImplemented, "NotImplemented")
		return
	}
	text, err := tagger.Tags(q.r.Context(), q.key)
	if err != nil {
		q.fail(err)
		return
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		q.refuse(http.StatusInternalServerError, "InternalError")
		return
	}
	var answer tagging
	for key := range values {
		answer.Tags = append(answer.Tags, tag{key, values.Get(key)})
	}
	q.answer(answer)
}
