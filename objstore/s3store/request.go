package s3store

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

const (
	// emptyPayload is the SHA-256 of nothing: what requests without a body are signed with.
	emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

	headerContentSHA    = "X-Amz-Content-Sha256"
	headerRequestPayer  = "X-Amz-Request-Payer"
	headerSecurityToken = "X-Amz-Security-Token"
	requester           = "requester"
)

// send signs a request without a body for key, and sends it. See the package comment for why GET and HEAD of objects do
// not go through the SDK's operations.
func (b *Bucket) send(ctx context.Context, method, key string, header http.Header) (*http.Response, error) {
	return b.sendURL(ctx, method, b.at().object(key), header)
}

// sendURL sends a request without a body to u, and to where its answer points.
func (b *Bucket) sendURL(ctx context.Context, method string, u *url.URL, header http.Header) (*http.Response, error) {
	sending := resending{client: b.client, to: u}
	for {
		resp, err := b.sendOnce(ctx, method, sending.to, header)
		if err != nil || resp.StatusCode < 300 || !sending.again(ctx, resp, codeIn(resp)) {
			return resp, err
		}
		readAnswer(resp) // so that the connection can be used again
	}
}

func (b *Bucket) sendOnce(ctx context.Context, method string, u *url.URL, header http.Header) (*http.Response, error) {
	header["User-Agent"] = b.client.userAgent
	if b.client.config.RequesterPays {
		header[headerRequestPayer] = []string{requester}
	}
	req := (&http.Request{Method: method, URL: u, Host: u.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if !b.client.anonymous {
		credentials, err := b.client.credentials.Retrieve(ctx)
		if err != nil {
			return nil, err
		}
		header[headerContentSHA] = []string{emptyPayload}
		delete(header, headerSecurityToken) // of a credential before
		err = b.client.signer.SignHTTP(ctx, credentials, req, emptyPayload, b.endpoint.signingName, b.endpoint.signingRegion, time.Now())
		if err != nil {
			return nil, err
		}
	}
	return b.client.transport.Do(req)
}
