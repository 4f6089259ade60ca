package s3store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// reloadPause is how long a refused credential is kept at least before its source is read anew: a store that refuses
// everything must not become a storm of requests for credentials.
const reloadPause = 10 * time.Second

// credentialSource hands out the SDK's credentials. The SDK caches them and renews those that expire. This adds what the
// SDK does not: it tells a missing credential from a hiccup, and it reads the sources anew after a refusal, since a
// credential may be rotated before it expires, and one in a file has no expiry at all.
type credentialSource struct {
	load func(ctx context.Context) (aws.CredentialsProvider, error) // reads the sources; nil when there is nothing to read
	had  atomic.Bool                                                // whether there ever was a credential

	mu     sync.Mutex // guards what follows
	inner  aws.CredentialsProvider
	stale  bool      // the store has refused what inner gives
	loaded time.Time // of the last reading after a refusal
}

// credentialError says that there is no credential to sign with, and has never been one.
type credentialError struct{ cause error }

func (e *credentialError) Error() string { return e.cause.Error() }
func (e *credentialError) Unwrap() error { return e.cause }

// Retrieve returns the credential of now. A renewal that fails is an ordinary failure, worth another attempt; only when
// there never was a credential is there none.
func (s *credentialSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := s.provider(ctx).Retrieve(ctx)
	if err == nil {
		if !s.had.Load() {
			s.had.Store(true)
		}
		return c, nil
	}
	if ctx.Err() == nil && !s.had.Load() {
		return aws.Credentials{}, &credentialError{err}
	}
	return aws.Credentials{}, err
}

// provider is where credentials come from now.
func (s *credentialSource) provider(ctx context.Context) aws.CredentialsProvider {
	s.mu.Lock()
	inner, reload := s.inner, s.stale && s.load != nil && time.Since(s.loaded) >= reloadPause
	if reload {
		s.loaded, s.stale = time.Now(), false
	}
	s.mu.Unlock()
	if !reload {
		return inner
	}
	fresh, err := s.load(ctx)
	if err != nil { // files in the middle of being replaced, perhaps: the next refusal tries again
		return inner
	}
	s.mu.Lock()
	s.inner = fresh
	s.mu.Unlock()
	return fresh
}

// refused tells that the store has not taken the credential.
func (s *credentialSource) refused() {
	s.mu.Lock()
	s.stale = true
	s.mu.Unlock()
}

// anonymous tells whether requests are not to be signed.
func anonymous(p aws.CredentialsProvider) bool {
	return p == nil || aws.IsCredentialsProvider(p, (*aws.AnonymousCredentials)(nil)) ||
		aws.IsCredentialsProvider(p, aws.AnonymousCredentials{})
}
