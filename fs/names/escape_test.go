package names

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesOfComponents(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		component string
		beside    bool
		shown     string // the path below the directory
	}{
		{"a", false, "a"},
		{"a", true, "%file=a"},
		{"100%", false, "100%"},
		{"%", false, "%"},
		{"%20a", false, "%20a"},
		{"line\nbreak", false, "line\nbreak"},
		{"\uFFFD", false, "\uFFFD"},
		{"", false, "%name="},
		{"", true, "%file="},
		{".", false, "%name=."},
		{"..", true, "%file=.."},
		{"...", false, "..."},
		{"a\x00%", false, "%name=a%00%25"},
		{"caf\xe9", false, "%name=caf%E9"},
		{"%name=", false, "%name=%25name="},
		{"%file=a", true, "%file=%25file=a"},
		{"%part=a", false, "%name=%25part=a"},
		{x(255), false, x(255)},
		{x(256), false, "%part=" + x(249) + "/" + x(7)},
		{x(249), true, "%file=" + x(249)},
		{x(250), true, "%part=" + x(249) + "/%file=x"},
		{x(504), false, "%part=" + x(249) + "/" + x(255)},
		{x(505), false, "%part=" + x(249) + "/%part=" + x(249) + "/" + x(7)},
		{x(247) + "\u20ac" + x(9), false, "%part=" + x(247) + "/\u20ac" + x(9)},
		{x(246) + "\u20ac" + x(9), false, "%part=" + x(246) + "\u20ac/" + x(9)},
		{x(247) + "\xff" + x(9), false, "%part=" + x(247) + "/%name=%FF" + x(9)},
		{strings.Repeat("\xff", 84), false, "%part=" + strings.Repeat("%FF", 83) + "/%name=%FF"},
		{x(249) + ".", true, "%part=" + x(249) + "/%file=."},
		{x(249) + "%file=oh", false, "%part=" + x(249) + "/%name=%25file=oh"},
		{x(249) + ".." + x(9), false, "%part=" + x(249) + "/.." + x(9)},
	} {
		if shown := show(t, "d/", test.component, test.beside); shown != test.shown {
			t.Errorf("%q (beside %v): shown as %q, want %q", test.component, test.beside, shown, test.shown)
		}
	}
}

func TestNamesThatNoKeyHas(t *testing.T) {
	x := strings.Repeat("x", 260)
	for _, test := range []struct{ dir, name string }{
		{"", ""},
		{"", "."},
		{"", ".."},
		{"", "a/b"},
		{"", "a\x00"},
		{"", "\xff"},
		{"", x[:256]},
		{"", "%name=a"},     // needs no escape
		{"", "%name=%"},     // not encoded
		{"", "%name=%2"},    // not encoded
		{"", "%name=%2e"},   // "." stays, and digits are in upper case
		{"", "%name=%2F"},   // "/"
		{"", "%file=%61"},   // "a" stays
		{"", "%name=\xff"},  // not encoded
		{"", "%part=a"},     // too short a piece
		{"", "%file="},      // the root has no object
		{"d/xxx", "%file="}, // nor has a part of a component
		{"d/xxx", "rest"},   // no component is split there
		{"", "%file=" + x[:250]},
		{"", "%part=" + x[:250]},
		{"d/" + x[:249], "xxxxxx"}, // 255 bytes fit undivided
		{strings.Repeat("d/", 512), "a"},
	} {
		if target, ok := resolve(test.dir, test.name); ok {
			t.Errorf("%q in %q stands for %q, want nothing", test.name, test.dir, target.key)
		}
	}
}

// show is the path of a component below dir. It asserts that every name on it is valid and leads back to the key.
func show(t *testing.T, dir, component string, collides bool) string {
	t.Helper()
	var shown []string
	for at := 0; ; {
		here := dir + component[:at]
		name, piece, ok := place(here, component[at:], collides)
		if !ok {
			t.Fatalf("%q is not shown in %q", component, here)
		}
		if len(name) > maxName || name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || !utf8.ValidString(name) {
			t.Fatalf("%q in %q has the name %q", component, here, name)
		}
		target, ok := resolve(here, name)
		if !ok || target.key != here+component[at:at+piece] {
			t.Fatalf("%q in %q stands for %q (%v), want %q", name, here, target.key, ok, here+component[at:at+piece])
		}
		shown = append(shown, name)
		if at += piece; at == len(component) {
			if target.form == part || (target.form == beside) != collides {
				t.Fatalf("%q in %q has form %v", name, here, target.form)
			}
			return strings.Join(shown, "/")
		}
		if target.form != part {
			t.Fatalf("%q in %q has form %v", name, here, target.form)
		}
		if piece == 0 {
			t.Fatalf("%q in %q takes nothing", name, here)
		}
	}
}

// A component's path leads back to it, and all names on it are valid.
func FuzzComponent(f *testing.F) {
	for _, s := range oddComponents() {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, component string, collides bool) {
		if strings.Contains(component, "/") || len(component) > maxKey-2 || component == "" && collides {
			return
		}
		show(t, "d/", component, collides)
	})
}

// A name that stands for something is the name that this something is shown under.
func FuzzName(f *testing.F) {
	for _, s := range oddComponents() {
		f.Add("d/", s)
		f.Add("", signName+encode(s))
		f.Add("d/", signFile+encode(s))
		f.Add("d/"+s, signPart+encode(s))
	}
	f.Fuzz(func(t *testing.T, dir, name string) {
		target, ok := resolve(dir, name)
		if !ok {
			return
		}
		if len(name) > maxName || strings.ContainsAny(name, "/\x00") || path.Clean(name) != name || name == ".." {
			t.Fatalf("%q in %q stands for %q", name, dir, target.key)
		}
		rest := target.key[len(dir):]
		if target.form == part || rest == "" {
			return // for the listing to say: FuzzTree
		}
		if shown, piece, ok := place(dir, rest, target.form == beside); !ok || piece != len(rest) || shown != name {
			t.Fatalf("%q in %q stands for %q, shown as %q", name, dir, target.key, shown)
		}
	})
}

// Encoding is reversible, and decoding accepts nothing else.
func FuzzEncoding(f *testing.F) {
	for _, s := range oddComponents() {
		f.Add(s)
		f.Add(encode(s))
	}
	f.Fuzz(func(t *testing.T, s string) {
		if raw, ok := decode(encode(s)); !ok || raw != s {
			t.Errorf("%q: encoded %q, decoded %q (%v)", s, encode(s), raw, ok)
		}
		if raw, ok := decode(s); ok && encode(raw) != s {
			t.Errorf("%q: decoded %q, encoded %q", s, raw, encode(raw))
		}
	})
}
