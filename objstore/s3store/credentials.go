package s3store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/headrace/headrace/objstore"
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
type credentialError struct {
	cause error
	had   bool // there was one before, so that trying again may help
}

func (e *credentialError) Error() string { return e.cause.Error() }
func (e *credentialError) Unwrap() error { return e.cause }

// sentinel is what the error means to whoever made the request: no credential, or one that cannot be renewed just now.
func (e *credentialError) sentinel() error {
	switch {
	case errors.Is(e.cause, objstore.ErrTimeout):
		return e.cause
	case e.had:
		return fmt.Errorf("the credential cannot be renewed: %v", e.cause) // and none of what the source's answer wraps
	}
	return fmt.Errorf("%w: %w", objstore.ErrCredentials, e.cause)
}

// credentialDeadline is how long a source of credentials may take: the SDK's clients for them have no deadline of their own.
const credentialDeadline = 30 * time.Second

// Retrieve returns the credential of now. A renewal that fails is an ordinary failure, worth another attempt; only when
// there never was a credential is there none.
func (s *credentialSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	bounded, cancel := context.WithTimeout(ctx, credentialDeadline)
	defer cancel()
	c, err := s.provider(bounded).Retrieve(bounded)
	if err == nil {
		if !s.had.Load() {
			s.had.Store(true)
		}
		return c, nil
	}
	if ctx.Err() != nil {
		return aws.Credentials{}, ctx.Err()
	}
	if bounded.Err() != nil {
		return aws.Credentials{}, &credentialError{cause: fmt.Errorf("%w: no credential within %v", objstore.ErrTimeout, credentialDeadline), had: true}
	}
	return aws.Credentials{}, &credentialError{cause: err, had: s.had.Load()}
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
