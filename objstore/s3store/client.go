package s3store

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/headrace/headrace/objstore"
)

// Client reaches one store with one credential. Its buckets share its connections.
type Client struct {
	config      Config
	options     s3.Options // of the SDK's clients; each bucket's has its own region
	credentials *credentialSource
	signer      *v4.Signer
	transport   *transport
	api         *s3.Client // in the configured region
	anonymous   bool       // requests are not signed
	checksums   checksums  // what the store can do
	route       *route     // nil where there is one endpoint
	userAgent   []string   // the header of requests that do not go through the SDK
	withoutETag sync.Once  // see noteTag
}

// New reads the SDK's configuration and makes a client. It sends nothing to the store; it may ask for a web identity or
// container credential only once a request needs one. ErrInvalid for a configuration that cannot be; ErrCredentials for
// a profile that does not exist.
func New(ctx context.Context, config Config) (*Client, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.PathStyle == nil && findSharedFiles(config.Profile).pathStyle() {
		config.PathStyle = aws.Bool(true)
	}
	sdk, err := config.sdkConfig(ctx)
	if err != nil {
		return nil, err
	}
	c := &Client{config: config, credentials: newCredentialSource(sdk.Credentials, config.credentialDeadline), userAgent: []string{config.UserAgent}}
	c.anonymous = anonymous(sdk.Credentials)
	c.checksums.log = config.Log
	if config.AccessKey == "" {
		c.credentials.load = func(ctx context.Context) (aws.CredentialsProvider, error) {
			again, err := config.sdkConfig(ctx)
			return again.Credentials, err
		}
	}
	c.transport = newTransport(config, authorities(sdk))
	if config.Endpoint == AutoEndpoint {
		if c.route, err = newRoute(ctx, config, c.transport.pool); err != nil {
			return nil, err
		}
		config.Endpoint, c.transport.route = config.origin, c.route
		c.config.Endpoint = config.origin
	}
	c.signer = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // S3 signs paths as they are sent
	if !c.anonymous {
		sdk.Credentials = c.credentials
	}
	sdk.HTTPClient = c.transport
	sdk.Logger = logging.Nop{}
	c.api = s3.NewFromConfig(sdk, func(o *s3.Options) {
		if config.Endpoint != "" {
			o.BaseEndpoint = aws.String(config.Endpoint)
		}
		o.UsePathStyle = pathStyle(config.PathStyle, aws.ToString(o.BaseEndpoint))
		o.EndpointResolverV2 = anyRegion{o.EndpointResolverV2}
		o.DisableLogOutputChecksumValidationSkipped = true
		o.APIOptions = append(o.APIOptions, c.requestHeaders, c.resend, checkListings)
	})
	c.options = c.api.Options()
	if c.route != nil {
		c.options.EndpointResolverV2 = routed{c.options.EndpointResolverV2, c.route}
		c.api = s3.New(c.options)
	}
	c.options.ExpressCredentials = nil // else the SDK's clients made of these share one, which making each of them writes to
	return c, nil
}

// requestHeaders adds to the SDK's requests what the configuration asks for in each.
func (c *Client) requestHeaders(stack *middleware.Stack) error {
	name, version, _ := strings.Cut(c.config.UserAgent, "/")
	if err := awsmiddleware.AddUserAgentKeyValue(name, version)(stack); err != nil {
		return err
	}
	if !c.config.RequesterPays {
		return nil
	}
	return stack.Build.Add(middleware.BuildMiddlewareFunc("RequesterPays",
		func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			if req, ok := in.Request.(*smithyhttp.Request); ok {
				req.Header.Set(headerRequestPayer, requester)
			}
			return next.HandleBuild(ctx, in)
		}), middleware.After)
}

// inRegion is an SDK client whose requests are signed for region.
func (c *Client) inRegion(region string) *s3.Client {
	return s3.New(c.options, func(o *s3.Options) { o.Region = region })
}

// Buckets lists the buckets the credential may see, in the order of the store.
func (c *Client) Buckets(ctx context.Context) ([]string, error) {
	var names []string
	var token *string
	for {
		out, err := c.api.ListBuckets(ctx, &s3.ListBucketsInput{ContinuationToken: token})
		if err != nil {
			return nil, c.fail(ctx, target{op: "ListBuckets"}, err)
		}
		for _, b := range out.Buckets {
			names = append(names, aws.ToString(b.Name))
		}
		if aws.ToString(out.ContinuationToken) == "" {
			return names, nil
		}
		token = out.ContinuationToken
	}
}

// CreateBucket makes a bucket in the configured region. ErrExists when there is one of that name.
func (c *Client) CreateBucket(ctx context.Context, name string) error {
	in := &s3.CreateBucketInput{Bucket: &name}
	if region := c.options.Region; region != defaultRegion { // the one region that must not be named
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	_, err := c.api.CreateBucket(ctx, in)
	return c.fail(ctx, target{op: "CreateBucket", bucket: name}, err)
}

// DeleteBucket removes an empty bucket; ErrConflict when it is not empty.
func (c *Client) DeleteBucket(ctx context.Context, name string) error {
	_, err := c.api.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
	return c.fail(ctx, target{op: "DeleteBucket", bucket: name}, err)
}

// SetMaxConns makes the pool follow the number of requests that may be under way: it keeps about as many connections,
// over all buckets. It never waits, and breaks no request.
func (c *Client) SetMaxConns(n int) { c.transport.setMaxConns(n) }

// Endpoint is the store's identity, as it stands in versions.
func (c *Client) Endpoint(ctx context.Context) (string, error) { return identity(ctx, c.options) }

// tls tells whether nobody on the way can read or change what is sent.
func (c *Client) tls() bool {
	if c.route != nil { // it may go either way
		return false
	}
	endpoint := aws.ToString(c.options.BaseEndpoint)
	return endpoint == "" && !c.options.EndpointOptions.DisableHTTPS || strings.HasPrefix(endpoint, "https://")
}

// Using is the URL that requests go to now, "" for AWS by its own rules; switches is how often it has changed, as it
// may with [AutoEndpoint].
func (c *Client) Using() (endpoint string, switches uint64) {
	if c.route == nil {
		return aws.ToString(c.options.BaseEndpoint), 0
	}
	return c.route.status()
}

// UsesLota tells whether requests go to CoreWeave's node cache now. It never waits.
func (c *Client) UsesLota() bool {
	if c.route != nil {
		return c.route.current() == c.route.near
	}
	u, err := url.Parse(aws.ToString(c.options.BaseEndpoint))
	return err == nil && "http://"+u.Hostname() == Lota
}

// Close drops the idle connections, and does not look any more whether an endpoint is back. Requests under way go on;
// the client can still be used.
func (c *Client) Close() {
	c.route.close()
	c.transport.closeIdle()
}

// String is for logs; it holds no credential.
func (c *Client) String() string {
	if e := aws.ToString(c.options.BaseEndpoint); e != "" {
		return e
	}
	return fmt.Sprintf("AWS S3 (%s)", c.options.Region)
}

var _ objstore.Bucket = (*Bucket)(nil)
