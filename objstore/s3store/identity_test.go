package s3store

import "testing"

func TestIdentity(t *testing.T) {
	for want, config := range map[string]Config{
		"key-1":           {Endpoint: "http://127.0.0.1:1", AccessKey: "key-1", SecretKey: "secret"},
		anonymousIdentity: {Endpoint: "http://127.0.0.1:1", NoSignRequest: true},
	} {
		c, err := New(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, err := c.Identity(t.Context()); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}
