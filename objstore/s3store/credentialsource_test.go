package s3store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/headrace/headrace/objstore"
)

// fixed is a source of one credential.
type fixed string

func (f fixed) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: string(f), SecretAccessKey: "s"}, nil
}

// When the sources are read anew after a refusal, and what a request hears that was signed with an older credential.
func TestCredentialsAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCredentialSource(fixed("A"), time.Minute)
		next, reads := "A", 0
		s.load = func(context.Context) (aws.CredentialsProvider, error) {
			reads++
			return fixed(next), nil
		}
		for _, step := range []struct {
			name    string
			after   time.Duration
			next    string // what the sources say now
			refused string
			certain bool
			want    bool // there is another credential
			reads   int  // of the sources, in all
		}{
			{"a bare refusal reads once", 0, "A", "A", false, false, 1},
			{"a certain one just after does not", 9 * time.Second, "B", "A", true, false, 1},
			{"but after the pause", time.Second, "B", "A", true, true, 2},
			{"who was refused with the older one needs no reading", 0, "B", "A", true, true, 2},
			{"nor if it is not certain", 0, "B", "A", false, true, 2},
			{"a bare refusal does not read", 9 * time.Minute, "C", "B", false, false, 2},
			{"for ten minutes", time.Minute, "C", "B", false, true, 3},
		} {
			time.Sleep(step.after)
			next = step.next
			if _, err := s.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := s.replaced(t.Context(), signature{key: step.refused}, step.certain)
			if got != step.want || reads != step.reads {
				t.Errorf("%s: %t after %d readings, want %t after %d", step.name, got, reads, step.want, step.reads)
			}
		}
	})
}

// A source that does not answer holds nobody up for ever, nor those who ask after it has come back.
func TestASourceThatHangs(t *testing.T) {
	isolate(t)
	var asked atomic.Int64
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			<-release
			return
		}
		_, _ = w.Write([]byte(`{"AccessKeyId":"KEY","SecretAccessKey":"s","Token":"t","Expiration":"2100-01-01T00:00:00Z"}`))
	}))
	defer server.Close()
	defer close(release)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL)
	c := newClient(t, Config{Endpoint: "http://127.0.0.1:1", credentialDeadline: 300 * time.Millisecond})
	for ended := time.Now().Add(30 * time.Second); ; {
		key, err := c.Identity(t.Context())
		if err == nil {
			if key != "KEY" {
				t.Errorf("the key is %q", key)
			}
			return
		}
		if !errors.Is(err, objstore.ErrTimeout) || errors.Is(err, objstore.ErrCredentials) {
			t.Fatal(err)
		}
		if time.Now().After(ended) {
			t.Fatal("the source is not asked again")
		}
	}
}

type hanging struct{}

func (hanging) Retrieve(ctx context.Context) (aws.Credentials, error) {
	<-ctx.Done()
	return aws.Credentials{}, ctx.Err()
}

// The deadline is a timeout, which is tried again; the end of the context is the context's.
func TestTheDeadlineOfASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCredentialSource(hanging{}, defaultCredentialDeadline)
		begun := time.Now()
		_, err := s.Retrieve(t.Context())
		err = new(Client).fail(t.Context(), target{op: "GetObject"}, err)
		if took := time.Since(begun); took != 30*time.Second || !errors.Is(err, objstore.ErrTimeout) {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Retrieve(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
	})
}

// Which failures of the first question mean that there is no credential.
func TestTheFirstCredential(t *testing.T) {
	for name, test := range map[string]struct {
		source string // the variable with its URL
		status int    // 0: nobody is there
		none   bool
	}{
		"agent out of order":       {"AWS_CONTAINER_CREDENTIALS_FULL_URI", http.StatusInternalServerError, false},
		"agent away":               {"AWS_CONTAINER_CREDENTIALS_FULL_URI", 0, false},
		"agent that throttles":     {"AWS_CONTAINER_CREDENTIALS_FULL_URI", http.StatusTooManyRequests, false},
		"agent that refuses":       {"AWS_CONTAINER_CREDENTIALS_FULL_URI", http.StatusForbidden, true},
		"a machine without a role": {"AWS_EC2_METADATA_SERVICE_ENDPOINT", http.StatusNotFound, true},
		"a machine elsewhere":      {"AWS_EC2_METADATA_SERVICE_ENDPOINT", 0, true},
		"metadata out of order":    {"AWS_EC2_METADATA_SERVICE_ENDPOINT", http.StatusInternalServerError, false},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.status) }))
			defer server.Close()
			if test.status == 0 {
				server.Close()
			}
			t.Setenv(test.source, server.URL)
			c := newClient(t, Config{Endpoint: "http://127.0.0.1:1", credentialDeadline: 20 * time.Second})
			_, err := c.Identity(t.Context())
			if err == nil || errors.Is(err, objstore.ErrCredentials) != test.none || errors.Is(err, objstore.ErrNotExist) {
				t.Error(err)
			}
		})
	}
}

