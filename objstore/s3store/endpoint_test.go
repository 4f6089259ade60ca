package s3store

import (
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestPathStyleIsForAddressesAndLocalhost(t *testing.T) {
	for _, test := range []struct {
		asked    *bool
		endpoint string
		want     bool
	}{
		{nil, "", false},
		{nil, "https://cwobject.com", false},
		{nil, "http://cwlota.com", false},
		{nil, "http://127.0.0.1:9000", true},
		{nil, "http://[::1]:9000", true},
		{nil, "http://localhost:9000", true},
		{nil, "http://s3.localhost", true},
		{aws.Bool(true), "https://cwobject.com", true},
		{aws.Bool(false), "http://localhost:9000", false},
	} {
		if got := pathStyle(test.asked, test.endpoint); got != test.want {
			t.Errorf("pathStyle(%v, %q) = %v", test.asked, test.endpoint, got)
		}
	}
}

func TestObjectURLs(t *testing.T) {
	for _, test := range []struct {
		name, endpoint, bucket string
		pathStyle              bool
		want                   string // of key "a b"
	}{
		{"AWS", "", "bucket", false, "https://bucket.s3.eu-north-1.amazonaws.com/a%20b"},
		{"dots do not fit a certificate", "", "my.bucket", false, "https://s3.eu-north-1.amazonaws.com/my.bucket/a%20b"},
		{"virtual-hosted", "http://store.example:81", "bucket", false, "http://bucket.store.example:81/a%20b"},
		{"path-style", "http://store.example", "bucket", true, "http://store.example/bucket/a%20b"},
		{"address", "http://10.0.0.1:9000", "bucket", true, "http://10.0.0.1:9000/bucket/a%20b"},
		{"below a path", "http://store.example/s3", "bucket", true, "http://store.example/s3/bucket/a%20b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := s3.Options{UsePathStyle: test.pathStyle, EndpointResolverV2: s3.NewDefaultEndpointResolverV2()}
			if test.endpoint != "" {
				options.BaseEndpoint = &test.endpoint
			}
			e, err := resolveEndpoint(t.Context(), options, test.bucket, "eu-north-1")
			if err != nil {
				t.Fatal(err)
			}
			if got := e.object("a b").String(); got != test.want {
				t.Errorf("got %s", got)
			}
			if e.signingRegion != "eu-north-1" || e.signingName != "s3" {
				t.Errorf("signs for %s of %s", e.signingName, e.signingRegion)
			}
		})
	}
}

func TestKeysAreNotCleaned(t *testing.T) {
	e := endpoint{scheme: "http", host: "h", path: "/b"}
	for key, want := range map[string]string{
		"a/b":       "/b/a/b",
		"a//b/":     "/b/a//b/",
		".":         "/b/.",
		"../x":      "/b/../x",
		"/lead":     "/b//lead",
		"a%20+b":    "/b/a%2520%2Bb",
		"é\xff\x00": "/b/%C3%A9%FF%00",
		"q?#&=;:@$": "/b/q%3F%23%26%3D%3B%3A%40%24",
	} {
		if got := e.object(key).RequestURI(); got != want {
			t.Errorf("key %q is asked for as %s, want %s", key, got, want)
		}
	}
}

func FuzzObjectURLNamesTheKey(f *testing.F) {
	for _, key := range []string{"", "a/b", "a//b", ".", "..", "é\xff\x00", "%2F", "a b+c"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		for _, path := range []string{"", "/bucket", "/b%20c"} {
			e := endpoint{scheme: "http", host: "h", path: path}
			got, ok := strings.CutPrefix(e.object(key).RequestURI(), path+"/")
			if !ok {
				t.Fatalf("key %q is outside of its bucket: %s", key, e.object(key))
			}
			if back, err := url.PathUnescape(got); err != nil || back != key {
				t.Fatalf("key %q came back as %q, %v", key, back, err)
			}
		}
	})
}
