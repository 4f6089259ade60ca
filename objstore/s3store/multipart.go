package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/headrace/headrace/objstore"
)

// CreateUpload begins a multipart upload. See [objstore.Multipart] for this and the methods below.
func (b *Bucket) CreateUpload(ctx context.Context, key string, attrs objstore.Attributes) (string, error) {
	t, c := b.target("CreateMultipartUpload", key), &b.client.checksums
	var out *s3.CreateMultipartUploadOutput
	first := c.algorithm()
	if attrs.Copies {
		first = algorithmMD5
	}
	ctx = withPatience(ctx, b.patience())
	sum, err := c.try(first, strings.NewReader(""), func(sum checksum) (err error) {
		defer func(begin time.Time) { b.timed(begin, 0, err) }(time.Now())
		out, err = b.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &b.name, Key: &key, ChecksumAlgorithm: sum.algorithm.sdk(), ChecksumType: sum.algorithm.kind(),
			ContentType: optional(attrs.ContentType), Metadata: attrs.Metadata, StorageClass: types.StorageClass(attrs.StorageClass),
			Tagging: optional(attrs.Tags),
		}, with(attrs.Headers))
		if err != nil {
			err = b.client.fail(ctx, t, err)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	id := aws.ToString(out.UploadId)
	if id == "" {
		return "", t.error(fmt.Errorf("%w: an upload without an id", objstore.ErrCorrupt))
	}
	c.uploads.Store(id, sum.algorithm)
	return id, nil
}

// UploadPart stores one part, with a checksum that the store verifies.
func (b *Bucket) UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (objstore.Part, error) {
	t, c := b.target("UploadPart", key), &b.client.checksums
	var out *s3.UploadPartOutput
	ctx = withPatience(ctx, b.patience())
	sum, err := c.try(c.ofUpload(uploadID), body, func(sum checksum) (err error) {
		out, err = b.api.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &b.name, Key: &key, UploadId: &uploadID, PartNumber: aws.Int32(int32(number)), Body: body, ContentLength: &size,
			ChecksumCRC64NVME: sum.crc64(), ChecksumCRC32C: sum.crc32c(), ContentMD5: sum.md5(),
		}, b.unsignedPayload)
		if err != nil {
			err = b.client.fail(ctx, t, err)
		}
		return err
	})
	if err != nil {
		return objstore.Part{}, err
	}
	echo := sum.echo(out.ChecksumCRC64NVME, out.ChecksumCRC32C)
	part := objstore.Part{Number: number, ETag: normaliseETag(aws.ToString(out.ETag)), Size: size}
	if echo != nil {
		part.Checksum = sum.String()
	}
	if err := t.taken(part.ETag); err != nil {
		return part, err
	}
	return part, t.errorOf(c.verify(sum, echo, part.ETag, body))
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
		err = b.copyPartError(ctx, b.client.fail(ctx, t, err), src)
		if errors.Is(err, objstore.ErrInvalid) && b.client.checksums.ofUpload(uploadID) != algorithmMD5 { // MinIO cannot copy into an upload with a checksum
			err = replaceSentinel(err, objstore.ErrUnsupported)
		}
		return objstore.Part{}, err
	}
	part := objstore.Part{Number: number, Size: r.Len}
	if out.CopyPartResult != nil {
		r := out.CopyPartResult
		part.ETag = normaliseETag(aws.ToString(r.ETag))
		for _, sum := range []checksum{{algorithmCRC64, aws.ToString(r.ChecksumCRC64NVME)}, {algorithmCRC32C, aws.ToString(r.ChecksumCRC32C)}} {
			if sum.value != "" {
				part.Checksum = sum.String()
			}
		}
	}
	return part, t.taken(part.ETag)
}

// CompleteUpload makes the object appear, with a checksum of all of it where those of all parts are known.
func (b *Bucket) CompleteUpload(ctx context.Context, key, uploadID string, parts []objstore.Part, cond objstore.Condition) (objstore.Entry, error) {
	completed := make([]types.CompletedPart, len(parts))
	size := int64(0)
	for i, p := range parts {
		sum, _ := parseChecksum(p.Checksum)
		completed[i] = types.CompletedPart{
			PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(quoteETag(p.ETag)), ChecksumCRC64NVME: sum.crc64(), ChecksumCRC32C: sum.crc32c(),
		}
		size += p.Size
	}
	ifMatch, ifNoneMatch := headersOf(cond)
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID, IfMatch: ifMatch, IfNoneMatch: ifNoneMatch,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed},
	}
	sum, known := whole(parts)
	if known {
		in.ChecksumCRC64NVME, in.ChecksumType = sum.crc64(), types.ChecksumTypeFullObject
	}
	t := b.target("CompleteMultipartUpload", key)
	out, err := b.api.CompleteMultipartUpload(withPatience(ctx, serverWork), in)
	if err != nil {
		return objstore.Entry{}, completeError(b.client.fail(ctx, t, err), cond)
	}
	e := objstore.Entry{Key: key, Size: size, ETag: normaliseETag(aws.ToString(out.ETag))}
	if err := t.taken(e.ETag); err != nil {
		return e, err
	}
	b.client.checksums.uploads.Delete(uploadID)
	if told := aws.ToString(out.ChecksumCRC64NVME); known && told != "" && told != sum.value {
		return e, t.error(fmt.Errorf("%w: the store has crc64nvme %s, the parts have %s", objstore.ErrCorrupt, told, sum.value))
	}
	return e, nil
}

// AbortUpload drops an upload and its parts.
func (b *Bucket) AbortUpload(ctx context.Context, key, uploadID string) error {
	b.client.checksums.uploads.Delete(uploadID)
	_, err := b.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &key, UploadId: &uploadID})
	return ignoreNotExist(b.client.fail(ctx, b.target("AbortMultipartUpload", key), err))
}
