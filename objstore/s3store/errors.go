package s3store

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/headrace/headrace/objstore"
)

// target is what a request was about, for its error.
type target struct{ op, bucket, key string }

// answer is what a store said when it refused.
type answer struct {
	status    int
	code      string // "" when there was no body to say it: a HEAD
	message   string
	requestID string
	region    string // where the bucket is, if the answer is about that
	header    http.Header
}

// codeNewBucket is what CoreWeave answers for a bucket that it has just made: for a minute, not all of it knows where
// the bucket is.
const codeNewBucket = "InvalidRegion"

// sentinelByCode maps the codes of S3, and those of MinIO, Ceph and other stores beside it, where the code says more
// than the status or something else.
func sentinelByCode(code string) error {
	switch code {
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion":
		return objstore.ErrNotExist
	case "NoSuchBucket":
		return objstore.ErrNoBucket
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		return objstore.ErrPermission
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired",
		"InvalidSecurity", "MissingSecurityHeader", "CredentialsNotSupported", "NotSignedUp", "UnrecognizedClientException",
		"XAdminUserNotFound": // versitygw, of an access key it does not know
		return objstore.ErrCredentials
	case "RequestTimeTooSkewed", "RequestExpired":
		return objstore.ErrClockSkew
	case "InvalidObjectState":
		return objstore.ErrArchived
	case "PreconditionFailed", "InvalidRange":
		return objstore.ErrChanged
	case "BucketAlreadyExists", "BucketAlreadyOwnedByYou":
		return objstore.ErrExists
	case "ConditionalRequestConflict", "OperationAborted", "BucketNotEmpty",
		codeNewBucket:
		return objstore.ErrConflict
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling", "ThrottlingException", "ThrottledException",
		"RequestLimitExceeded", "RequestThrottled", "BandwidthLimitExceeded", "TooManyRequests", "ServerBusy":
		return objstore.ErrThrottled
	case "RequestTimeout", "RequestTimeoutException":
		return objstore.ErrTimeout
	case "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull", "InsufficientStorage":
		return objstore.ErrQuota
	case "NotImplemented", "XNotImplemented", "MethodNotAllowed":
		return objstore.ErrUnsupported
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return objstore.ErrCorrupt
	}
	return nil
}

// sentinelByStatus is the rest: what the status alone says. nil for redirects and failures of the server.
func sentinelByStatus(op string, status int) error {
	switch status {
	case http.StatusUnauthorized:
		return objstore.ErrCredentials
	case http.StatusForbidden:
		return objstore.ErrPermission
	case http.StatusNotFound:
		switch op {
		case "GetObject", "HeadObject", "CompleteMultipartUpload", "UploadPart", "UploadPartCopy", "AbortMultipartUpload", "CopyObject":
			return objstore.ErrNotExist
		}
		return objstore.ErrNoBucket
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return objstore.ErrUnsupported
	case http.StatusRequestTimeout:
		return objstore.ErrTimeout
	case http.StatusConflict:
		return objstore.ErrConflict
	case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return objstore.ErrChanged
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return objstore.ErrThrottled
	case http.StatusInsufficientStorage:
		return objstore.ErrQuota
	}
	if status >= 400 && status < 500 {
		return objstore.ErrInvalid
	}
	return nil
}

// classify is the whole mapping of answers to sentinels; nil where none fits.
func classify(op string, a answer) error {
	if s := sentinelByCode(a.code); s != nil {
		return s
	}
	if a.code == "InvalidRequest" && (op == "GetObject" || op == "HeadObject") {
		return objstore.ErrKeyNeeded // what S3 says of an object with SSE-C, and there is nothing else in our requests to say it of
	}
	return sentinelByStatus(op, a.status)
}

// refusal is the error for an answer.
func (c *Client) refusal(t target, a answer) error {
	e := &objstore.Error{
		Op: t.op, Bucket: t.bucket, Key: t.key, Status: a.status, Code: a.code, RequestID: a.requestID,
		RetryAfter: retryAfter(a.header, time.Now()), Err: classify(t.op, a),
	}
	switch {
	case e.Err == nil && a.message != "":
		e.Err = errors.New(a.message)
	case e.Err == nil:
		e.Err = fmt.Errorf("unexpected answer %q", http.StatusText(a.status))
	}
	return e
}

// fail turns an error of the SDK or of the transport into an *objstore.Error; nil stays nil, and the end of ctx is
// passed on as it is.
func (c *Client) fail(ctx context.Context, t target, err error) error {
	if err == nil {
		return nil
	}
	// First: what a source of credentials answered, in its own HTTP, is not the store's word on an object.
	if credential, ok := errors.AsType[*credentialError](err); ok {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &objstore.Error{Op: t.op, Bucket: t.bucket, Key: t.key, Err: credential.sentinel()}
	}
	if wrong, ok := errors.AsType[*wrongDocument](err); ok {
		return c.refusalOfDocument(t, wrong)
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		a := answer{status: response.HTTPStatusCode(), requestID: response.RequestID, header: response.Response.Header}
		var api smithy.APIError
		if errors.As(err, &api) {
			a.code, a.message = api.ErrorCode(), api.ErrorMessage()
		}
		if a.code != "" || a.status >= 300 { // else it is one that broke, which is as good as none
			return c.refusal(t, a)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &objstore.Error{Op: t.op, Bucket: t.bucket, Key: t.key, Err: cause(err)}
}

// cause is the sentinel for a request that had no answer, or else what went wrong, without the layers that say again
// what an objstore.Error says.
func cause(err error) error {
	if isTimeout(err) {
		return objstore.ErrTimeout
	}
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, objstore.ErrTimeout) || errors.As(err, &network) && network.Timeout()
}

// maxErrorBody, in bytes, is more than any store's error document.
const maxErrorBody = 16 << 10

// readAnswer reads what a response with an error status says, and closes it.
func readAnswer(resp *http.Response) answer {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		text = nil
	}
	return answerOf(resp.StatusCode, resp.Header, text)
}

// answerOf is what an error document says. Without one there is no code: the status says what is known.
func answerOf(status int, header http.Header, text []byte) answer {
	a := answer{status: status, requestID: requestID(header), header: header}
	var document struct {
		Code      string
		Message   string
		Region    string
		RequestID string `xml:"RequestId"`
	}
	if xml.Unmarshal(text, &document) == nil {
		a.code, a.message, a.region = document.Code, document.Message, document.Region
		if a.requestID == "" {
			a.requestID = document.RequestID
		}
	}
	return a
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 && seconds <= int(24*time.Hour/time.Second) {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
