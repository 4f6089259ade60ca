package s3store

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/headrace/headrace/objstore"
)

// renameHosts are the endpoints of stores that have RenameObject: CoreWeave AI Object Storage, directly and by its node
// cache. https://docs.coreweave.com/products/storage/object-storage/buckets/rename-objects
var renameHosts = []string{"cwobject.com", "cwlota.com"}

// directoryBucket ends the names of AWS' buckets that have it.
const directoryBucket = "--x-s3"

// Rename moves an object atomically, where the store is known to be able to. It is not tried elsewhere: a store that
// does not know the request takes it for a PutObject of nothing, and would put an empty object in place of the
// destination. See [objstore.Renamer].
func (b *Bucket) Rename(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) error {
	t := b.target("RenameObject", key)
	if !b.Renames() {
		return t.error(objstore.ErrUnsupported)
	}
	ifMatch, ifNoneMatch := headersOf(cond)
	_, err := b.api.RenameObject(ctx, &s3.RenameObjectInput{
		Bucket: &b.name, Key: &key, RenameSource: aws.String(escapeKey(src.Key)), SourceIfMatch: sourceCondition(src),
		DestinationIfMatch: ifMatch, DestinationIfNoneMatch: ifNoneMatch,
	})
	if err = b.client.fail(ctx, t, err); err == nil {
		return nil
	}
	if cond.IfMatch != "" && errors.Is(err, objstore.ErrChanged) || isMissing(err) { // the source, or what IfMatch names
		return replaceSentinel(err, objstore.ErrChanged)
	}
	return b.copyError(ctx, err, key, cond)
}

// Renames tells whether the store has RenameObject, as far as is known.
func (b *Bucket) Renames() bool {
	if on := b.client.config.RenameObject; on != nil {
		return *on
	}
	if strings.HasSuffix(b.name, directoryBucket) {
		return true
	}
	u, err := url.Parse(aws.ToString(b.client.options.BaseEndpoint))
	if err != nil {
		return false
	}
	for _, host := range renameHosts {
		if u.Hostname() == host || strings.HasSuffix(u.Hostname(), "."+host) {
			return true
		}
	}
	return false
}

var (
	_ objstore.Renamer      = (*Bucket)(nil)
	_ objstore.RenameTeller = (*Bucket)(nil)
)
