package cwsim

import (
	"testing"
	"time"
)

// The curve goes through the points it is told.
func TestModel(t *testing.T) {
	m := Measured(1000)
	for active, want := range map[int]float64{0: 0, 32: 500, 64: 1000, 200: 1000, 350: 750, 500: 500, 650: 250, 800: 0, 2000: 0} {
		if got := m.Goodput(active); got != want {
			t.Errorf("%d GETs get %v bytes/s, want %v", active, got, want)
		}
	}
	if d, ok := m.Time(100, 50); !ok || d != 5*time.Second {
		t.Errorf("one of 100 GETs takes %v (%v) for 50 bytes, want 5 s", d, ok)
	}
	if _, ok := m.Time(800, 1); ok {
		t.Error("a store that hangs sends")
	}
	if d, ok := (Model{}).Time(5000, 1<<40); !ok || d != 0 {
		t.Errorf("the zero model takes %v (%v)", d, ok)
	}
}
