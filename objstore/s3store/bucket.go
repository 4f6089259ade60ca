package s3store

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/headrace/headrace/objstore"
)

// Bucket is one bucket of a store. See [objstore.Bucket] for its methods.
type Bucket struct {
	client   *Client
	name     string
	identity string
	region   string
	api      *s3.Client // signs for the bucket's region
	distance distance

	// endpoint is where requests that do not go through the SDK go; with a route, it is where they go when they do not go
	// to near.
	endpoint, near endpoint
}

// Bucket finds the bucket's region and checks that its keys may be listed. ErrNoBucket, ErrPermission, ErrCredentials
// and ErrClockSkew say why not; any other error, that the store was not reached.
func (c *Client) Bucket(ctx context.Context, name string) (*Bucket, error) {
	return c.BucketBelow(ctx, name, "")
}

const (
	// newBucketTime is for how long a bucket that was just made is waited for. CoreWeave says a minute.
	newBucketTime = 70 * time.Second
	// newBucketPause is between two questions for it.
	newBucketPause = 2 * time.Second
)

// BucketBelow is Bucket for somebody who may list only what is below prefix. A bucket that the store has just made is
// waited for.
func (c *Client) BucketBelow(ctx context.Context, name, prefix string) (*Bucket, error) {
	for begin := time.Now(); ; {
		b, err := c.bucketNow(ctx, name, prefix)
		refusal, ok := errors.AsType[*objstore.Error](err)
		if !ok || refusal.Code != codeNewBucket || time.Since(begin) >= newBucketTime {
			return b, err
		}
		c.config.Log.Info("the store does not know yet where the bucket is: it is asked again", "bucket", name, "code", refusal.Code)
		if c.config.OnNewBucket != nil {
			c.config.OnNewBucket()
		}
		pause := time.NewTimer(newBucketPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, err // which says more than that the time is up
		}
	}
}

// bucketNow is BucketBelow without patience.
func (c *Client) bucketNow(ctx context.Context, name, prefix string) (*Bucket, error) {
	b, err := c.bucketIn(ctx, name, c.options.Region)
	if err != nil {
		return nil, err
	}
	region, err := b.probe(ctx, prefix)
	if region == "" || region == b.region {
		return b.unless(err)
	}
	c.config.Log.Debug("bucket is in another region", "bucket", name, "region", region, "configured", b.region)
	if b, err = c.bucketIn(ctx, name, region); err != nil {
		return nil, err
	}
	_, err = b.probe(ctx, prefix)
	return b.unless(err)
}

// unless is b where err is nil.
func (b *Bucket) unless(err error) (*Bucket, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (c *Client) bucketIn(ctx context.Context, name, region string) (*Bucket, error) {
	t := target{op: "ListObjectsV2", bucket: name}
	if name == "" {
		return nil, t.error(objstore.ErrInvalid)
	}
	id, err := identity(ctx, c.options)
	if err != nil {
		return nil, t.error(err)
	}
	b := &Bucket{client: c, name: name, identity: id, region: region, api: c.inRegion(region)}
	options := c.options
	if c.route != nil {
		plain := c.options.EndpointResolverV2.(routed).EndpointResolverV2
		options.EndpointResolverV2, options.BaseEndpoint = plain, &c.route.near
		if b.near, err = resolveEndpoint(ctx, options, name, region); err != nil {
			return nil, t.error(err)
		}
		options.BaseEndpoint = &c.route.origin
	}
	if b.endpoint, err = resolveEndpoint(ctx, options, name, region); err != nil {
		return nil, t.error(err)
	}
	return b, nil
}

// at is where requests go now.
func (b *Bucket) at() *endpoint {
	if r := b.client.route; r != nil && r.current() == r.near {
		return &b.near
	}
	return &b.endpoint
}

// probe lists at most one key, to learn whether listing is allowed and, if not, why. region is where the bucket is,
// when a store says so: in a header of any answer, or in the document that says for which region to sign. A HEAD of the
// bucket would tell neither of two stores' reasons: its answer has no body.
func (b *Bucket) probe(ctx context.Context, prefix string) (region string, err error) {
	t := b.target("ListObjectsV2", prefix)
	resp, err := b.sendURL(ctx, http.MethodGet, b.listURL(objstore.ListOptions{Prefix: prefix, PageSize: 1}, ""), make(http.Header, 8))
	if err != nil {
		return "", b.client.fail(ctx, t, err)
	}
	region = resp.Header.Get("X-Amz-Bucket-Region")
	if resp.StatusCode == http.StatusOK {
		_, err := b.readListing(ctx, t, resp) // a web server says 200 to everything
		return region, err
	}
	a := readAnswer(resp)
	if region == "" {
		region = a.region
	}
	return region, b.client.refusal(t, a)
}

// Name is the bucket's name.
func (b *Bucket) Name() string { return b.name }

// Endpoint is the store's identity: its URL without the bucket.
func (b *Bucket) Endpoint() string { return b.identity }

// Region is where the bucket is, as the store says.
func (b *Bucket) Region() string { return b.region }

func (b *Bucket) target(op, key string) target { return target{op: op, bucket: b.name, key: key} }

// error is for a request that was not sent.
func (t target) error(err error) error {
	return &objstore.Error{Op: t.op, Bucket: t.bucket, Key: t.key, Err: err}
}

// errorOf is error for what may be none.
func (t target) errorOf(err error) error {
	if err == nil {
		return nil
	}
	return t.error(err)
}
