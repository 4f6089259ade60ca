package s3store

import (
	"context"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// credentialSource hands out the SDK's credentials. The SDK caches them and renews those that expire; this adds what
// tells a missing credential from a hiccup, and a way to drop what the store has refused.
type credentialSource struct {
	inner aws.CredentialsProvider
	had   atomic.Bool // whether there ever was a credential
}

// credentialError says that there is no credential to sign with, and has never been one.
type credentialError struct{ cause error }

func (e *credentialError) Error() string { return e.cause.Error() }
func (e *credentialError) Unwrap() error { return e.cause }

// Retrieve returns the credential of now. A renewal that fails is an ordinary failure, worth another attempt; only when
// there never was a credential is there none.
func (s *credentialSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := s.inner.Retrieve(ctx)
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

// refused drops the cached credential, so that the next request asks its source anew: rotation may have come earlier
// than the expiry time said.
func (s *credentialSource) refused() {
	if cache, ok := s.inner.(*aws.CredentialsCache); ok {
		cache.Invalidate()
	}
}

func (s *credentialSource) anonymous() bool {
	return s.inner == nil || aws.IsCredentialsProvider(s.inner, (*aws.AnonymousCredentials)(nil)) ||
		aws.IsCredentialsProvider(s.inner, aws.AnonymousCredentials{})
}
