package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/headrace/headrace/objstore"
)

// serverWork is how long a store may stay silent over what it does by itself: copying 5 GiB, putting parts together.
// AWS sends spaces in the meantime; other stores do not.
const serverWork = 5 * time.Minute

// Put stores body with one request, and a checksum that the store verifies. See [objstore.Putter].
func (b *Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	ifMatch, ifNoneMatch := headersOf(cond)
	t, c := b.target("PutObject", key), &b.client.checksums
	var out *s3.PutObjectOutput
	ctx = withPatience(ctx, b.patience())
	sum, err := c.try(c.algorithm(), body, func(sum checksum) (err error) {
		defer func(begin time.Time) { b.timed(begin, size, err) }(time.Now())
		out, err = b.api.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &b.name, Key: &key, Body: body, ContentLength: &size, IfMatch: ifMatch, IfNoneMatch: ifNoneMatch,
			ChecksumCRC64NVME: sum.crc64(), ChecksumCRC32C: sum.crc32c(), ContentMD5: sum.md5(),
			ContentType: optional(attrs.ContentType), Metadata: attrs.Metadata, StorageClass: types.StorageClass(attrs.StorageClass),
			Tagging: optional(attrs.Tags),
		}, b.unsignedPayload, with(attrs.Headers))
		if err != nil {
			err = writeError(b.client.fail(ctx, t, err), cond)
		}
		return err
	})
	if err != nil {
		return objstore.Entry{}, err
	}
	e := objstore.Entry{Key: key, Size: size, ETag: normaliseETag(aws.ToString(out.ETag)), StorageClass: storageClass(attrs.StorageClass)}
	if err := t.taken(e.ETag); err != nil {
		return e, err
	}
	return e, t.errorOf(c.verify(sum, sum.echo(out.ChecksumCRC64NVME, out.ChecksumCRC32C), e.ETag, body))
}

// unsignedPayload has the body's SHA-256 be left out of the signature where TLS protects it: a checksum of the body
// goes with the request, and reading it once more is most of what sending costs.
func (b *Bucket) unsignedPayload(o *s3.Options) {
	if !b.client.tls() {
		return
	}
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

// with has an object be stored with headers of its own, byte for byte as some other client has given them: the SDK
// would take an Expires that is a time only.
func with(headers map[string]string) func(*s3.Options) {
	return func(o *s3.Options) {
		for name, value := range headers {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue(name, value))
		}
	}
}

// taken makes sure that what was sent is stored: a store gives it an ETag, and a web server says 200 to everything.
func (t target) taken(etag string) error {
	if etag != "" {
		return nil
	}
	return t.error(fmt.Errorf("%w: stored without an ETag", objstore.ErrCorrupt))
}

// Copy copies on the store's side. See [objstore.Copier].
func (b *Bucket) Copy(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) (objstore.Entry, error) {
	return b.copy(ctx, key, src, cond, &s3.CopyObjectInput{})
}

// CopyWith copies on the store's side, with other attributes. See [objstore.Copier].
func (b *Bucket) CopyWith(ctx context.Context, key string, src objstore.Version, cond objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	in := &s3.CopyObjectInput{
		MetadataDirective: types.MetadataDirectiveReplace, ContentType: optional(attrs.ContentType), Metadata: attrs.Metadata,
		StorageClass: types.StorageClass(attrs.StorageClass),
	}
	return b.copy(ctx, key, src, cond, in, with(attrs.Headers))
}

// copy makes a copy as in says, whose other fields it fills in.
func (b *Bucket) copy(ctx context.Context, key string, src objstore.Version, cond objstore.Condition, in *s3.CopyObjectInput, options ...func(*s3.Options)) (objstore.Entry, error) {
	t := b.target("CopyObject", key)
	if src.Size > objstore.MaxCopy {
		return objstore.Entry{}, t.error(fmt.Errorf("%w: more than 5 GiB in one copy", objstore.ErrInvalid))
	}
	in.Bucket, in.Key, in.CopySource, in.CopySourceIfMatch = &b.name, &key, b.copySource(src), sourceCondition(src)
	in.IfMatch, in.IfNoneMatch = headersOf(cond)
	out, err := b.api.CopyObject(withPatience(ctx, serverWork), in, options...)
	if err != nil {
		return objstore.Entry{}, b.copyError(ctx, b.client.fail(ctx, t, err), key, cond)
	}
	e := objstore.Entry{Key: key, Size: src.Size}
	if out.CopyObjectResult != nil {
		e.ETag, e.ModTime = normaliseETag(aws.ToString(out.CopyObjectResult.ETag)), seconds(out.CopyObjectResult.LastModified)
	}
	return e, t.taken(e.ETag) // or what was copied could be removed though there is no copy
}

