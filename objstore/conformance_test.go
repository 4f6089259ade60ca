package objstore_test

import (
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/objstoretest"
)

// A store shows through each decorator, and through the composition that headrace uses, as it is.
func TestConformance(t *testing.T) {
	for name, decorate := range map[string]func(objstore.Bucket) objstore.Bucket{
		"retry": func(b objstore.Bucket) objstore.Bucket { return objstore.NewRetry(b, objstore.RetryPolicy{}) },
		"gate":  func(b objstore.Bucket) objstore.Bucket { return objstore.NewGate(objstore.GateConfig{}).Wrap(b) },
		"meter": func(b objstore.Bucket) objstore.Bucket { return objstore.NewMeter().Wrap(b) },
		"all": func(b objstore.Bucket) objstore.Bucket {
			gate, meter := objstore.NewGate(objstore.GateConfig{Start: 4, Max: 4}), objstore.NewMeter()
			t.Cleanup(func() {
				if in := gate.Stats().InUse; in != 0 {
					t.Errorf("%d slots are in use at the end", in)
				}
				for _, s := range meter.Stats().Ops {
					if s.InFlight != 0 {
						t.Errorf("%v %v: %d requests are in flight at the end", s.Op, s.Class, s.InFlight)
					}
				}
			})
			return objstore.NewRetry(objstore.NewHedger(1).Wrap(gate.Wrap(meter.Wrap(b))), objstore.RetryPolicy{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			objstoretest.Run(t, func(*testing.T) objstore.Bucket { return decorate(memstore.New("bucket")) }, objstoretest.Quirks{})
		})
	}
}

// plain is a bucket without optional powers.
type plain struct{ objstore.Bucket }

// The suite holds for a store without optional powers too, and decorators say so where they are asked for one.
func TestOptionalPowers(t *testing.T) {
	bare := objstore.NewRetry(objstore.NewGate(objstore.GateConfig{}).Wrap(faultstore.New(plain{memstore.New("bucket")})), objstore.RetryPolicy{})
	objstoretest.Run(t, func(*testing.T) objstore.Bucket {
		return objstore.NewMeter().Wrap(plain{memstore.New("bucket")})
	}, objstoretest.Quirks{})
	renamer, ok := objstore.AsRenamer(bare)
	if !ok {
		t.Fatal("a decorator cannot tell whether the store can rename")
	}
	wantKind(t, renamer.Rename(t.Context(), "to", objstore.Version{Key: "from"}, objstore.Condition{}), objstore.KindUnsupported)
	prestager, _ := objstore.AsPrestager(bare)
	wantKind(t, prestager.Prestage(t.Context(), "key"), objstore.KindUnsupported)
	if _, ok := objstore.AsRenamer(plain{memstore.New("bucket")}); ok {
		t.Error("a bucket without the power to rename has it")
	}
}

func wantKind(t *testing.T, err error, want objstore.ErrorKind) {
	t.Helper()
	if got := objstore.KindOf(err); got != want {
		t.Errorf("error %v is %v, want %v", err, got, want)
	}
}
