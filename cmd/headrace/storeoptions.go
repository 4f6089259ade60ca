package main

import (
	"cmp"
	"net/url"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/objstore/s3store"
)

// storeOptions say where the store is and as whom to talk to it.
type storeOptions struct {
	endpoint       string
	region         string
	profile        string
	pathStyle      bool
	noSignRequest  bool
	requesterPays  bool
	maxConcurrency int
	renameObject   choice
	layout         layoutOptions // its flags are of those commands that use keys

	// addressing is set by resolve: nil when --path-style was not given and the endpoint decides.
	addressing *bool

	// accessKey and secretKey are no flags: the demo has a server of its own, and its credentials.
	accessKey, secretKey string
}

const storeGroup = "Store"

// defaultConcurrency is the most requests a node should have under way at CoreWeave's store by its makers' advice; the
// limit in force starts lower and climbs only while that brings more bytes.
const defaultConcurrency = 300

func (o *storeOptions) flags() []cli.Flag {
	o.renameObject = oneOf("auto", "on", "off")
	return []cli.Flag{
		&cli.StringFlag{
			Name: "endpoint", Category: storeGroup, EnvVars: environment("endpoint"), Destination: &o.endpoint,
			Usage: "`URL` of the S3 service, as https://cwobject.com; auto takes CoreWeave's LOTA where it answers, else https://cwobject.com; without it, what the AWS configuration says, else AWS",
		},
		&cli.StringFlag{
			Name: "region", Category: storeGroup, EnvVars: environment("region"), Destination: &o.region,
			Usage: "the `NAME` of the region to start with; a bucket's own region is found out",
		},
		&cli.StringFlag{
			Name: "profile", Category: storeGroup, EnvVars: environment("profile"), Destination: &o.profile,
			Usage: "the `NAME` of the profile in ~/.aws/config and ~/.aws/credentials, or CoreWeave's ~/.coreweave/cw.config and cw.credentials, whose profile cw is taken where there is no default",
		},
		&cli.BoolFlag{
			Name: "path-style", Category: storeGroup, EnvVars: environment("path-style"), Destination: &o.pathStyle,
			Usage: "put the bucket into the path, not into the host name; without the flag this is done for addresses and localhost",
		},
		&cli.BoolFlag{
			Name: "no-sign-request", Category: storeGroup, EnvVars: environment("no-sign-request"), Destination: &o.noSignRequest,
			Usage: "send no credentials, for public buckets",
		},
		&cli.BoolFlag{
			Name: "requester-pays", Category: storeGroup, EnvVars: environment("requester-pays"), Destination: &o.requesterPays,
			Usage: "agree to pay for requests to a requester-pays bucket",
		},
		&cli.GenericFlag{
			Name: "rename-object", Category: storeGroup, EnvVars: environment("rename-object"), Value: &o.renameObject,
			Usage: "`WHEN` to use the store's own rename: auto at CoreWeave and in AWS' directory buckets; on for others that are known to have it, since one that has not would empty the destination",
		},
		&cli.IntFlag{
			Name: "max-concurrency", Category: storeGroup, EnvVars: environment("max-concurrency"), Destination: &o.maxConcurrency, Value: defaultConcurrency,
			Usage: "at most `N` requests at the same time; the number used moves below it",
		},
	}
}

// endpointSource is what has named the endpoint, for people; "" for one that was found out, which the store's client
// tells of.
func (o storeOptions) endpointSource(client *s3store.Client) string {
	switch {
	case o.endpoint == s3store.AutoEndpoint:
		return ""
	case o.endpoint != "" && o.endpoint == os.Getenv(environment("endpoint")[0]):
		return environment("endpoint")[0]
	case o.endpoint != "":
		return "--endpoint"
	}
	return cmp.Or(client.EndpointSource(), "default: nothing names another")
}

// renames says whether the store has RenameObject; nil where that is for the store's client to know.
func (o storeOptions) renames() *bool {
	switch o.renameObject.String() {
	case "on", "off":
		on := o.renameObject.String() == "on"
		return &on
	}
	return nil
}

// resolve checks the group after parsing.
func (o *storeOptions) resolve(c *cli.Context) error {
	if c.IsSet("path-style") {
		o.addressing = &o.pathStyle
	}
	if o.maxConcurrency < 1 {
		return usage("--max-concurrency %d: at least 1 is needed", o.maxConcurrency)
	}
	if o.endpoint == "" || o.endpoint == s3store.AutoEndpoint {
		return nil
	}
	u, err := url.Parse(o.endpoint)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return usage("--endpoint is not a URL: write it as https://HOST or http://HOST:PORT")
	case u.User != nil:
		return usage("--endpoint has a user or a password in it: credentials come from the environment or from --profile")
	}
	return nil
}