// agent gives credentials that live for an hour, as long as it works.
type agent struct {
	asked int
	hangs bool
	fails error
}

func (a *agent) Retrieve(ctx context.Context) (aws.Credentials, error) {
	a.asked++
	if a.hangs {
		<-ctx.Done()
		return aws.Credentials{}, ctx.Err()
	}
	return aws.Credentials{AccessKeyID: fmt.Sprint(a.asked), SecretAccessKey: "s", CanExpire: true, Expires: time.Now().Add(time.Hour)}, a.fails
}

// A credential is renewed minutes before it expires, by one request however many need it, and used to its end while
// that fails, without a storm of requests for another.
func TestCredentialsAreRenewedBeforeTheyExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, a := time.Now(), &agent{}
		s := newCredentialSource(aws.NewCredentialsCache(a, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewBefore }), defaultCredentialDeadline)
		expect := func(when time.Duration, key string, asked int) {
			t.Helper()
			time.Sleep(when - time.Since(begin))
			if when > 0 { // who renews it; the others do not wait for that
				_, _ = s.Retrieve(t.Context())
			}
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if c, err := s.Retrieve(t.Context()); err != nil || c.AccessKeyID != key {
						t.Errorf("at %v: key %s, %v; want %s", when, c.AccessKeyID, err, key)
					}
				})
			}
			all.Wait()
			if a.asked != asked {
				t.Errorf("at %v the source was asked %d times in all, want %d", when, a.asked, asked)
			}
		}
		expect(0, "1", 1)
		expect(54*time.Minute, "1", 1)
		expect(56*time.Minute, "2", 2)
		a.fails = errors.New("the agent is away")
		expect(112*time.Minute, "2", 3)
		expect(112*time.Minute+5*time.Second, "2", 3)
		expect(113*time.Minute, "2", 4)
		a.fails = nil
		expect(114*time.Minute, "5", 5)
		a.fails = errors.New("the agent is away")
		time.Sleep(time.Hour)
		if _, err := s.Retrieve(t.Context()); err == nil {
			t.Error("a credential that has expired is used")
		}
	})
}

// A source that hangs delays requests by a moment while the credential of before is good.
func TestARenewalThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agent{}
		s := newCredentialSource(a, defaultCredentialDeadline)
		first, err := s.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		a.hangs = true
		begin := time.Now()
		if c, err := s.Retrieve(t.Context()); err != nil || c != first || time.Since(begin) > renewPatience {
			t.Errorf("%+v, %v after %v", c, err, time.Since(begin))
		}
	})
}

// Once a credential has expired, a source that refuses another one is believed at once, one that fails is worth another
// attempt, and either is asked once in a while however many need it; the one that it gives then is used.
func TestAnExpiredCredential(t *testing.T) {
	for _, c := range []struct {
		name   string
		fails  error
		passes bool
	}{
		{"refused", fs.ErrNotExist, false},
		{"away", errors.New("connection refused"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &agent{}
				s := newCredentialSource(aws.NewCredentialsCache(a, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewBefore }), defaultCredentialDeadline)
				if _, err := s.Retrieve(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				a.fails = c.fails
				for range 3 {
					asked := a.asked
					for range 100 {
						_, err := s.Retrieve(t.Context())
						err = new(Client).fail(t.Context(), target{op: "GetObject"}, err)
						if !errors.Is(err, objstore.ErrCredentials) || !errors.Is(err, objstore.ErrPermission) || errors.Is(err, objstore.ErrTimeout) != c.passes {
							t.Fatal(err)
						}
					}
					if a.asked != asked+1 {
						t.Errorf("the source was asked %d times", a.asked-asked)
					}
					time.Sleep(failurePause)
				}
				a.fails = nil
				if _, err := s.Retrieve(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
