package s3store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// knownRegion is one that the SDK's rules know and do nothing special for.
const knownRegion = "us-west-2"

// anyRegion resolves endpoints for the SDK without looking for the region among AWS', where an endpoint is given: what
// comes of that is only what is signed for. For a region that they do not know, as CoreWeave's zones, the rules compile
// the regular expressions of all of AWS' partitions, twice for each request, which is four tenths of what a small
// request costs.
type anyRegion struct{ s3.EndpointResolverV2 }

func (a anyRegion) ResolveEndpoint(ctx context.Context, params s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	region := params.Region
	if params.Endpoint == nil || aws.ToString(region) == "" {
		return a.EndpointResolverV2.ResolveEndpoint(ctx, params)
	}
	params.Region = aws.String(knownRegion)
	e, err := a.EndpointResolverV2.ResolveEndpoint(ctx, params)
	if err != nil {
		return e, err
	}
	schemes, _ := auth.GetAuthOptions(&e.Properties)
	for _, s := range schemes {
		if r, ok := smithyhttp.GetSigV4SigningRegion(&s.SignerProperties); ok && r == knownRegion {
			smithyhttp.SetSigV4SigningRegion(&s.SignerProperties, *region)
		}
	}
	return e, nil
}
