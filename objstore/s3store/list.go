package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/headrace/headrace/objstore"
)

const (
	// maxPage is S3's own limit for a page, in names.
	maxPage = 1000
	// maxListing bounds a page's document, in bytes: 1000 keys of 1024 bytes, each escaped to three, with room to spare.
	maxListing = 16 << 20
)

// List yields the pages of a ListObjectsV2. See [objstore.Lister].
func (b *Bucket) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		t := b.target("ListObjectsV2", opts.Prefix)
		for token := ""; ; {
			l, err := b.listOnce(ctx, t, opts, token)
			if err != nil {
				yield(objstore.Page{}, err)
				return
			}
			page, err := l.page()
			if err == nil {
				err = b.completeEntries(ctx, &page)
			}
			if err == nil && l.IsTruncated && l.NextContinuationToken == "" {
				err = fmt.Errorf("%w: a listing that goes on without saying where", objstore.ErrCorrupt)
			}
			if err == nil && l.IsTruncated && l.NextContinuationToken == token {
				err = fmt.Errorf("%w: a listing that goes on where it began", objstore.ErrCorrupt)
			}
			if err != nil {
				yield(objstore.Page{}, t.error(err))
				return
			}
			if !yield(page, nil) || page.Last {
				return
			}
			token = l.NextContinuationToken
		}
	}
}

// completeEntries asks for what a listing does not say: some stores leave out ETags, without which there is no version.
func (b *Bucket) completeEntries(ctx context.Context, page *objstore.Page) error {
	kept := page.Entries[:0]
	for _, e := range page.Entries {
		b.noteTag(e)
		if e.ETag == "" {
			full, err := b.Stat(ctx, e.Key)
			if errors.Is(err, objstore.ErrNotExist) { // gone since
				continue
			}
			if err != nil {
				return err
			}
			e = full
		}
		kept = append(kept, e)
	}
	page.Entries = kept
	return nil
}

// listOnce asks for one page; token is where it starts, "" for the beginning.
func (b *Bucket) listOnce(ctx context.Context, t target, opts objstore.ListOptions, token string) (listing, error) {
	resp, err := b.sendURL(ctx, http.MethodGet, b.listURL(opts, token), make(http.Header, 8))
	if err != nil {
		return listing{}, b.client.fail(ctx, t, err)
	}
	if resp.StatusCode != http.StatusOK {
		return listing{}, b.client.refusal(t, readAnswer(resp))
	}
	return b.readListing(ctx, t, resp)
}

// readListing reads the document of an answer with status 200, and closes it.
func (b *Bucket) readListing(ctx context.Context, t target, resp *http.Response) (listing, error) {
	defer resp.Body.Close()
	document, err := io.ReadAll(io.LimitReader(resp.Body, maxListing))
	if err != nil {
		return listing{}, b.client.fail(ctx, t, err)
	}
	l, err := parseListing(document)
	if err == nil {
		return l, nil
	}
	if wrong := checkRoot(resp, document, listingRoot); wrong != nil {
		return listing{}, b.client.fail(ctx, t, wrong)
	}
	return listing{}, t.error(err)
}

// listURL is the request for a page. Spaces are escaped as %20: signatures know no plus signs.
func (b *Bucket) listURL(opts objstore.ListOptions, token string) *url.URL {
	query := url.Values{"list-type": {"2"}, "encoding-type": {"url"}}
	for name, value := range map[string]string{
		"prefix": opts.Prefix, "delimiter": opts.Delimiter, "start-after": opts.StartAfter, "continuation-token": token,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if opts.PageSize > 0 {
		query.Set("max-keys", strconv.Itoa(min(opts.PageSize, maxPage)))
	}
	u := b.at().bucket()
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u
}

// ListUploads yields the uploads under way. See [objstore.Multipart].
func (b *Bucket) ListUploads(ctx context.Context, prefix string) iter.Seq2[objstore.Upload, error] {
	return func(yield func(objstore.Upload, error) bool) {
		t := b.target("ListMultipartUploads", prefix)
		in := &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: optional(prefix), EncodingType: types.EncodingTypeUrl}
		for {
			out, err := b.api.ListMultipartUploads(ctx, in)
			if err != nil {
				yield(objstore.Upload{}, b.client.fail(ctx, t, err))
				return
			}
			for i := range out.Uploads {
				u := &out.Uploads[i]
				key, err := decodeKey(string(out.EncodingType), aws.ToString(u.Key))
				if err != nil {
					yield(objstore.Upload{}, t.error(err))
					return
				}
				if !yield(objstore.Upload{Key: key, ID: aws.ToString(u.UploadId), Initiated: seconds(u.Initiated)}, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			marker, err := decodeKey(string(out.EncodingType), aws.ToString(out.NextKeyMarker))
			if err == nil && marker == aws.ToString(in.KeyMarker) && aws.ToString(out.NextUploadIdMarker) == aws.ToString(in.UploadIdMarker) {
				err = fmt.Errorf("%w: a listing that goes on where it began", objstore.ErrCorrupt)
			}
			if err != nil {
				yield(objstore.Upload{}, t.error(err))
				return
			}
			in.KeyMarker, in.UploadIdMarker = &marker, out.NextUploadIdMarker
		}
	}
}

// optional is nil for "", which S3 would take as a value.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// seconds cuts a time to what LIST and HEAD agree on.
func seconds(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}
