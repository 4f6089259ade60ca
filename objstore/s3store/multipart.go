package s3store

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/headrace/headrace/objstore"
)

// CreateUpload begins a multipart upload. See [objstore.Multipart] for this and the methods below.
func (b *Bucket) CreateUpload(ctx context.Context, key string, attrs objstore.Attributes) (string, error) {
	out, err := b.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &key,
		ContentType: optional(attrs.ContentType), Metadata: attrs.Metadata, StorageClass: types.StorageClass(attrs.StorageClass),
	})
	if err != nil {
		return "", b.client.fail(ctx, b.target("CreateMultipartUpload", key), err)
	}
	id := aws.ToString(out.UploadId)
	if id == "" {
		return "", b.target("CreateMultipartUpload", key).error(fmt.Errorf("%w: an upload without an id", objstore.ErrCorrupt))
	}
	return id, nil
}

// UploadPart stores one part.
func (b *Bucket) UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (objstore.Part, error) {
	out, err := b.api.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID, PartNumber: aws.Int32(int32(number)), Body: body, ContentLength: &size,
	})
	if err != nil {
		return objstore.Part{}, b.client.fail(ctx, b.target("UploadPart", key), err)
	}
	part := objstore.Part{Number: number, ETag: normaliseETag(aws.ToString(out.ETag)), Size: size}
	return part, b.target("UploadPart", key).taken(part.ETag)
}

// CopyPart makes a part of stored bytes.
func (b *Bucket) CopyPart(ctx context.Context, key, uploadID string, number int, src objstore.Version, r objstore.Range) (objstore.Part, error) {
	t := b.target("UploadPartCopy", key)
	if r.Off < 0 || r.Empty() || r.End() > src.Size {
		return objstore.Part{}, t.error(fmt.Errorf("%w: range %v of %d bytes", objstore.ErrInvalid, r, src.Size))
	}
	out, err := b.api.UploadPartCopy(withPatience(ctx, serverWork), &s3.UploadPartCopyInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID, PartNumber: aws.Int32(int32(number)),
		CopySource: b.copySource(src), CopySourceIfMatch: sourceCondition(src),
		CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", r.Off, r.End()-1)),
	})
	if err != nil {
		return objstore.Part{}, b.copyPartError(ctx, b.client.fail(ctx, t, err), src)
	}
	part := objstore.Part{Number: number, Size: r.Len}
	if out.CopyPartResult != nil {
		part.ETag = normaliseETag(aws.ToString(out.CopyPartResult.ETag))
	}
	return part, nil
}

// CompleteUpload makes the object appear.
func (b *Bucket) CompleteUpload(ctx context.Context, key, uploadID string, parts []objstore.Part, cond objstore.Condition) (objstore.Entry, error) {
	completed := make([]types.CompletedPart, len(parts))
	size := int64(0)
	for i, p := range parts {
		completed[i] = types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(quoteETag(p.ETag))}
		size += p.Size
	}
	ifMatch, ifNoneMatch := headersOf(cond)
	out, err := b.api.CompleteMultipartUpload(withPatience(ctx, serverWork), &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID, IfMatch: ifMatch, IfNoneMatch: ifNoneMatch,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed},
	})
	if err != nil {
		return objstore.Entry{}, completeError(b.client.fail(ctx, b.target("CompleteMultipartUpload", key), err), cond)
	}
	return objstore.Entry{Key: key, Size: size, ETag: normaliseETag(aws.ToString(out.ETag))}, nil
}

// AbortUpload drops an upload and its parts.
func (b *Bucket) AbortUpload(ctx context.Context, key, uploadID string) error {
	_, err := b.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &key, UploadId: &uploadID})
	return ignoreNotExist(b.client.fail(ctx, b.target("AbortMultipartUpload", key), err))
}
