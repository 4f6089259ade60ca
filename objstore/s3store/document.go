package s3store

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/headrace/headrace/objstore"
)

// errorRoot is the element that a store refuses with; some do so after they have said 200.
const errorRoot = "Error"

// wrongDocument says that an answer with status 200 does not hold what was asked for: a store's refusal, or a page of a
// web server or proxy, which an indulgent parser takes for a listing of nothing.
type wrongDocument struct {
	want, got string // names of root elements; got is "" for what is no XML
	answer    answer
}

func (e *wrongDocument) Error() string {
	if e.got == "" {
		return fmt.Sprintf("an answer that is no %s", e.want)
	}
	return fmt.Sprintf("an answer that is no %s but <%.40s>", e.want, e.got)
}

// checkRoot returns a *wrongDocument unless document is a want.
func checkRoot(resp *http.Response, document []byte, want string) error {
	got := rootOf(document)
	if got == want {
		return nil
	}
	wrong := &wrongDocument{want: want, got: got, answer: answer{status: resp.StatusCode, requestID: requestID(resp.Header), header: resp.Header}}
	if got == errorRoot {
		wrong.answer = answerOf(resp.StatusCode, resp.Header, document)
	}
	return wrong
}

// rootOf is the name of the outermost element, without its namespace.
func rootOf(document []byte) string {
	decoder := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := decoder.RawToken()
		if err != nil {
			return ""
		}
		if start, ok := token.(xml.StartElement); ok {
			return start.Name.Local
		}
	}
}

// refusalOfDocument is the error for an answer that holds something else.
func (c *Client) refusalOfDocument(t target, wrong *wrongDocument) error {
	if wrong.got == errorRoot {
		return c.refusal(t, wrong.answer)
	}
	return &objstore.Error{
		Op: t.op, Bucket: t.bucket, Key: t.key, Status: wrong.answer.status, RequestID: wrong.answer.requestID,
		Err: fmt.Errorf("%w: %w", objstore.ErrCorrupt, wrong),
	}
}

// checkListings makes the SDK's listings hold the document that they should: it does not look at the name of the root.
func checkListings(stack *middleware.Stack) error {
	roots := map[string]string{"ListBuckets": "ListAllMyBucketsResult", "ListMultipartUploads": "ListMultipartUploadsResult"}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("CheckListings",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleDeserialize(ctx, in)
			resp, ok := out.RawResponse.(*smithyhttp.Response)
			root := roots[awsmiddleware.GetOperationName(ctx)]
			if err != nil || !ok || root == "" || resp.StatusCode != http.StatusOK {
				return out, metadata, err
			}
			document, err := io.ReadAll(io.LimitReader(resp.Body, maxListing))
			if err = errors.Join(err, resp.Body.Close()); err == nil {
				err = checkRoot(resp.Response, document, root)
			}
			resp.Body = io.NopCloser(bytes.NewReader(document))
			return out, metadata, err
		}), middleware.After) // next to the transport: before what reads the document
}
