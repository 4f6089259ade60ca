package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/headrace/headrace/objstore"
)

const emptyListing = `<ListBucketResult></ListBucketResult>`

// TestNotAListing: a document that is none is never an empty directory.
func TestNotAListing(t *testing.T) {
	for document, want := range map[string]error{
		"": objstore.ErrCorrupt,
		"<html><body><h1>It works!</h1></body></html>":                    objstore.ErrCorrupt,
		`<!DOCTYPE html><html lang="en"><body>It works!</body></html>`:    objstore.ErrCorrupt,
		`<?xml version="1.0" comment="</"?><html/>`:                       objstore.ErrCorrupt,
		"<Error><Code>SlowDown</Code></Error>":                            objstore.ErrThrottled,
		`<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`:   objstore.ErrPermission,
		"<Error><Code>NoSuchBucket</Code><Message>gone</Message></Error>": objstore.ErrNoBucket,
		"<ListPartsResult/>":       objstore.ErrCorrupt,
		"<Other><Prefix/></Other>": objstore.ErrCorrupt,
		"welcome":                  objstore.ErrCorrupt,
	} {
		b := bucketOver(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, document) })
		for _, err := range b.List(t.Context(), objstore.ListOptions{}) {
			if !errors.Is(err, want) {
				t.Errorf("%q: %v", document, err)
			}
		}
		for _, err := range b.ListUploads(t.Context(), "") {
			if !errors.Is(err, want) {
				t.Errorf("%q: uploads: %v", document, err)
			}
		}
		if names, err := b.client.Buckets(t.Context()); !errors.Is(err, want) {
			t.Errorf("%q: buckets %q, %v", document, names, err)
		}
		if _, err := b.client.Bucket(t.Context(), "bucket"); !errors.Is(err, want) {
			t.Errorf("%q: a bucket: %v", document, err)
		}
	}
}

// TestNotStored: nothing is taken for stored because somebody said 200.
func TestNotStored(t *testing.T) {
	b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "<html><body><h1>It works!</h1></body></html>")
	})
	_, put := b.Put(t.Context(), "k", strings.NewReader("text"), 4, objstore.Condition{}, objstore.Attributes{})
	_, create := b.CreateUpload(t.Context(), "k", objstore.Attributes{})
	_, part := b.UploadPart(t.Context(), "k", "1", 1, strings.NewReader("text"), 4)
	src := objstore.Version{Key: "from", ETag: "e", Size: 4}
	_, copied := b.Copy(t.Context(), "k", src, objstore.Condition{})
	_, copiedWith := b.CopyWith(t.Context(), "k", src, objstore.Condition{}, objstore.Attributes{})
	_, copiedPart := b.CopyPart(t.Context(), "k", "1", 1, src, objstore.Range{Len: 4})
	_, completed := b.CompleteUpload(t.Context(), "k", "1", []objstore.Part{{Number: 1, ETag: "e", Size: 4}}, objstore.Condition{})
	for i, err := range []error{put, create, part, copied, copiedWith, copiedPart, completed} {
		if !errors.Is(err, objstore.ErrCorrupt) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestListingsOfTheSDK: the documents that are right pass.
func TestListingsOfTheSDK(t *testing.T) {
	b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("uploads") {
			_, _ = io.WriteString(w, `<s:ListMultipartUploadsResult xmlns:s="x"><s:Upload><s:Key>k</s:Key><s:UploadId>1</s:UploadId></s:Upload></s:ListMultipartUploadsResult>`)
			return
		}
		_, _ = io.WriteString(w, `<ListAllMyBucketsResult><Buckets><Bucket><Name>one</Name></Bucket></Buckets></ListAllMyBucketsResult>`)
	})
	found := 0
	for u, err := range b.ListUploads(t.Context(), "") {
		if found++; err != nil || u.Key != "k" || u.ID != "1" {
			t.Errorf("%+v, %v", u, err)
		}
	}
	if found != 1 {
		t.Errorf("%d uploads", found)
	}
	if names, err := b.client.Buckets(t.Context()); err != nil || len(names) != 1 || names[0] != "one" {
		t.Errorf("%q, %v", names, err)
	}
}

// TestAnswerThatBreaks: a write whose answer broke may have been done, so its status must not say that it was refused.
func TestAnswerThatBreaks(t *testing.T) {
	b := bucketOver(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "500")
		_, _ = io.WriteString(w, "<CompleteMultipartUploadResult>")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	_, err := b.CompleteUpload(t.Context(), "k", "1", []objstore.Part{{Number: 1, ETag: "1"}}, objstore.Condition{})
	if e, ok := errors.AsType[*objstore.Error](err); !ok || e.Status != 0 {
		t.Errorf("%v", err)
	}
}

