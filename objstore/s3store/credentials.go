package s3store

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/headrace/headrace/objstore"
)

const (
	// defaultCredentialDeadline is how long a source of credentials may take: the SDK's clients for them have no deadline
	// of their own. It leaves time for the attempts that these make.
	defaultCredentialDeadline = 30 * time.Second
	// reloadPause is how long a refused credential is kept at least before its source is read anew: a store that refuses
	// everything must not become a storm of requests for credentials.
	reloadPause = 10 * time.Second
	// doubtfulPause is the same for a refusal that does not say why, as that of a HEAD: it is an object that may not be
	// read far more often than a credential that was rotated.
	doubtfulPause = 10 * time.Minute
	// renewBefore is how long before it expires a credential is renewed: time for an agent or STS to be back, and for what
	// was signed to arrive. The SDK tells an expiry that is earlier by it.
	renewBefore = 5 * time.Minute
	// renewPatience is how long a request waits for a renewal while the credential before is still good. The SDK's
	// question goes on without it.
	renewPatience = time.Second
	// failurePause is for how long what a source of credentials has failed with is the answer to all who need another one:
	// a node that reads must not become a storm of questions, and a credential that is renewed should be used at once.
	failurePause = 2 * time.Second
	// stillGood is how long before its expiry a credential is not given to requests any more: they have to arrive.
	stillGood = 15 * time.Second
)

// credentialSource hands out the SDK's credentials. The SDK caches them and renews those that expire. This adds what
// the SDK does not: a deadline, telling a missing credential from a hiccup, and reading the sources anew after a
// refusal, since a credential may be rotated before it expires, and one in a file has no expiry at all.
type credentialSource struct {
	load     func(ctx context.Context) (aws.CredentialsProvider, error) // reads the sources; nil when there is nothing to read
	deadline time.Duration
	reading  chan struct{} // has one place, taken by who reads the sources anew: the others wait for what comes of it

	mu     sync.Mutex // guards what follows
	inner  aws.CredentialsProvider
	held   aws.Credentials  // what inner gave last; without a key before the first
	loaded time.Time        // of the last reading after a refusal
	asked  time.Time        // of the last attempt to renew held before its time
	failed *credentialError // of the last attempt once held had expired; nil when it succeeded
	since  time.Time        // of failed
}

func newCredentialSource(inner aws.CredentialsProvider, deadline time.Duration) *credentialSource {
	return &credentialSource{inner: inner, deadline: deadline, reading: make(chan struct{}, 1)}
}

// Retrieve returns the credential of now. Errors are [*credentialError], or ctx's. One that is about to expire is
// renewed, and used while that fails. Once it has expired, a source that refuses another one has the last word, until
// it is asked again a moment later; one that fails is worth another attempt.
func (s *credentialSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	s.mu.Lock()
	inner, loaded := s.inner, s.loaded
	before, good := s.renewable(time.Now())
	switch {
	case good && time.Since(s.asked) < reloadPause:
		s.mu.Unlock()
		return before, nil
	case !good && s.failed != nil && time.Since(s.since) < failurePause:
		defer s.mu.Unlock()
		return aws.Credentials{}, s.failed
	}
	deadline := s.deadline
	if good {
		s.asked, deadline = time.Now(), min(deadline, renewPatience)
	}
	s.mu.Unlock()
	c, err := ask(ctx, inner, deadline)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && good && ctx.Err() == nil {
		return before, nil
	}
	if !s.loaded.Equal(loaded) { // inner is another one now
		return c, err
	}
	if err == nil {
		s.held, s.failed = c, nil
	}
	if failure, ok := err.(*credentialError); ok && s.held.HasKeys() && s.held == before { // else another attempt has brought one meanwhile
		failure.expired = true
		s.failed, s.since = failure, time.Now()
	}
	return c, err
}

// renewable gives the credential that should be renewed now; good while it may be used yet. The caller holds mu.
func (s *credentialSource) renewable(now time.Time) (c aws.Credentials, good bool) {
	due := s.held.CanExpire && !now.Before(s.held.Expires)
	return s.held, due && now.Before(s.held.Expires.Add(renewBefore-stillGood))
}

// ask is Retrieve of one provider.
func ask(ctx context.Context, provider aws.CredentialsProvider, deadline time.Duration) (aws.Credentials, error) {
	bounded, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	c, err := provider.Retrieve(bounded)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return aws.Credentials{}, ctx.Err()
	case bounded.Err() != nil:
		return aws.Credentials{}, &credentialError{cause: fmt.Errorf("%w after %v", objstore.ErrTimeout, deadline), passing: true}
	}
	return aws.Credentials{}, &credentialError{cause: err, passing: mayPass(provider, err)}
}

// replaced tells whether there is another credential than the one refused. It reads the sources anew if that was not
// done just now; certain says that the store refused the credential and not perhaps the object.
func (s *credentialSource) replaced(ctx context.Context, refused signature, certain bool) bool {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return false
	}
	pause := reloadPause
	if !certain {
		pause = doubtfulPause
	}
	s.mu.Lock()
	held, wait := s.held, !s.loaded.IsZero() && time.Since(s.loaded) < pause
	s.mu.Unlock()
	if refused != signatureBy(held) { // renewed while the request was under way
		return true
	}
	if wait || s.load == nil {
		return false
	}
	fresh, c, err := s.reload(ctx)
	if ctx.Err() != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = time.Now()
	if err != nil { // files in the middle of being replaced, perhaps: a refusal after the pause tries again
		return false
	}
	s.inner, s.held, s.failed = fresh, c, nil
	return c.AccessKeyID != held.AccessKeyID || c.SecretAccessKey != held.SecretAccessKey || c.SessionToken != held.SessionToken
}

func (s *credentialSource) reload(ctx context.Context) (aws.CredentialsProvider, aws.Credentials, error) {
	fresh, err := s.load(ctx)
	if err != nil {
		return nil, aws.Credentials{}, err
	}
	c, err := ask(ctx, fresh, s.deadline)
	return fresh, c, err
}

// signature says which credential a request was signed with.
type signature struct{ key, token string }

func signatureBy(c aws.Credentials) signature {
	return signature{key: c.AccessKeyID, token: c.SessionToken}
}

// signatureIn finds it in the headers of the request.
func signatureIn(h http.Header) signature {
	_, scope, _ := strings.Cut(headerValue(h, "Authorization"), "Credential=")
	key, _, _ := strings.Cut(scope, "/")
	return signature{key: key, token: headerValue(h, headerSecurityToken)}
}

// anonymous tells whether requests are not to be signed.
func anonymous(p aws.CredentialsProvider) bool {
	return p == nil || aws.IsCredentialsProvider(p, (*aws.AnonymousCredentials)(nil)) ||
		aws.IsCredentialsProvider(p, aws.AnonymousCredentials{})
}
