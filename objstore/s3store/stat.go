package s3store

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/headrace/headrace/objstore"
)

const metadataPrefix = "X-Amz-Meta-"

// Stat asks for key's entry with a HEAD. See [objstore.Statter].
func (b *Bucket) Stat(ctx context.Context, key string) (objstore.Entry, error) {
	t := b.target("HeadObject", key)
	if key == "" {
		return objstore.Entry{}, t.error(objstore.ErrInvalid) // it would ask for the bucket
	}
	resp, err := b.head(ctx, t)
	if err == nil && resp.StatusCode == http.StatusBadRequest {
		if err = b.explain(ctx, t); err == nil {
			resp, err = b.head(ctx, t)
		}
	}
	if err != nil {
		return objstore.Entry{}, err
	}
	if resp.StatusCode == http.StatusOK {
		e := entryFromHeader(key, resp)
		if err := checkHead(e, resp); err != nil {
			return objstore.Entry{}, &objstore.Error{
				Op: t.op, Bucket: t.bucket, Key: t.key, Status: resp.StatusCode, RequestID: requestID(resp.Header), Err: err,
			}
		}
		b.noteTag(e)
		return e, nil
	}
	return objstore.Entry{}, b.client.refusal(t, answer{status: resp.StatusCode, requestID: requestID(resp.Header), header: resp.Header})
}

// head asks for the headers of t's key.
func (b *Bucket) head(ctx context.Context, t target) (*http.Response, error) {
	resp, err := b.send(ctx, http.MethodHead, t.key, make(http.Header, 8))
	if err != nil {
		return nil, b.client.fail(ctx, t, err)
	}
	resp.Body.Close()
	return resp, nil
}

// checkHead makes sure that an answer says which version there is. Nothing else would contradict a size that is not
// there.
func checkHead(e objstore.Entry, resp *http.Response) error {
	switch {
	case e.ETag == "":
		return fmt.Errorf("%w: an object with neither an ETag nor a time of modification", objstore.ErrCorrupt)
	case resp.ContentLength < 0:
		return fmt.Errorf("%w: an object without a Content-Length", objstore.ErrCorrupt)
	}
	return nil
}

// explain finds out what a HEAD meant that was answered with 400. Some stores say so of a prefix that is no object, and
// all of them of an expired token, which must never look like a missing file: a GET's answer has a body that tells. nil
// if the GET was taken, as it is once the token has been renewed.
func (b *Bucket) explain(ctx context.Context, t target) error {
	header := make(http.Header, 8)
	header["Range"] = []string{"bytes=0-0"}
	resp, err := b.send(ctx, http.MethodGet, t.key, header)
	if err != nil {
		return b.client.fail(ctx, t, err)
	}
	a := readAnswer(resp)
	if a.status == http.StatusBadRequest && sentinelByCode(a.code) == nil {
		there, err := b.listed(ctx, t.key)
		if err != nil {
			return err
		}
		if !there {
			return replaceSentinel(b.client.refusal(t, a), objstore.ErrNotExist)
		}
	}
	if a.status < 300 || a.status == http.StatusRequestedRangeNotSatisfiable { // an empty object has no first byte
		return nil
	}
	return b.client.refusal(t, a)
}

// listed tells whether there is an object of that key, whoever may read it. It does without List, which may ask Stat.
func (b *Bucket) listed(ctx context.Context, key string) (bool, error) {
	l, err := b.listOnce(ctx, b.target("ListObjectsV2", key), objstore.ListOptions{Prefix: key, PageSize: 1}, "")
	if err != nil || len(l.Contents) == 0 {
		return false, err
	}
	first, err := decodeKey(l.EncodingType, l.Contents[0].Key)
	return first == key, err
}

func entryFromHeader(key string, resp *http.Response) objstore.Entry {
	h := resp.Header
	e := objstore.Entry{
		Key:          key,
		Size:         max(0, resp.ContentLength),
		ETag:         versionTag(headerValue(h, "Etag"), lastModified(h)),
		ModTime:      lastModified(h),
		StorageClass: storageClass(headerValue(h, "X-Amz-Storage-Class")),
		ContentType:  headerValue(h, "Content-Type"),
		Headers:      objstore.HeadersFrom(func(name string) string { return headerValue(h, name) }),
		Tagged:       headerValue(h, headerTagCount) != "",
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
