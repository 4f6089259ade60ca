package s3store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

func TestProfileGivesEndpointRegionAndCredential(t *testing.T) {
	isolate(t)
	var saw seen
	server := httptest.NewServer(s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}, Before: saw.before}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf("[profile cw]\nregion = US-EAST-04A\nendpoint_url = %s\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		server.URL, testAccessKey, testSecretKey)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	b, err := newClient(t, Config{Profile: "cw"}).Bucket(t.Context(), "bucket")
	if err != nil {
		t.Fatal(err)
	}
	use(t, b)
	saw.all(t, func(r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential="+testAccessKey+"/") ||
			!strings.Contains(r.Header.Get("Authorization"), "/US-EAST-04A/s3/") {
			t.Errorf("%s %s is signed otherwise", r.Method, r.URL)
		}
	})
	_, err = New(t.Context(), Config{Profile: "nobody"})
	if missing, ok := errors.AsType[*NoProfileError](err); !ok || missing.Profile != "nobody" || !errors.Is(err, objstore.ErrCredentials) {
		t.Errorf("a profile that does not exist: %v", err)
	}
}

func TestNoCredentialIsSaid(t *testing.T) {
	isolate(t)
	config := Config{Endpoint: "http://127.0.0.1:1"}
	config.dial = servePipes(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }).dial
	c := newClient(t, config)
	if _, err := c.Bucket(t.Context(), "bucket"); !errors.Is(err, objstore.ErrCredentials) {
		t.Errorf("Bucket: %v", err)
	}
	if _, err := c.Buckets(t.Context()); !errors.Is(err, objstore.ErrCredentials) {
		t.Errorf("Buckets: %v", err)
	}
}

// credentialEndpoint hands out credentials as a container's agent does: each has a serial number, and lives for life.
func credentialEndpoint(t *testing.T, life time.Duration) *atomic.Int64 {
	t.Helper()
	var given atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId":"KEY%d","SecretAccessKey":"s","Token":"t","Expiration":%q}`,
			given.Add(1), time.Now().Add(life).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL)
	return &given
}

// bucketOverChain is bucketOver with the SDK's chain of credentials.
func bucketOverChain(t *testing.T, handler http.HandlerFunc) *Bucket {
	t.Helper()
	config := Config{Endpoint: "http://127.0.0.1:1", dial: servePipes(t, handler).dial}
	b, err := newClient(t, config).bucketIn(t.Context(), "bucket", "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signer is the access key that a request was signed with.
func signer(r *http.Request) string {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(rest, "/")
	return key
}

func TestExpiredCredentialsAreRenewed(t *testing.T) {
	isolate(t)
	given := credentialEndpoint(t, 0) // expired when it arrives: each request needs another
	var last atomic.Value
	config := Config{Endpoint: "http://127.0.0.1:1"}
	config.dial = servePipes(t, func(w http.ResponseWriter, r *http.Request) {
		last.Store(signer(r))
		_, _ = io.WriteString(w, emptyListing)
	}).dial
	c := newClient(t, config)
	for i := 1; i <= 3; i++ {
		if _, err := c.Bucket(t.Context(), "bucket"); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("KEY%d", i); last.Load() != want {
			t.Errorf("request %d was signed with %v", i, last.Load())
		}
	}
	if n := given.Load(); n != 3 {
		t.Errorf("%d credentials were given out", n)
	}
}

// A revoked credential fails no request: each is made again with the one that is had in its place.
func TestARefusedCredentialIsAskedForAnew(t *testing.T) {
	isolate(t)
	given := credentialEndpoint(t, time.Hour)
	b := bucketOverChain(t, func(w http.ResponseWriter, r *http.Request) {
		if signer(r) == "KEY1" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>ExpiredToken</Code></Error>")
			return
		}
		_, _ = io.WriteString(w, emptyListing)
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := b.client.Bucket(t.Context(), "bucket"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := given.Load(); n != 2 {
		t.Errorf("%d credentials were asked for", n)
	}
}

func TestARotatedFileIsRead(t *testing.T) {
	isolate(t)
	file := filepath.Join(t.TempDir(), "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	write := func(key string) {
		text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = s\n", key)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const code = "InvalidAccessKeyId"
	version := objstore.Version{Bucket: "bucket", Key: "key", Size: 10}
	for name, test := range map[string]struct {
		status int // of the refusal of a HEAD; all others are refused with a code
		use    func(t *testing.T, b *Bucket) error
	}{
		"HEAD": {http.StatusForbidden, func(t *testing.T, b *Bucket) error {
			_, err := b.Stat(t.Context(), "key")
			return err
		}},
		"HEAD refused with 400": {http.StatusBadRequest, func(t *testing.T, b *Bucket) error {
			_, err := b.Stat(t.Context(), "key")
			return err
		}},
		"GET": {0, func(t *testing.T, b *Bucket) error {
			body, err := b.Open(t.Context(), version, objstore.Range{Len: 10})
			if err == nil {
				err = body.Close()
			}
			return err
		}},
		"PUT": {0, func(t *testing.T, b *Bucket) error {
			_, err := b.Put(t.Context(), "key", strings.NewReader("0123456789"), 10, objstore.Condition{}, objstore.Attributes{})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			write("OLD")
			good := "OLD"
			front := s3front.New(s3front.Options{Buckets: []objstore.Bucket{memstore.New("bucket")}})
			b := bucketOverChain(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case signer(r) == good:
					front.ServeHTTP(w, r)
				case r.Method == http.MethodHead:
					w.WriteHeader(test.status)
				default:
					w.WriteHeader(http.StatusForbidden)
					fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
				}
			})
			e, err := b.Put(t.Context(), "key", strings.NewReader("0123456789"), 10, objstore.Condition{}, objstore.Attributes{})
			if err != nil {
				t.Fatal(err)
			}
			version.ETag = e.ETag
			write("NEW")
			good = "NEW"
			if err := test.use(t, b); err != nil {
				t.Error(err)
			}
			body, err := b.Open(t.Context(), version, objstore.Range{Len: 10})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if got, err := io.ReadAll(body); err != nil || string(got) != "0123456789" {
				t.Errorf("what was written is %q, %v", got, err)
			}
			good = "NOBODY" // the sources have nothing newer: it is said, once
			if _, err := b.Open(t.Context(), version, objstore.Range{Len: 10}); !errors.Is(err, objstore.ErrCredentials) {
				t.Errorf("a credential that is refused for good: %v", err)
			}
		})
	}
}

func TestRefusalsAreNoStormOfRequestsForCredentials(t *testing.T) {
	isolate(t)
	given := credentialEndpoint(t, time.Hour)
	b := bucketOverChain(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	for range 20 {
		if _, err := b.Stat(t.Context(), "key"); !errors.Is(err, objstore.ErrPermission) {
			t.Fatal(err)
		}
	}
	if n := given.Load(); n != 2 {
		t.Errorf("%d credentials were asked for", n)
	}
}

func TestAnExpiredTokenIsNotAMissingObject(t *testing.T) {
	answer, names := "", emptyListing
	b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("list-type") {
			_, _ = io.WriteString(w, names)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, answer)
		}
	})
	answer = "<Error><Code>ExpiredToken</Code></Error>"
	if _, err := b.Stat(t.Context(), "key"); !errors.Is(err, objstore.ErrCredentials) {
		t.Errorf("expired token: %v", err)
	}
	answer = "<Error><Code>InvalidRequest</Code></Error>"
	_, err := b.Stat(t.Context(), "prefix")
	if e, ok := errors.AsType[*objstore.Error](err); !ok || !errors.Is(err, objstore.ErrNotExist) || e.Status != http.StatusBadRequest {
		t.Errorf("a prefix: %v", err)
	}
	// An object that a HEAD may not ask for like this, as one encrypted with its reader's key.
	names = `<ListBucketResult><Contents><Key>object</Key><ETag>1</ETag><Size>5</Size></Contents></ListBucketResult>`
	if _, err := b.Stat(t.Context(), "object"); !errors.Is(err, objstore.ErrKeyNeeded) || errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("an object that is listed: %v", err)
	}
}

