package integration

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// A credential that the store refuses is EACCES, and the log says why; when another is in the file, the mount goes on
// with it.
func TestCredentialRenewed(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"ExpiredToken", "InvalidAccessKeyId"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			bucket := memstore.New("bucket") // behind a server that takes any credential: who is refused is for the proxy to say
			for _, key := range []string{"a", "b"} {
				must[objstore.Entry](t)(bucket.Put(t.Context(), key, bytes.NewReader(make([]byte, mib)), mib, objstore.Condition{}, objstore.Attributes{}))
			}
			server := httptest.NewServer(s3front.New(s3front.Options{Buckets: []objstore.Bucket{bucket}}))
			atEnd(t, server.Close)
			p := newProxy(t, server.URL)
			file := filepath.Join(t.TempDir(), "credentials")
			give := func(token string) {
				t.Helper()
				text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n", accessKey, secretKey, token)
				if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(file+".new", file); err != nil {
					t.Fatal(err)
				}
			}
			give("first")
			m := startMount(t, mountSpec{
				source: "s3://bucket", endpoint: p.endpoint(), provoked: slog.LevelError, flags: []string{"--read-only", "--metadata-ttl", "0s"},
				environment: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SHARED_CREDENTIALS_FILE=" + file},
			})
			if _, err := os.ReadFile(m.path("a")); err != nil {
				t.Fatal(err)
			}
			p.inject(&fault{act: func(w http.ResponseWriter, r *http.Request, next http.Handler, healed <-chan struct{}) {
				if r.Header.Get("X-Amz-Security-Token") == "first" {
					answer(http.StatusForbidden, code)(w, r, next, healed)
					return
				}
				next.ServeHTTP(w, r)
			}})
			if _, err := os.ReadFile(m.path("b")); !isErrno(err, syscall.EACCES) {
				t.Errorf("with a credential that is refused: %v", err)
			}
			give("second")
			awaitRenewed(t, m.path("b"))
			m.inspect = warnsOnce(t, "credential")
		})
	}
}

// A container's credential that has expired, and that its agent refuses to renew, is EACCES, which the log says once;
// when the agent gives another, the mount goes on with it. The token for the agent is read anew for each question.
func TestCredentialOfContainer(t *testing.T) {
	t.Parallel()
	bucket := memstore.New("bucket")
	for _, key := range []string{"a", "b"} {
		must[objstore.Entry](t)(bucket.Put(t.Context(), key, bytes.NewReader(make([]byte, mib)), mib, objstore.Condition{}, objstore.Attributes{}))
	}
	store := httptest.NewServer(s3front.New(s3front.Options{Buckets: []objstore.Bucket{bucket}}))
	atEnd(t, store.Close)
	token := filepath.Join(t.TempDir(), "token")
	issue := func(text string) {
		t.Helper()
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var accepted atomic.Value
	accepted.Store("first")
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != accepted.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"AccessKeyId":%q,"SecretAccessKey":%q,"Token":"t","Expiration":%q}`, accessKey, secretKey, time.Now().UTC().Format(time.RFC3339)) // good for one request
	}))
	t.Cleanup(agent.Close)
	issue("first")
	m := startMount(t, mountSpec{
		source: "s3://bucket", endpoint: store.URL, provoked: slog.LevelError, flags: []string{"--read-only", "--metadata-ttl", "0s"},
		environment: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_CONTAINER_CREDENTIALS_FULL_URI=" + agent.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + token},
	})
	if _, err := os.ReadFile(m.path("a")); err != nil {
		t.Fatal(err)
	}
	accepted.Store("second")
	for range 3 {
		if _, err := os.ReadFile(m.path("b")); !isErrno(err, syscall.EACCES) {
			t.Errorf("with a credential that has expired: %v", err)
		}
	}
	issue("second")
	awaitRenewed(t, m.path("b"))
	m.inspect = warnsOnce(t, "")
}

// awaitRenewed reads a file until its mount uses the new credential. Nothing but EACCES comes until then.
func awaitRenewed(t *testing.T, path string) {
	t.Helper()
	eventually(t, patience, "the mount to use the new credential", func() bool {
		_, err := os.ReadFile(path)
		if err != nil && !isErrno(err, syscall.EACCES) {
			t.Errorf("until then: %v", err)
		}
		return err == nil
	})
}

// warnsOnce looks at a log in which one line warns of something.
func warnsOnce(t *testing.T, something string) func([]logLine) {
	return func(lines []logLine) {
		said := 0
		for _, line := range lines {
			if line.level >= slog.LevelWarn && strings.Contains(line.text, something) {
				said++
			}
		}
		if said != 1 {
			t.Errorf("the log warns %d times of a %q, should once", said, something)
		}
	}
}
