package s3front

import (
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/headrace/headrace/objstore"
)

// errorDocument is the body of a refusal.
type errorDocument struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Region    string `xml:",omitempty"`
	RequestID string `xml:"RequestId"`
}

// refuse answers with an error document, which a HEAD has no room for.
func refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	writeXML(w, errorDocument{Code: code, Message: http.StatusText(status), RequestID: w.Header().Get("X-Amz-Request-Id")})
}

func (q *request) refuse(status int, code string) { refuse(q.w, q.r, status, code) }

// fail answers with what err is in S3's terms.
func (q *request) fail(err error) {
	status, code := statusOf(err)
	if code == "NoSuchKey" && q.query.Has("uploadId") {
		code = "NoSuchUpload"
	}
	q.refuse(status, code)
}

func statusOf(err error) (status int, code string) {
	for _, m := range []struct {
		sentinel error
		status   int
		code     string
	}{
		{objstore.ErrNoBucket, http.StatusNotFound, "NoSuchBucket"},
		{objstore.ErrNotExist, http.StatusNotFound, "NoSuchKey"},
		{objstore.ErrCredentials, http.StatusForbidden, "InvalidAccessKeyId"},
		{objstore.ErrClockSkew, http.StatusForbidden, "RequestTimeTooSkewed"},
		{objstore.ErrArchived, http.StatusForbidden, "InvalidObjectState"},
		{objstore.ErrKeyNeeded, http.StatusBadRequest, "InvalidRequest"},
		{objstore.ErrPermission, http.StatusForbidden, "AccessDenied"},
		{objstore.ErrChanged, http.StatusPreconditionFailed, "PreconditionFailed"},
		{objstore.ErrExists, http.StatusPreconditionFailed, "PreconditionFailed"},
		{objstore.ErrConflict, http.StatusConflict, "ConditionalRequestConflict"},
		{objstore.ErrThrottled, http.StatusServiceUnavailable, "SlowDown"},
		{objstore.ErrTimeout, http.StatusBadRequest, "RequestTimeout"},
		{objstore.ErrQuota, http.StatusForbidden, "QuotaExceeded"},
		{objstore.ErrInvalid, http.StatusBadRequest, "InvalidArgument"},
		{objstore.ErrUnsupported, http.StatusNotImplemented, "NotImplemented"},
		{objstore.ErrCorrupt, http.StatusBadRequest, "BadDigest"},
	} {
		if errors.Is(err, m.sentinel) {
			return m.status, m.code
		}
	}
	return http.StatusInternalServerError, "InternalError"
}

// answer sends a document.
func (q *request) answer(document any) {
	q.w.Header().Set("Content-Type", "application/xml")
	writeXML(q.w, document)
}

// writeXML cannot tell a client that went away; nor does anybody need to know.
func writeXML(w http.ResponseWriter, document any) {
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(document)
}
