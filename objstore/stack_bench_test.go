package objstore_test

import (
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// What the decorators cost a small read that finds a slot.
func BenchmarkOpen(b *testing.B) {
	store := memstore.New("bucket")
	e, _ := store.Put(b.Context(), "key", strings.NewReader("content"), 7, objstore.Condition{}, objstore.Attributes{})
	v := objstore.VersionOf(store, e)
	stack := map[string]objstore.Bucket{
		"store alone":                store,
		"gate":                       objstore.NewGate(objstore.GateConfig{}).Wrap(store),
		"retry, gate, meter":         objstore.NewRetry(objstore.NewGate(objstore.GateConfig{}).Wrap(objstore.NewMeter().Wrap(store)), objstore.RetryPolicy{}),
		"retry, hedger, gate, meter": objstore.NewRetry(objstore.NewHedger(0.02).Wrap(objstore.NewGate(objstore.GateConfig{}).Wrap(objstore.NewMeter().Wrap(store))), objstore.RetryPolicy{}),
	}
	for name, bucket := range stack {
		b.Run(name, func(b *testing.B) {
			ctx := of(b.Context(), objstore.ClassDemand)
			buffer := make([]byte, 16)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					body, err := bucket.Open(ctx, v, objstore.Range{Len: 7})
					if err != nil {
						b.Fatal(err)
					}
					for err == nil {
						_, err = body.Read(buffer)
					}
					body.Close()
				}
			})
		})
	}
}
