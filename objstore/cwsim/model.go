package cwsim

import "time"

// Model is what a store gives to so many GETs at a time: all of it between From and To of them, half of it at Half, and
// nothing, to anybody, from Hang on. Between the points it goes in straight lines. The zero value gives everything at
// once.
type Model struct {
	Peak     float64 // bytes a second, of all GETs together
	From, To int
	Half     int
	Hang     int
}

// Measured has the shape that users measured on GPU nodes: best at 64-200 GETs, half at 500, hanging at 800.
func Measured(peak float64) Model { return Model{Peak: peak, From: 64, To: 200, Half: 500, Hang: 800} }

// Goodput is what active GETs get together, in bytes a second; 0 when they hang.
func (m Model) Goodput(active int) float64 {
	switch {
	case active <= 0 || active >= m.Hang:
		return 0
	case active < m.From:
		return m.Peak * float64(active) / float64(m.From)
	case active <= m.To:
		return m.Peak
	case active <= m.Half:
		return m.Peak * (1 - 0.5*float64(active-m.To)/float64(m.Half-m.To))
	default:
		return m.Peak * 0.5 * float64(m.Hang-active) / float64(m.Hang-m.Half)
	}
}

// Time is how long one of active GETs takes for size bytes, and false when it takes for ever.
func (m Model) Time(active int, size int64) (time.Duration, bool) {
	if m.Peak == 0 {
		return 0, true
	}
	goodput := m.Goodput(active)
	if goodput == 0 {
		return 0, false
	}
	return time.Duration(float64(size) * float64(active) / goodput * float64(time.Second)), true
}
