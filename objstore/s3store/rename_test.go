package s3store

import (
	"errors"
	"slices"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// TestRenamesWhereKnown: a store is asked to rename only where it is known that it can. One that cannot would take it
// for an empty object.
func TestRenamesWhereKnown(t *testing.T) {
	on, off := true, false
	for _, c := range []struct {
		endpoint, bucket string
		set              *bool
		want             bool
	}{
		{"https://cwobject.com", "b", nil, true},
		{"http://cwlota.com", "b", nil, true},
		{"https://eu.cwobject.com", "b", nil, true},
		{"https://notcwobject.com", "b", nil, false},
		{"https://cwobject.com", "b", &off, false},
		{"http://127.0.0.1:9000", "b", nil, false},
		{"http://127.0.0.1:9000", "b", &on, true},
		{"", "b--use1-az4--x-s3", nil, true},
		{"", "b", nil, false},
	} {
		client := newClient(t, Config{Endpoint: c.endpoint, Region: "us-east-1", AccessKey: testAccessKey, SecretKey: testSecretKey, RenameObject: c.set})
		b := &Bucket{client: client, name: c.bucket}
		if got := b.Renames(); got != c.want {
			t.Errorf("%s, bucket %s: %v", c.endpoint, c.bucket, got)
		}
		if c.want {
			continue
		}
		if err := b.Rename(t.Context(), "to", objstore.Version{Key: "from"}, objstore.Condition{IfNew: true}); !errors.Is(err, objstore.ErrUnsupported) {
			t.Errorf("%s, bucket %s: %v", c.endpoint, c.bucket, err)
		}
		m := objstore.NewMeter()
		metered := objstore.NewRetry(m.Wrap(b), objstore.RetryPolicy{})
		if _, is := objstore.AsRenamer(metered); is {
			t.Errorf("%s, bucket %s is said to rename", c.endpoint, c.bucket)
		}
		err := metered.(objstore.Renamer).Rename(t.Context(), "to", objstore.Version{Key: "from"}, objstore.Condition{IfNew: true})
		if all := m.Stats().Ops; !errors.Is(err, objstore.ErrUnsupported) || slices.ContainsFunc(all, func(s objstore.OpStats) bool { return s.Requests > 0 }) {
			t.Errorf("%s, bucket %s: %v, and %+v are counted, of which none was sent", c.endpoint, c.bucket, err, all)
		}
	}
}
