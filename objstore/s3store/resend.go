package s3store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/headrace/headrace/objstore"
)

// resending decides whether a request that was answered is sent once more, signed anew: to where the answer points, or
// with a credential that has replaced the refused one. Neither is another attempt: the store has not tried the request.
type resending struct {
	client    *Client
	to        *url.URL // where the last answer pointed; nil at first
	redirects int
	renewed   bool // it was sent with a newer credential once
}

// again is told of an answer without success. code is the store's, "" where it gave none.
func (r *resending) again(ctx context.Context, resp *http.Response, code string) bool {
	if next := redirectTarget(resp); next != nil && r.redirects < redirectLimit {
		r.redirects++
		r.to = next
		return true
	}
	if r.client.anonymous || r.renewed || resp.Request == nil {
		return false
	}
	certain := sentinelByCode(code) == objstore.ErrCredentials || resp.StatusCode == http.StatusUnauthorized
	doubtful := resp.StatusCode == http.StatusForbidden && code == ""
	r.renewed = (certain || doubtful) && r.client.credentials.replaced(ctx, signatureIn(resp.Request.Header), certain)
	return r.renewed
}

// redirectTarget is where a redirect points that keeps the method, which a bucket answers with while its name is new;
// nil for others, which say that the bucket is in another region, and for one that leaves TLS: what is read and written
// would be open to all, and the signature to whoever repeats it.
func redirectTarget(resp *http.Response) *url.URL {
	if resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusPermanentRedirect {
		return nil
	}
	location := headerValue(resp.Header, "Location")
	if location == "" || resp.Request == nil {
		return nil
	}
	from := resp.Request.URL
	to, err := from.Parse(location)
	if err != nil || to.Host == "" || to.User != nil || (to.Scheme != from.Scheme && to.Scheme != "https") {
		return nil
	}
	return to
}

// codeIn is the store's code in a refusal of the credential.
func codeIn(resp *http.Response) string {
	switch resp.StatusCode { // with which stores refuse credentials
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		code, _ := peekCode(resp) // who reads the answer finds out that it broke
		return code
	}
	return ""
}

// peekCode reads the store's code out of an answer, and leaves the response as it was. "" when there is none; the error
// is that the answer broke.
func peekCode(resp *http.Response) (code string, err error) {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	resp.Body.Close()
	if err != nil {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text), brokenOff{err}))
		return "", err
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return answerOf(resp.StatusCode, resp.Header, text).code, nil
}

// brokenOff is the rest of an answer that broke.
type brokenOff struct{ err error }

func (b brokenOff) Read([]byte) (int, error) { return 0, b.err }

type redirectKey struct{}

// resend does the same for the SDK's requests: around what finds the endpoint and the credential, and signs.
func (c *Client) resend(stack *middleware.Stack) error {
	around := middleware.FinalizeMiddlewareFunc("Resend",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			first, ok := in.Request.(*smithyhttp.Request)
			if !ok {
				return next.HandleFinalize(ctx, in)
			}
			sending := resending{client: c}
			for {
				in.Request = first.Clone()
				out, metadata, err := next.HandleFinalize(context.WithValue(ctx, redirectKey{}, sending.to), in)
				resp := answerIn(err)
				if resp == nil || !sending.again(ctx, resp, codeInError(err)) {
					return out, metadata, err
				}
				if rewound := first.RewindStream(); rewound != nil {
					return out, metadata, err
				}
			}
		})
	aim := middleware.FinalizeMiddlewareFunc("Redirect",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			req, ok := in.Request.(*smithyhttp.Request)
			if to, _ := ctx.Value(redirectKey{}).(*url.URL); ok && to != nil {
				req.URL, req.Host = to, to.Host
			}
			return next.HandleFinalize(ctx, in)
		})
	if err := stack.Finalize.Insert(around, "ResolveAuthScheme", middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(aim, "Signing", middleware.Before)
}

// answerIn is the store's answer that an error of the SDK is about; nil if it is about something else, such as the
// answer of a source of credentials.
func answerIn(err error) *http.Response {
	var response *awshttp.ResponseError
	if _, ok := errors.AsType[*credentialError](err); ok || !errors.As(err, &response) {
		return nil
	}
	return response.Response.Response
}

// codeInError is the store's code in an error of the SDK.
func codeInError(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
