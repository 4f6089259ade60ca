package packed

import (
	"encoding/binary"
	"math"
	"testing"
)

// What was put together is taken apart again; of any shorter part of it something is missing, and nothing that follows
// is made up.
func TestReader(t *testing.T) {
	var b []byte
	b = AppendText(b, "a/key")
	b = AppendText(b, "")
	b = binary.AppendUvarint(b, math.MaxUint64)
	b = binary.AppendVarint(b, math.MinInt64)
	b = append(b, 7)
	b = binary.LittleEndian.AppendUint32(b, math.MaxUint32)
	b = binary.LittleEndian.AppendUint64(b, math.MaxUint64)
	for n := range len(b) + 1 {
		r := NewReader(b[:n])
		text, none := r.Text(), r.Text()
		number, signed := r.Number(), r.Signed()
		last := r.Byte()
		short, long := r.Uint32(), r.Uint64()
		if n < len(b) {
			if !r.Bad() || r.Whole() || long != 0 {
				t.Errorf("of %d bytes of %d nothing is missing, and the last number is %d", n, len(b), long)
			}
			continue
		}
		if text != "a/key" || none != "" || number != math.MaxUint64 || signed != math.MinInt64 || last != 7 || short != math.MaxUint32 || long != math.MaxUint64 {
			t.Error("not what was put together:", text, none, number, signed, last, short, long)
		}
		if !r.Whole() || r.Left() != 0 {
			t.Error("something is left")
		}
	}
}

// A length that cannot be, and a number without an end, are what is missing.
func TestReaderOfDamage(t *testing.T) {
	for _, b := range [][]byte{binary.AppendUvarint(nil, math.MaxUint64), {0x80}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
		r := NewReader(b)
		if text := r.Text(); text != "" || !r.Bad() {
			t.Errorf("%x is taken for %q", b, text)
		}
	}
}

// Two texts have in common what both begin with.
func TestCommonLen(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "a", 0}, {"ab", "ac", 1}, {"ab", "abc", 2}, {"abc", "ab", 2}, {"x", "y", 0}} {
		if got := CommonLen(c.a, c.b); got != c.want {
			t.Errorf("%q and %q have %d bytes in common, not %d", c.a, c.b, got, c.want)
		}
	}
}