// TestListingThatGoesRound ends.
func TestListingThatGoesRound(t *testing.T) {
	b := bucketOver(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken></ListBucketResult>`)
	})
	pages := 0
	for _, err := range b.List(t.Context(), objstore.ListOptions{}) {
		if pages++; err != nil {
			if !errors.Is(err, objstore.ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		if pages > 5 {
			break
		}
	}
	t.Error("it goes on")
}

// TestWithoutETag: what a listing does not say is asked for, and without it nothing is read.
func TestWithoutETag(t *testing.T) {
	etag, length := `"7"`, "5"
	b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("list-type") {
			_, _ = io.WriteString(w, `<ListBucketResult><Contents><Key>k</Key><Size>5</Size></Contents></ListBucketResult>`)
			return
		}
		w.Header()["Etag"] = []string{etag}
		if length != "" {
			w.Header().Set("Content-Length", length)
		} else {
			w.Header().Set("Transfer-Encoding", "chunked")
		}
	})
	for page, err := range b.List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 1 || page.Entries[0].ETag != "7" {
			t.Errorf("%+v, %v", page, err)
		}
	}
	if _, err := b.Open(t.Context(), objstore.Version{Bucket: "bucket", Key: "k", Size: 5}, objstore.Range{Len: 5}); !errors.Is(err, objstore.ErrInvalid) {
		t.Errorf("opened without an ETag: %v", err)
	}
	etag = ""
	if _, err := b.Stat(t.Context(), "k"); !errors.Is(err, objstore.ErrCorrupt) {
		t.Errorf("an object without an ETag: %v", err)
	}
	refused := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("list-type") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `<ListBucketResult><Contents><Key>k</Key><Size>5</Size></Contents></ListBucketResult>`)
	})
	if _, err := refused.Stat(t.Context(), "k"); !errors.Is(err, objstore.ErrInvalid) {
		t.Errorf("an object that neither a HEAD nor a listing tells of: %v", err)
	}
	etag, length = `"7"`, ""
	if e, err := b.Stat(t.Context(), "k"); !errors.Is(err, objstore.ErrCorrupt) {
		t.Errorf("an object without a size: %+v, %v", e, err)
	}
}

// TestModifiedForETag: where a store gives no ETags, the time of modification tells contents apart, and that is said
// once.
func TestModifiedForETag(t *testing.T) {
	modified := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	var said bytes.Buffer
	b := bucketOver(t, Config{Log: slog.New(slog.NewTextHandler(&said, nil))}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("list-type") {
			fmt.Fprintf(w, `<ListBucketResult><Contents><Key>k</Key><Size>5</Size><LastModified>%s</LastModified></Contents></ListBucketResult>`, modified.Format(time.RFC3339))
			return
		}
		w.Header().Set("Last-Modified", modified.Format(http.TimeFormat))
		w.Header().Set("Content-Length", "5")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "hello")
		}
	})
	e, err := b.Stat(t.Context(), "k")
	if err != nil || e.ETag == "" {
		t.Fatalf("%+v, %v", e, err)
	}
	for page, err := range b.List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 1 || page.Entries[0].ETag != e.ETag {
			t.Errorf("listed as %+v, %v; a HEAD says %q", page, err, e.ETag)
		}
	}
	v := objstore.Version{Bucket: "bucket", Key: "k", ETag: e.ETag, Size: 5}
	body, err := b.Open(t.Context(), v, objstore.Range{Len: 5})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_ = body.Close()
	modified = modified.Add(time.Second)
	if _, err := b.Open(t.Context(), v, objstore.Range{Len: 5}); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("after it was replaced: %v", err)
	}
	if text := said.String(); strings.Count(text, "gives no ETag") != 1 || !strings.Contains(text, "key=k") {
		t.Errorf("it is not said once, and of which object: %q", text)
	}
}

// renewal is a source of credentials that gives one, and then an answer of its own.
type renewal struct {
	given bool
	err   error
}

func (r *renewal) Retrieve(context.Context) (aws.Credentials, error) {
	if !r.given {
		r.given = true
		return aws.Credentials{AccessKeyID: "KEY", SecretAccessKey: "s"}, nil
	}
	return aws.Credentials{}, r.err
}

// TestRenewalFails: what the source of credentials answers is not the store's word, and means that there is no
// credential any more.
func TestRenewalFails(t *testing.T) {
	for status, passes := range map[int]bool{http.StatusNotFound: false, http.StatusForbidden: false, http.StatusServiceUnavailable: true} {
		answer := &awshttp.ResponseError{RequestID: "sso", ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{}}}, Err: errors.New("no role"),
		}}
		b := bucketOver(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"1"`) })
		source := newCredentialSource(&renewal{err: fmt.Errorf("sso: %w", answer)}, time.Minute)
		if _, err := source.Retrieve(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := source.Retrieve(t.Context())
		err = b.client.fail(t.Context(), b.target("HeadObject", "k"), err)
		for _, wrong := range []error{objstore.ErrNotExist, objstore.ErrThrottled} {
			if errors.Is(err, wrong) {
				t.Errorf("%d: %v", status, err)
			}
		}
		if !errors.Is(err, objstore.ErrPermission) || !errors.Is(err, objstore.ErrCredentials) || errors.Is(err, objstore.ErrTimeout) != passes {
			t.Errorf("%d: %v; worth another attempt: %t", status, err, passes)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.client.fail(ended, b.target("HeadObject", "k"), &credentialError{cause: answer, passing: true}); err != context.Canceled {
			t.Errorf("%d, after the end of the context: %v", status, err)
		}
	}
	first := newCredentialSource(&renewal{given: true, err: fs.ErrNotExist}, time.Minute)
	_, err := first.Retrieve(t.Context())
	c := newClient(t, Config{Endpoint: "http://127.0.0.1:1", NoSignRequest: true})
	if err = c.fail(t.Context(), target{op: "HeadObject"}, err); !errors.Is(err, objstore.ErrCredentials) || !errors.Is(err, objstore.ErrPermission) {
		t.Errorf("none at all: %v", err)
	}
}
