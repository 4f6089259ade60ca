package s3store

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"

	"github.com/headrace/headrace/objstore"
)

// credentialError says that there is no credential to sign with. Its cause may be the answer of a service (STS, SSO, an
// agent), which must not be taken for the store's.
type credentialError struct {
	cause   error
	passing bool // trying again may help
	expired bool // there was one before
}

func (e *credentialError) Error() string { return e.cause.Error() }
func (e *credentialError) Unwrap() error { return e.cause }

// sentinel is what the error means to whoever made the request: no credential, or none just now.
func (e *credentialError) sentinel() error {
	switch { // the cause's text alone: what it wraps may be of another service
	case !e.passing:
		return fmt.Errorf("%w: %v", objstore.ErrCredentials, e.cause)
	case e.expired:
		return &expiredError{e.cause.Error()}
	case isTimeout(e.cause):
		return fmt.Errorf("%w: no credential: %v", objstore.ErrTimeout, e.cause)
	}
	return fmt.Errorf("no credential just now: %v", e.cause)
}

// NoProfileError says that no configuration file has the profile that was asked for, by the flag or by AWS_PROFILE. It
// matches objstore.ErrCredentials.
type NoProfileError struct{ Profile string }

func (e *NoProfileError) Error() string {
	return fmt.Sprintf("no profile %q in the AWS configuration files", e.Profile)
}

func (e *NoProfileError) Is(target error) bool {
	return target == objstore.ErrCredentials || target == objstore.ErrPermission
}

// expiredError is that the credential has expired, and that its source gives no other just now: tried again as what has
// timed out, and a missing credential when that does not help.
type expiredError struct{ cause string }

func (e *expiredError) Error() string {
	return "the credential has expired, and there is no other just now: " + e.cause
}

func (e *expiredError) Is(target error) bool {
	return target == objstore.ErrTimeout || target == objstore.ErrCredentials
}

// mayPass tells whether a question to a source of credentials failed for a reason that may be gone soon.
func mayPass(source aws.CredentialsProvider, err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) && sentinelByCode(api.ErrorCode()) == objstore.ErrThrottled { // STS says so with 400
		return true
	}
	var answered interface{ HTTPStatusCode() int }
	if errors.As(err, &answered) {
		switch status := answered.HTTPStatusCode(); {
		case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
			return true
		case status >= 400:
			return false
		}
	}
	var expired *ssocreds.InvalidTokenError // until somebody logs in
	var empty *credentials.StaticCredentialsEmptyError
	switch {
	case aws.IsCredentialsProvider(source, (*ec2rolecreds.Provider)(nil)):
		return false // asked where nothing is configured: without an answer, this is no machine that has a role
	case errors.As(err, &expired), errors.As(err, &empty), errors.Is(err, fs.ErrNotExist):
		return false
	}
	return true
}
