package s3store

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		op     string
		status int
		code   string
		want   error
	}{
		{"GetObject", 404, "NoSuchKey", objstore.ErrNotExist},
		{"HeadObject", 404, "", objstore.ErrNotExist},
		{"GetObject", 404, "NoSuchBucket", objstore.ErrNoBucket},
		{"ListObjectsV2", 404, "", objstore.ErrNoBucket},
		{"UploadPart", 404, "NoSuchUpload", objstore.ErrNotExist},
		{"GetObject", 403, "AccessDenied", objstore.ErrPermission},
		{"HeadObject", 403, "", objstore.ErrPermission},
		{"GetObject", 403, "InvalidAccessKeyId", objstore.ErrCredentials},
		{"GetObject", 403, "SignatureDoesNotMatch", objstore.ErrCredentials},
		{"GetObject", 400, "ExpiredToken", objstore.ErrCredentials},
		{"GetObject", 401, "", objstore.ErrCredentials},
		{"GetObject", 403, "RequestTimeTooSkewed", objstore.ErrClockSkew},
		{"GetObject", 403, "InvalidObjectState", objstore.ErrArchived},
		{"GetObject", 400, "InvalidRequest", objstore.ErrKeyNeeded},
		{"HeadObject", 400, "InvalidRequest", objstore.ErrKeyNeeded}, // as a GET of it has told
		{"PutObject", 400, "InvalidRequest", objstore.ErrInvalid},
		{"GetObject", 412, "PreconditionFailed", objstore.ErrChanged},
		{"GetObject", 416, "InvalidRange", objstore.ErrChanged},
		{"PutObject", 409, "ConditionalRequestConflict", objstore.ErrConflict},
		{"PutObject", 409, "", objstore.ErrConflict},
		{"PutObject", 400, "InvalidRegion", objstore.ErrConflict},
		{"GetObject", 503, "SlowDown", objstore.ErrThrottled},
		{"GetObject", 503, "", objstore.ErrThrottled},
		{"GetObject", 429, "", objstore.ErrThrottled},
		{"PutObject", 400, "RequestTimeout", objstore.ErrTimeout},
		{"PutObject", 408, "", objstore.ErrTimeout},
		{"PutObject", 403, "QuotaExceeded", objstore.ErrQuota},
		{"PutObject", 507, "XMinioStorageFull", objstore.ErrQuota},
		{"PutObject", 501, "NotImplemented", objstore.ErrUnsupported},
		{"PutObject", 405, "MethodNotAllowed", objstore.ErrUnsupported},
		{"PutObject", 400, "BadDigest", objstore.ErrCorrupt},
		{"PutObject", 400, "KeyTooLongError", objstore.ErrInvalid},
		{"PutObject", 400, "", objstore.ErrInvalid},
		{"GetObject", 500, "InternalError", nil},
		{"GetObject", 502, "", nil},
		{"GetObject", 301, "PermanentRedirect", nil},
	} {
		if got := classify(test.op, answer{status: test.status, code: test.code}); got != test.want {
			t.Errorf("%s %d %q: %v, want %v", test.op, test.status, test.code, got, test.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		"-7":                            0,
		"99999999999":                   0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0,
		"soon":                          0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestFailuresWithoutAnAnswer(t *testing.T) {
	c := &Client{}
	refused := errors.New("connection refused")
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"no credential", &url.Error{Op: "Get", Err: &credentialError{cause: errors.New("none found")}}, objstore.ErrCredentials},
		{"watchdog", &url.Error{Op: "Get", Err: errStalled}, objstore.ErrTimeout},
		{"dial", &url.Error{Op: "Get", Err: os.ErrDeadlineExceeded}, objstore.ErrTimeout},
		{"other", &url.Error{Op: "Get", Err: refused}, refused},
	} {
		err := c.fail(t.Context(), target{op: "GetObject", bucket: "b", key: "k"}, test.err)
		var e *objstore.Error
		if !errors.As(err, &e) || e.Op != "GetObject" || e.Key != "k" || !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.fail(ended, target{}, refused); err != context.Canceled {
		t.Errorf("after the end of the context: %v", err)
	}
}
