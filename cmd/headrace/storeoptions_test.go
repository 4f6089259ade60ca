package main

import (
	"path/filepath"
	"testing"

	"github.com/headrace/headrace/objstore/s3store"
)

// What has named the endpoint is told, whichever it was.
func TestEndpointSource(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", missing)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", missing)
	for _, c := range []struct{ given, headrace, aws, want string }{
		{"http://127.0.0.1:1", "", "http://127.0.0.1:3", "--endpoint"},
		{"http://127.0.0.1:1", "http://127.0.0.1:2", "", "--endpoint"},
		{"http://127.0.0.1:2", "http://127.0.0.1:2", "", "HEADRACE_ENDPOINT"},
		{"", "", "http://127.0.0.1:3", "AWS_ENDPOINT_URL"},
		{"", "", "", "default: nothing names another"},
	} {
		t.Setenv("HEADRACE_ENDPOINT", c.headrace)
		t.Setenv("AWS_ENDPOINT_URL", c.aws)
		o := storeOptions{endpoint: c.given, noSignRequest: true}
		client, err := s3store.New(t.Context(), s3store.Config{Endpoint: c.given, NoSignRequest: true})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if got := o.endpointSource(client); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if got := (storeOptions{endpoint: s3store.AutoEndpoint}).endpointSource(nil); got != "" {
		t.Errorf("one that is found out: %q", got)
	}
}
