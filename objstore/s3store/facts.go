package s3store

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// CredentialFacts are what may be told of the credential in use.
type CredentialFacts struct {
	KeyID   string    // the access key's id; "" for unsigned requests
	Source  string    // what of the SDK's chain has given it
	Whose   string    // the role, profile or agent it is of; "" where the source says it all
	Expires time.Time // zero for never
}

// Credential tells of the credential in use. Errors are those of any request that needs one.
func (c *Client) Credential(ctx context.Context) (f CredentialFacts, err error) {
	if c.anonymous {
		return f, nil
	}
	credential, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return f, c.fail(ctx, target{op: "Credentials"}, err)
	}
	f = CredentialFacts{KeyID: credential.AccessKeyID, Source: credential.Source}
	if sdk, err := c.config.sdkConfig(ctx); err == nil { // else it could not be used
		f.Whose = whose(credential.Source, sdk.ConfigSources)
	}
	if credential.CanExpire {
		f.Expires = credential.Expires.Add(renewBefore)
	}
	return f, nil
}

// EndpointSource is what has named the endpoint, as far as the configuration of this package has not: a variable of the
// environment, or a profile; "" where AWS' own is used, or one was given.
func (c *Client) EndpointSource() string {
	named := aws.ToString(c.options.BaseEndpoint)
	if c.config.Endpoint != "" || named == "" {
		return ""
	}
	for _, variable := range []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} { // in the SDK's order
		if os.Getenv(variable) == named {
			return variable
		}
	}
	profile := findSharedFiles(c.config.Profile).profile
	if profile == "" {
		profile = defaultProfileName
	}
	return "profile " + profile
}

// Checksum is what of a body's checksums the store verifies, as far as writes have shown.
func (c *Client) Checksum() string { return c.checksums.algorithm().String() }

// Region is the one that requests are signed for which are about no bucket.
func (c *Client) Region() string { return c.options.Region }

// VirtualHosted tells whether the bucket stands in the host's name.
func (b *Bucket) VirtualHosted() bool { return b.at().path == "" }

// Reached is how an endpoint answers.
type Reached struct {
	URL     string
	Took    time.Duration // from the request to the headers, on a connection that is there already
	Clock   time.Duration // how far the store's clock is ahead of ours
	HasDate bool          // it told its clock
}

// Reach asks the endpoint in use for its root, unsigned, twice: the second answer is timed. Any answer will do.
func (c *Client) Reach(ctx context.Context) (r Reached, err error) {
	if r.URL, _ = c.Using(); r.URL == "" {
		r.URL = fmt.Sprintf("https://s3.%s.amazonaws.com", c.options.Region)
	}
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/", nil)
		if err != nil {
			return r, err
		}
		began := time.Now()
		resp, err := c.transport.Do(req)
		if err != nil {
			return r, err
		}
		r.Took = time.Since(began)
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
		resp.Body.Close()
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			// The header has whole seconds: the middle of the second it means.
			r.Clock, r.HasDate = date.Add(time.Second/2).Sub(began.Add(r.Took/2)), true
		}
	}
	return r, nil
}
