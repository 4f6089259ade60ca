package s3store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// given is a source of whatever it is.
type given aws.Credentials

func (g given) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials(g), nil }

// Another credential than the refused one is one of which any part is another: a secret may be renewed under the same
// id.
func TestWhatIsAnotherCredential(t *testing.T) {
	held := aws.Credentials{AccessKeyID: "K", SecretAccessKey: "s", SessionToken: "t"}
	for what, c := range map[string]struct {
		next aws.Credentials
		want bool
	}{
		"the same":       {held, false},
		"another id":     {aws.Credentials{AccessKeyID: "L", SecretAccessKey: "s", SessionToken: "t"}, true},
		"another secret": {aws.Credentials{AccessKeyID: "K", SecretAccessKey: "u", SessionToken: "t"}, true},
		"another token":  {aws.Credentials{AccessKeyID: "K", SecretAccessKey: "s", SessionToken: "u"}, true},
	} {
		s := newCredentialSource(given(held), time.Minute)
		s.load = func(context.Context) (aws.CredentialsProvider, error) { return given(c.next), nil }
		if _, err := s.Retrieve(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.replaced(t.Context(), signatureBy(held), true); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// Who gives up while the sources are read anew has not read them: the next one does.
func TestWhoGivesUpReadingTheSources(t *testing.T) {
	s := newCredentialSource(fixed("A"), time.Minute)
	if _, err := s.Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	s.load = func(context.Context) (aws.CredentialsProvider, error) {
		giveUp()
		return nil, context.Canceled
	}
	if s.replaced(ctx, signature{key: "A"}, true) {
		t.Error("there is another one for who gave up")
	}
	s.load = func(context.Context) (aws.CredentialsProvider, error) { return fixed("B"), nil }
	if !s.replaced(t.Context(), signature{key: "A"}, true) {
		t.Error("the sources are not read for the next one")
	}
}

// What is read anew after a refusal ends what the source before has failed with.
func TestReadAnewAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agent{}
		s := newCredentialSource(a, defaultCredentialDeadline)
		first, err := s.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour + renewBefore)
		a.fails = errors.New("connection refused")
		if _, err := s.Retrieve(t.Context()); err == nil {
			t.Fatal("a credential that has expired is used")
		}
		next := given{AccessKeyID: "N", SecretAccessKey: "s", CanExpire: true, Expires: time.Now().Add(-renewBefore)} // expired as it comes
		s.load = func(context.Context) (aws.CredentialsProvider, error) { return next, nil }
		s.replaced(t.Context(), signatureBy(first), true)
		if c, err := s.Retrieve(t.Context()); err != nil || c.AccessKeyID != "N" {
			t.Errorf("%s, %v", c.AccessKeyID, err)
		}
	})
}

// In the last seconds before its end a credential is not given to requests any more, as they have to arrive; and who
// gives up hears of that, and not of a credential.
func TestTheEndOfACredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agent{}
		s := newCredentialSource(a, defaultCredentialDeadline)
		if _, err := s.Retrieve(t.Context()); err != nil { // which is due in an hour, and ends renewBefore later
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		a.hangs = true
		ctx, giveUp := context.WithCancel(t.Context())
		giveUp()
		if c, err := s.Retrieve(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up gets %s, %v", c.AccessKeyID, err)
		}
		a.hangs, a.fails = false, errors.New("connection refused")
		time.Sleep(renewBefore - stillGood - time.Second)
		if c, err := s.Retrieve(t.Context()); err != nil || c.AccessKeyID != "1" {
			t.Errorf("before its end: %s, %v", c.AccessKeyID, err)
		}
		time.Sleep(time.Second)
		if c, err := s.Retrieve(t.Context()); err == nil {
			t.Errorf("in its last seconds %s is given", c.AccessKeyID)
		}
	})
}
