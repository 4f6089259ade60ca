package s3store

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// What a region is to requests, known to the SDK or not, is what the SDK's rules make of it, and finding out costs no
// more for a zone of CoreWeave than for a region of AWS.
func TestAnyRegion(t *testing.T) {
	plain := s3.NewDefaultEndpointResolverV2()
	of := func(resolver s3.EndpointResolverV2, endpoint string, path bool) s3.Options {
		options := s3.Options{UsePathStyle: path, EndpointResolverV2: resolver}
		if endpoint != "" {
			options.BaseEndpoint = &endpoint
		}
		return options
	}
	for _, endpoint := range []string{"", Lota, Origin, "http://127.0.0.1:9000", "https://store.example/below"} {
		for _, region := range []string{"US-EAST-04A", "us-west-2", "us-east-1", "eu-north-1", "cn-north-1", "auto", "x"} {
			for _, bucket := range []string{"", "training", "my.bucket", "Upper_Case"} {
				for _, path := range []bool{false, true} {
					want, failed := resolveEndpoint(t.Context(), of(plain, endpoint, path), bucket, region)
					got, err := resolveEndpoint(t.Context(), of(anyRegion{plain}, endpoint, path), bucket, region)
					if got != want || (err == nil) != (failed == nil) {
						t.Errorf("%q of %q in %s, path %v: %+v, %v; the SDK says %+v, %v", bucket, endpoint, region, path, got, err, want, failed)
					}
				}
			}
		}
	}
	client, err := New(t.Context(), Config{Endpoint: Lota, Region: "US-EAST-04A"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cost := func(region string) float64 {
		params := s3.EndpointParameters{Bucket: aws.String("training"), Region: &region, Endpoint: aws.String(Lota)}.WithDefaults()
		return testing.AllocsPerRun(10, func() {
			if _, err := client.options.EndpointResolverV2.ResolveEndpoint(t.Context(), params); err != nil {
				t.Fatal(err)
			}
		})
	}
	if zone, region := cost("US-EAST-04A"), cost("us-east-1"); zone > 2*region {
		t.Errorf("%v allocations for a zone, %v for a region", zone, region)
	}
}
