package upload

import (
	"context"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// What is said of a file while it is being stored, by one request or by parts, is what its object bears in the end; and
// what is written afterwards is a change of that object.
func TestRedescribedWhileStored(t *testing.T) {
	for op, size := range map[objstore.Op]int{objstore.OpPut: 3000, objstore.OpCompleteUpload: 300 << 10} {
		t.Run(op.String(), func(t *testing.T) {
			r := newRig(t, nil)
			asked, held := make(chan struct{}), make(chan struct{})
			r.bucket.Add(faultstore.Fault{Op: op, Times: 1, Before: func(context.Context) error {
				close(asked)
				<-held
				return nil
			}})
			f := r.open("key", true)
			defer f.Close()
			metadata := map[string]string{"mode": "1"}
			f.Describe(func() map[string]string { return metadata })
			r.write(f, text(size, 1), 0)
			published := make(chan error, 1)
			go func() {
				_, err := f.Publish(context.Background())
				published <- err
			}()
			<-asked
			metadata = map[string]string{"mode": "2"}
			if did, err := f.Redescribe(); !did || err != nil {
				t.Fatalf("%v, %v", did, err)
			}
			close(held)
			if err := <-published; err != nil {
				t.Fatal(err)
			}
			if e, err := r.store.Stat(t.Context(), "key"); err != nil || e.Metadata["mode"] != "2" {
				t.Errorf("the object has %q, %v", e.Metadata, err)
			}
			if did, err := f.Redescribe(); did || err != nil {
				t.Errorf("nothing is to be stored, but %v, %v", did, err)
			}
			r.write(f, text(10, 2), 5)
			r.publish(f)
			if got := r.stored("key"); len(got) != size || got[5] != text(1, 2)[0] {
				t.Errorf("%d bytes are stored", len(got))
			}
		})
	}
}