// Delete removes key. See [objstore.Deleter].
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	return ignoreNotExist(b.client.fail(ctx, b.target("DeleteObject", key), err))
}

// DeleteVersion removes v, and nothing else, where the store looks at the condition. See [objstore.VersionDeleter].
func (b *Bucket) DeleteVersion(ctx context.Context, v objstore.Version) error {
	_, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &v.Key, IfMatch: aws.String(quoteETag(v.ETag))})
	return ignoreNotExist(b.client.fail(ctx, b.target("DeleteObject", v.Key), err))
}

// copyError tells a lost source from a lost condition: one status stands for both.
func (b *Bucket) copyError(ctx context.Context, err error, key string, cond objstore.Condition) error {
	if isMissing(err) {
		return replaceSentinel(err, objstore.ErrChanged) // the source, or what IfMatch names
	}
	if cond.IfNew && errors.Is(err, objstore.ErrChanged) {
		if _, statErr := b.Stat(ctx, key); statErr == nil {
			return replaceSentinel(err, objstore.ErrExists)
		}
	}
	return err
}

// writeError says in the terms of cond why a write did not happen.
func writeError(err error, cond objstore.Condition) error {
	switch {
	case cond.IfNew && errors.Is(err, objstore.ErrChanged):
		return replaceSentinel(err, objstore.ErrExists)
	case cond.IfMatch != "" && isMissing(err):
		return replaceSentinel(err, objstore.ErrChanged)
	}
	return err
}

// completeError is writeError for the end of a multipart upload, where NoSuchUpload is missing too, and stays what it
// is.
func completeError(err error, cond objstore.Condition) error {
	if codeOf(err) == codeNoUpload {
		return err
	}
	return writeError(err, cond)
}

// copyPartError tells a lost source, which is a changed version, from a lost upload. Some stores look at the range
// before they look at the condition: a range that the source does not have any more is a changed version, too.
func (b *Bucket) copyPartError(ctx context.Context, err error, src objstore.Version) error {
	switch {
	case isMissing(err) && codeOf(err) != codeNoUpload:
		return replaceSentinel(err, objstore.ErrChanged)
	case errors.Is(err, objstore.ErrInvalid):
		now, statErr := b.Stat(ctx, src.Key)
		if isMissing(statErr) || (statErr == nil && objstore.VersionOf(b, now) != src) {
			return replaceSentinel(err, objstore.ErrChanged)
		}
	}
	return err
}

const codeNoUpload = "NoSuchUpload"

// codeOf is the store's code for err.
func codeOf(err error) string {
	var e *objstore.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isMissing tells that a key does not exist, in a bucket that does.
func isMissing(err error) bool {
	return errors.Is(err, objstore.ErrNotExist) && !errors.Is(err, objstore.ErrNoBucket)
}

func replaceSentinel(err, sentinel error) error {
	var e *objstore.Error
	if errors.As(err, &e) {
		e.Err = sentinel
	}
	return err
}

func ignoreNotExist(err error) error {
	if isMissing(err) {
		return nil
	}
	return err
}

func headersOf(cond objstore.Condition) (ifMatch, ifNoneMatch *string) {
	switch {
	case cond.IfNew:
		return nil, aws.String("*")
	case cond.IfMatch != "":
		return aws.String(quoteETag(cond.IfMatch)), nil
	}
	return nil, nil
}

func (b *Bucket) copySource(src objstore.Version) *string {
	return aws.String(b.name + "/" + escapeKey(src.Key))
}

func sourceCondition(src objstore.Version) *string {
	if src.ETag == "" {
		return nil
	}
	return aws.String(quoteETag(src.ETag))
}
