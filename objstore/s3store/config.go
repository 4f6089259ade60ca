package s3store

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/smithy-go/logging"

	"github.com/headrace/headrace/objstore"
)

const (
	// defaultProgress is how long a store may send and take nothing: far above the slowest first byte seen under load
	// (seconds), and short enough that a reader of a dead server is served by its successor before people give up.
	defaultProgress = 15 * time.Second
	// defaultMaxConns is the most requests a node sends at once, as the stores headrace is for advise.
	defaultMaxConns = 300
	// defaultRegion signs the question for a bucket's region when no region is configured.
	defaultRegion = "us-east-1"
)

// Config says how to reach a store. The zero value is AWS with the SDK's default configuration.
type Config struct {
	Endpoint string // URL with scheme; "" for what the SDK's configuration says, else AWS
	Region   string // "" for what the SDK's configuration says; a bucket's own region is found out anyway
	Profile  string // of the shared configuration files; "" for the default one

	// AccessKey and SecretKey are used instead of the SDK's chain of credentials when AccessKey is not empty.
	AccessKey string
	SecretKey string

	// PathStyle puts the bucket into the URL's path (true) or its host (false). nil chooses: the path where the
	// endpoint is an address or localhost, else the host.
	PathStyle     *bool
	NoSignRequest bool // anonymous requests
	RequesterPays bool // accept to pay for requests

	// RenameObject says whether the store has that request. nil goes by what is known of endpoints: see [Bucket.Rename].
	RenameObject *bool

	ProgressTimeout time.Duration // a request on which no byte moves for so long fails with ErrTimeout; default 15 s
	MaxConns        int           // connections kept for the next requests, at most; default 300
	UserAgent       string        // "name/version"; default "headrace"
	Log             *slog.Logger  // nil for none
	OnNewBucket     func()        // is told each time that a bucket which was just made is about to be asked for again; nil for nobody

	dial               dialFunc      // tests only: reach any host name at one address
	near, origin       string        // tests only: the two endpoints of AutoEndpoint; default Lota and Origin
	credentialDeadline time.Duration // tests only: how long a source of credentials may take; default 30 s
}

func (c Config) withDefaults() Config {
	if c.ProgressTimeout == 0 {
		c.ProgressTimeout = defaultProgress
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultMaxConns
	}
	if c.UserAgent == "" {
		c.UserAgent = "headrace"
	}
	if c.near == "" {
		c.near, c.origin = Lota, Origin
	}
	if c.credentialDeadline == 0 {
		c.credentialDeadline = defaultCredentialDeadline
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	if c.Endpoint != "" && c.Endpoint != AutoEndpoint {
		u, err := url.Parse(c.Endpoint)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.User != nil {
			return fmt.Errorf("%w: the endpoint must be a URL such as https://host:port", objstore.ErrInvalid)
		}
	}
	if c.ProgressTimeout < 0 || c.MaxConns < 0 {
		return fmt.Errorf("%w: negative timeout or number of connections", objstore.ErrInvalid)
	}
	return nil
}

// sdkConfig is what the SDK makes of its environment and files, with c over it.
func (c Config) sdkConfig(ctx context.Context) (aws.Config, error) {
	// The SDK asks a source of credentials once for all who wait, and that question outlives them: it has to end by
	// itself. A third of the deadline: a source may take several requests, as a role does that is assumed with another
	// one's credential.
	forCredentials := awshttp.NewBuildableClient().WithTimeout(c.credentialDeadline / 3)
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
		// Signing by a corrected clock would let some requests through and not others: the user is told instead.
		config.WithDisableClockSkewCorrection(aws.Bool(true)),
		config.WithClientLogMode(0),
		config.WithLogger(logging.Nop{}),
		config.WithHTTPClient(forCredentials),
		config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow, o.ExpiryWindowJitterFrac = renewBefore, 0 }),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = forCredentials }),
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	files := findSharedFiles(c.Profile)
	options = append(options, config.WithSharedConfigFiles(files.configs), config.WithSharedCredentialsFiles(files.credentials))
	if files.chosen { // AWS_PROFILE is for the SDK to read: there, a credential in the environment comes first
		options = append(options, config.WithSharedConfigProfile(files.profile))
	}
	switch {
	case c.NoSignRequest:
		options = append(options, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	case c.AccessKey != "":
		static := credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, "")
		options = append(options, config.WithCredentialsProvider(static))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		var noProfile config.SharedConfigProfileNotExistError
		if errors.As(err, &noProfile) {
			return aws.Config{}, &NoProfileError{Profile: noProfile.Profile}
		}
		return aws.Config{}, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if loaded.Region == "" {
		loaded.Region = defaultRegion
	}
	return loaded, nil
}

// authorities are the certificate authorities the SDK was told to trust (AWS_CA_BUNDLE); nil for the system's.
func authorities(sdk aws.Config) *x509.CertPool {
	client, ok := sdk.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return nil
	}
	tls := client.GetTransport().TLSClientConfig
	if tls == nil {
		return nil
	}
	return tls.RootCAs
}
