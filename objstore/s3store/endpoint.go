package s3store

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/auth"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/headrace/headrace/objstore"
)

// pathStyle decides where the bucket stands in a URL: as asked, else in the path for addresses and localhost, for which
// there are no host names below them.
func pathStyle(asked *bool, endpoint string) bool {
	if asked != nil {
		return *asked
	}
	u, err := url.Parse(endpoint)
	if err != nil || endpoint == "" {
		return false
	}
	host := u.Hostname()
	_, err = netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// endpoint is where a bucket's objects are, and what requests to it are signed for.
type endpoint struct {
	scheme, host  string
	path          string // of the bucket, escaped; no slash at its end; "" when the bucket is in the host
	signingRegion string
	signingName   string
}

// schemeSigV4 is how the SDK's endpoint rules call ordinary signatures.
const schemeSigV4 = "sigv4"

// resolveEndpoint asks the SDK's rules, which know partitions, FIPS, dual stack, access points, and which bucket names
// can stand in a host name.
func resolveEndpoint(ctx context.Context, options s3.Options, bucket, region string) (endpoint, error) {
	params := s3.EndpointParameters{
		Region:                         &region,
		Endpoint:                       options.BaseEndpoint,
		ForcePathStyle:                 &options.UsePathStyle,
		UseFIPS:                        aws.Bool(options.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack:                   aws.Bool(options.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		DisableMultiRegionAccessPoints: &options.DisableMultiRegionAccessPoints,
		UseArnRegion:                   &options.UseARNRegion,
	}.WithDefaults()
	if bucket != "" {
		params.Bucket = &bucket
	}
	resolved, err := options.EndpointResolverV2.ResolveEndpoint(ctx, params)
	if err != nil {
		return endpoint{}, fmt.Errorf("%w: %w", objstore.ErrInvalid, err)
	}
	e := endpoint{
		scheme: resolved.URI.Scheme, host: resolved.URI.Host, path: strings.TrimRight(resolved.URI.EscapedPath(), "/"),
		signingRegion: region, signingName: "s3",
	}
	schemes, _ := auth.GetAuthOptions(&resolved.Properties)
	for _, s := range schemes {
		if s.SchemeID != schemeSigV4 {
			continue
		}
		if r, ok := smithyhttp.GetSigV4SigningRegion(&s.SignerProperties); ok {
			e.signingRegion = r
		}
		if n, ok := smithyhttp.GetSigV4SigningName(&s.SignerProperties); ok {
			e.signingName = n
		}
		return e, nil
	}
	if len(schemes) > 0 {
		return endpoint{}, fmt.Errorf("%w: directory buckets and multi-region access points", objstore.ErrUnsupported)
	}
	return e, nil
}

// identity names the store for a Version: the same whatever the bucket.
func identity(ctx context.Context, options s3.Options) (string, error) {
	if r, ok := options.EndpointResolverV2.(routed); ok {
		options.EndpointResolverV2 = r.EndpointResolverV2
	}
	e, err := resolveEndpoint(ctx, options, "", options.Region)
	if err != nil {
		return "", err
	}
	id := e.scheme + "://" + strings.ToLower(e.host) + e.path
	if id == Lota { // a cache in front of it: what is read through either is the same
		return Origin, nil
	}
	return id, nil
}

// object is the URL of key. Nothing in it is cleaned: "a//b", "." and ".." are keys as any other.
func (e *endpoint) object(key string) *url.URL {
	escaped := escapeKey(key)
	u := &url.URL{Scheme: e.scheme, Host: e.host}
	path := e.path + "/" + key
	if escaped == key && e.path == "" {
		u.Path = path
		return u
	}
	if unescaped, err := url.PathUnescape(e.path); err == nil {
		path = unescaped + "/" + key
	}
	u.Path, u.RawPath = path, e.path+"/"+escaped
	return u
}

// bucket is the URL of the bucket itself.
func (e *endpoint) bucket() *url.URL {
	u := e.object("")
	if e.path != "" {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	}
	return u
}

const upperHex = "0123456789ABCDEF"

// escapeKey escapes all but the characters that a signature leaves alone, and slashes.
func escapeKey(key string) string {
	n := 0
	for i := range len(key) {
		if !unescapedInKey(key[i]) {
			n++
		}
	}
	if n == 0 {
		return key
	}
	out := make([]byte, 0, len(key)+2*n)
	for i := range len(key) {
		c := key[i]
		if unescapedInKey(c) {
			out = append(out, c)
			continue
		}
		out = append(out, '%', upperHex[c>>4], upperHex[c&15])
	}
	return string(out)
}

func unescapedInKey(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == '~' || c == '/'
}
