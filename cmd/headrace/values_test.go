package main

import "testing"

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
	}{{"512MiB", 512 * mib}, {"2GiB", 2 * gib}, {"1.5GiB", 3 * gib / 2}, {"4GB", 4e9}, {"1048576", mib}, {"1mib", mib}} {
		var s size
		if err := s.Set(c.text); err != nil || int64(s) != c.want {
			t.Errorf("%s: got %d, %v; want %d", c.text, int64(s), err, c.want)
		}
		var again size
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%s is written %s, which reads as %d, %v", c.text, s.String(), int64(again), err)
		}
	}
	for _, bad := range []string{"", "x", "-1MiB", "5XB", "99999999TiB", "1GiB 2"} {
		var s size
		if err := s.Set(bad); err == nil {
			t.Errorf("%q was taken as %d", bad, int64(s))
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, seed := range []string{"512MiB", "1.5GiB", "9223372036854775807", "8EiB", "0", "1e3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again size
		if s.Set(text) != nil {
			return
		}
		if s < 0 {
			t.Fatalf("%q is %d bytes", text, int64(s))
		}
		if err := again.Set(s.String()); err != nil || again != s {
			t.Fatalf("%q is written %s, which reads as %d, %v", text, s.String(), int64(again), err)
		}
	})
}

func TestOtherValues(t *testing.T) {
	var p permissions
	if err := p.Set("0640"); err != nil || p != 0o640 || p.String() != "0640" {
		t.Errorf("0640: %v, %v", p.String(), err)
	}
	for _, bad := range []string{"8", "1777", "rw", "-1"} {
		if p.Set(bad) == nil {
			t.Errorf("mode %q was taken", bad)
		}
	}
	var id ownerID
	if err := id.Set("4294967294"); err != nil || id.String() != "4294967294" {
		t.Errorf("the largest id: %v, %v", id.String(), err)
	}
	for _, bad := range []string{"4294967295", "-1", "nobody", ""} {
		if id.Set(bad) == nil {
			t.Errorf("id %q was taken", bad)
		}
	}
	var i interval
	for _, bad := range []string{"1", "-1s", "soon"} {
		if i.Set(bad) == nil {
			t.Errorf("duration %q was taken", bad)
		}
	}
	c := oneOf("cached", "direct")
	if c.Set("Direct") == nil || c.Set("direct") != nil || c.value != "direct" {
		t.Errorf("choice: %v", c.value)
	}
}

func TestSources(t *testing.T) {
	for _, c := range []struct{ given, bucket, prefix, shown string }{
		{"s3://", "", "", "s3://"},
		{"s3://b", "b", "", "s3://b"},
		{"s3://b/", "b", "", "s3://b"},
		{"s3://b/a/b", "b", "a/b/", "s3://b/a/b"},
		{"s3://b/a/", "b", "a/", "s3://b/a"},
		{"s3://b//a", "b", "/a/", "s3://b//a"},
	} {
		s, err := parseSource(c.given)
		if err != nil || s.bucket != c.bucket || s.prefix != c.prefix || s.String() != c.shown {
			t.Errorf("%s: %+v, shown %s, %v", c.given, s, s, err)
		}
	}
	for _, bad := range []string{"", "b", "/data", "s3:/b", "s3:///a", "https://h/b"} {
		if s, err := parseSource(bad); exitCode(err) != exitUsage {
			t.Errorf("%q was taken as %+v", bad, s)
		}
	}
}

func TestShapes(t *testing.T) {
	if first, rate, err := parseShape("20ms,80MiB"); err != nil || first.Milliseconds() != 20 || rate != 80*mib {
		t.Errorf("%v %d %v", first, rate, err)
	}
	for _, bad := range []string{"20ms", "80MiB", "20,80", "20ms,80MiB,1"} {
		if _, _, err := parseShape(bad); exitCode(err) != exitUsage {
			t.Errorf("%q was taken", bad)
		}
	}
}
