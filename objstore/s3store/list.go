package s3store

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/headrace/headrace/objstore"
)

// List yields the pages of a ListObjectsV2. See [objstore.Lister].
func (b *Bucket) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		t := b.target("ListObjectsV2", opts.Prefix)
		in := &s3.ListObjectsV2Input{
			Bucket: &b.name, EncodingType: types.EncodingTypeUrl, Prefix: optional(opts.Prefix),
			Delimiter: optional(opts.Delimiter), StartAfter: optional(opts.StartAfter),
		}
		if opts.PageSize > 0 {
			in.MaxKeys = aws.Int32(int32(min(opts.PageSize, 1000)))
		}
		for {
			out, err := b.api.ListObjectsV2(ctx, in)
			if err != nil {
				yield(objstore.Page{}, b.client.fail(ctx, t, err))
				return
			}
			page, err := pageOf(out)
			if err != nil {
				yield(objstore.Page{}, t.error(err))
				return
			}
			if !yield(page, nil) || page.Last {
				return
			}
			if aws.ToString(out.NextContinuationToken) == "" {
				yield(objstore.Page{}, t.error(fmt.Errorf("%w: a listing that goes on without saying where", objstore.ErrCorrupt)))
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

func pageOf(out *s3.ListObjectsV2Output) (objstore.Page, error) {
	decode := decoder(out.EncodingType)
	page := objstore.Page{Last: !aws.ToBool(out.IsTruncated)}
	for i := range out.Contents {
		o := &out.Contents[i]
		key, err := decode(aws.ToString(o.Key))
		if err != nil {
			return page, err
		}
		page.Entries = append(page.Entries, objstore.Entry{
			Key: key, Size: aws.ToInt64(o.Size), ETag: normaliseETag(aws.ToString(o.ETag)),
			ModTime: seconds(o.LastModified), StorageClass: storageClass(string(o.StorageClass)),
		})
	}
	for _, p := range out.CommonPrefixes {
		prefix, err := decode(aws.ToString(p.Prefix))
		if err != nil {
			return page, err
		}
		page.Prefixes = append(page.Prefixes, prefix)
	}
	return page, nil
}

// decoder undoes what the store says it did to the keys. Asked to escape them, as XML cannot hold every key, S3 does so
// in the way of forms: a space is a plus sign.
func decoder(encoding types.EncodingType) func(string) (string, error) {
	if encoding != types.EncodingTypeUrl {
		return func(s string) (string, error) { return s, nil }
	}
	return func(s string) (string, error) {
		key, err := url.QueryUnescape(s)
		if err != nil {
			return "", fmt.Errorf("%w: a key that is not escaped as the listing says", objstore.ErrCorrupt)
		}
		return key, nil
	}
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
			decode := decoder(out.EncodingType)
			for i := range out.Uploads {
				u := &out.Uploads[i]
				key, err := decode(aws.ToString(u.Key))
				if err != nil {
					yield(objstore.Upload{}, t.error(err))
					return
				}
				if !yield(objstore.Upload{Key: key, ID: aws.ToString(u.UploadId), Initiated: seconds(u.Initiated)}, nil) {
					return
				}
			}
			marker, err := decode(aws.ToString(out.NextKeyMarker))
			if err != nil {
				yield(objstore.Upload{}, t.error(err))
				return
			}
			if !aws.ToBool(out.IsTruncated) || (marker == aws.ToString(in.KeyMarker) && aws.ToString(out.NextUploadIdMarker) == aws.ToString(in.UploadIdMarker)) {
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
