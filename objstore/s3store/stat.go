package s3store

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

const metadataPrefix = "X-Amz-Meta-"

// Stat asks for key's entry with a HEAD. See [objstore.Statter].
func (b *Bucket) Stat(ctx context.Context, key string) (objstore.Entry, error) {
	t := b.target("HeadObject", key)
	if key == "" {
		return objstore.Entry{}, t.error(objstore.ErrInvalid) // it would ask for the bucket
	}
	resp, err := b.send(ctx, http.MethodHead, key, make(http.Header, 8))
	if err != nil {
		return objstore.Entry{}, b.client.fail(ctx, t, err)
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return entryFromHeader(key, resp), nil
	case http.StatusBadRequest:
		return objstore.Entry{}, b.explain(ctx, t)
	}
	return objstore.Entry{}, b.client.refusal(t, answer{status: resp.StatusCode, requestID: requestID(resp.Header), header: resp.Header})
}

// explain finds out what a HEAD meant that was answered with 400. Some stores say so of a prefix that is no object, and
// all of them of an expired token, which must never look like a missing file: a GET's answer has a body that tells.
func (b *Bucket) explain(ctx context.Context, t target) error {
	header := make(http.Header, 8)
	header["Range"] = []string{"bytes=0-0"}
	resp, err := b.send(ctx, http.MethodGet, t.key, header)
	if err != nil {
		return b.client.fail(ctx, t, err)
	}
	a := readAnswer(resp)
	if a.status == http.StatusBadRequest && sentinelByCode(a.code) == nil {
		a.status = http.StatusNotFound
	}
	if a.status < 300 {
		a.status = http.StatusBadRequest // what the HEAD said; the GET does not explain it
	}
	return b.client.refusal(t, a)
}

func entryFromHeader(key string, resp *http.Response) objstore.Entry {
	h := resp.Header
	e := objstore.Entry{
		Key:          key,
		Size:         max(0, resp.ContentLength),
		ETag:         normaliseETag(headerValue(h, "Etag")),
		StorageClass: storageClass(headerValue(h, "X-Amz-Storage-Class")),
		ContentType:  headerValue(h, "Content-Type"),
	}
	if at, err := http.ParseTime(headerValue(h, "Last-Modified")); err == nil {
		e.ModTime = at.UTC().Truncate(time.Second)
	}
	for name, values := range h {
		if rest, ok := strings.CutPrefix(name, metadataPrefix); ok && len(values) > 0 {
			if e.Metadata == nil {
				e.Metadata = make(map[string]string)
			}
			e.Metadata[strings.ToLower(rest)] = strings.Join(values, ",")
		}
	}
	return e
}

// storageClass makes the usual class the empty one.
func storageClass(s string) string {
	if s == "STANDARD" {
		return ""
	}
	return s
}

// headerValue is h.Get for a name in its canonical form.
func headerValue(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func requestID(h http.Header) string { return headerValue(h, "X-Amz-Request-Id") }
