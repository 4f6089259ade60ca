package s3store

import (
	"context"
	"net/http"

	"github.com/headrace/headrace/objstore"
)

// Prestage asks for the first byte's headers, in the form by which CoreWeave's LOTA fetches the whole object
// (https://docs.coreweave.com/docs/products/storage/object-storage/lota): no byte of it comes here, and nothing tells
// when it is there. Other stores take it for a HEAD.
func (b *Bucket) Prestage(ctx context.Context, key string) error {
	t := b.target("PrestageObject", key)
	if key == "" {
		return t.error(objstore.ErrInvalid)
	}
	header := make(http.Header, 8)
	header["Range"] = []string{"bytes=0-0"}
	resp, err := b.send(ctx, http.MethodHead, key, header)
	if err != nil {
		return b.client.fail(ctx, t, err)
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable: // the last one for an object that is empty
		return nil
	case http.StatusBadRequest:
		return b.explain(ctx, t)
	}
	return b.client.refusal(t, answer{status: resp.StatusCode, requestID: requestID(resp.Header), header: resp.Header})
}

var _ objstore.Prestager = (*Bucket)(nil)