func TestNoSecretIsTold(t *testing.T) {
	isolate(t)
	var log bytes.Buffer
	config := Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	var signature string
	status := http.StatusForbidden
	b := bucketOver(t, config, func(w http.ResponseWriter, r *http.Request) {
		_, signature, _ = strings.Cut(r.Header.Get("Authorization"), "Signature=")
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Amz-Bucket-Region", "elsewhere")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><AWSAccessKeyId>%s</AWSAccessKeyId><StringToSign>%s</StringToSign></Error>",
			testAccessKey, signature)
	})
	for _, status = range []int{http.StatusForbidden, http.StatusInternalServerError, 0} {
		_, openErr := b.Open(t.Context(), testVersion, objstore.Range{Len: 10})
		_, statErr := b.Stat(t.Context(), "key")
		_, putErr := b.Put(t.Context(), "key", bytes.NewReader(nil), 0, objstore.Condition{}, objstore.Attributes{})
		_, bucketErr := b.client.Bucket(t.Context(), "bucket")
		for _, err := range []error{openErr, statErr, putErr, bucketErr} {
			if err == nil {
				t.Fatal("a refused request has no error")
			}
			for _, secret := range []string{testAccessKey, testSecretKey, signature, "Authorization"} {
				if strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
					t.Errorf("an error tells %q: %v", secret, err)
				}
			}
		}
	}
	if text := log.String(); text == "" || strings.Contains(text, testSecretKey) || strings.Contains(text, testAccessKey) {
		t.Errorf("the log: %q", text)
	}
}

// Credentials of a web identity and of a container are renewed before they expire, and it is told when they really do.
func TestRenewalComesBeforeExpiry(t *testing.T) {
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	const sts = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>` +
		`<AccessKeyId>KEY</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration>` +
		`</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`
	const agent = `{"AccessKeyId":"KEY","SecretAccessKey":"s","Token":"t","Expiration":"%s"}`
	for name, c := range map[string]struct {
		answer, url string
		more        map[string]string
	}{
		"web identity": {sts, "AWS_ENDPOINT_URL_STS", map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_REGION": "us-east-1", "AWS_WEB_IDENTITY_TOKEN_FILE": "token"}},
		"container":    {agent, "AWS_CONTAINER_CREDENTIALS_FULL_URI", nil},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			t.Chdir(t.TempDir())
			if err := os.WriteFile("token", []byte("identity"), 0o600); err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				fmt.Fprintf(w, c.answer, expires.Format(time.RFC3339))
			}))
			defer server.Close()
			t.Setenv(c.url, server.URL)
			for variable, value := range c.more {
				t.Setenv(variable, value)
			}
			client := newClient(t, Config{Endpoint: "http://127.0.0.1:1"})
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if facts, err := client.Credential(t.Context()); err != nil || facts.KeyID != "KEY" || !facts.Expires.Equal(expires) {
						t.Errorf("%+v, %v; want an expiry of %v", facts, err, expires)
					}
				})
			}
			all.Wait()
			held, err := client.credentials.Retrieve(t.Context())
			if err != nil || !held.Expires.Equal(expires.Add(-renewBefore)) {
				t.Errorf("renewed at %v, %v; expires at %v", held.Expires, err, expires)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("the source was asked %d times", n)
			}
		})
	}
}
