package names

import (
	"strings"
	"unicode/utf8"

	"github.com/headrace/headrace/objstore"
)

// The signs an escaped name begins with. All are of one length, which the arithmetic below relies on. They are words so
// that a person can guess them, and keys that begin with one are as good as absent in the wild.
const (
	signName = "%name="
	signFile = "%file="
	signPart = "%part="
	signLen  = len(signName)
)

const (
	maxName = 255             // bytes of a name: NAME_MAX of Linux
	maxKey  = objstore.MaxKey // of any bucket

	// A piece of a long component takes every unit (a character, or a byte that is none) that still fits, and a unit is
	// at most 4 bytes encoded: so no piece's name is shorter than this.
	minPartName = maxName - 3
)

// partOf is the unfinished component at the end of a directory's prefix: empty except in a %part= directory.
func partOf(dir string) string { return dir[strings.LastIndexByte(dir, '/')+1:] }

// plain tells whether a component can be shown as it is.
func plain(component string) bool {
	switch {
	case component == "", component == ".", component == "..", len(component) > maxName:
		return false
	case component[0] == '%' && hasSign(component):
		return false
	}
	return strings.IndexByte(component, 0) < 0 && utf8.ValidString(component)
}

func hasSign(name string) bool {
	return strings.HasPrefix(name, signName) || strings.HasPrefix(name, signFile) || strings.HasPrefix(name, signPart)
}

// unit is the length of the first unit of s, which is not empty, and of that unit encoded.
func unit(s string) (raw, encoded int) {
	if s[0] == 0 || s[0] == '%' {
		return 1, 3
	}
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return 1, 3
	}
	return n, n
}

func encode(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); {
		raw, encoded := unit(s[i:])
		if raw == encoded {
			b.WriteString(s[i : i+raw])
		} else {
			b.Write([]byte{'%', digits[s[i]>>4], digits[s[i]&15]})
		}
		i += raw
	}
	return b.String()
}

// decode is the inverse of encode. ok is false for what encode never returns.
func decode(s string) (raw string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, low := fromHex(s[i+1]), fromHex(s[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	raw = b.String()
	return raw, encode(raw) == s
}

func fromHex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// single is the one name that shows a component (or what is left of it in a %part= directory). beside says that it is a
// file beside a directory of the same component. ok is false when no name is long enough.
func single(component string, beside bool) (name string, ok bool) {
	if !beside && plain(component) {
		return component, true
	}
	// Encoding never shortens, so what is too long already need not be encoded to find out.
	if len(component) > maxName-signLen {
		return "", false
	}
	sign := signName
	if beside {
		sign = signFile
	}
	name = sign + encode(component)
	return name, len(name) <= maxName
}

// firstPiece is how many bytes of a component that has no single name go into its first %part= directory: always some,
// never all.
func firstPiece(component string) int {
	n, room := 0, maxName-signLen
	for n < len(component) {
		raw, encoded := unit(component[n:])
		if room -= encoded; room < 0 {
			break
		}
		n += raw
	}
	return n
}

// place says how the component partOf(dir)+rest is shown in dir. piece is how many bytes of rest the name stands for:
// all of them, or fewer when the name is that of a %part= directory. ok is false when the component is not shown in dir
// at all, because its path does not lead through it.
func place(dir, rest string, beside bool) (name string, piece int, ok bool) {
	if begun := partOf(dir); begun != "" {
		component := begun + rest
		at := 0
		for at < len(begun) {
			if _, fits := single(component[at:], beside); fits {
				return "", 0, false
			}
			at += firstPiece(component[at:])
		}
		if at != len(begun) {
			return "", 0, false
		}
	}
	if name, ok := single(rest, beside); ok {
		return name, len(rest), true
	}
	piece = firstPiece(rest)
	return signPart + encode(rest[:piece]), piece, true
}

// form is what a name asks for.
type form int

const (
	either form = iota // the directory of this component, or else the file
	beside             // the file beside the directory of this component, or the directory's own object
	part               // the keys whose component goes on after this piece
)

// target is what a name in a directory stands for.
type target struct {
	form form
	key  string // the directory's prefix and the component; add "/" for what lies below it
}

// resolve finds what a name in dir stands for. ok is false for a name that no key can have.
func resolve(dir, name string) (target, bool) {
	raw, form, ok := name, either, true
	switch {
	case strings.HasPrefix(name, signName):
		raw, ok = decode(name[signLen:])
	case strings.HasPrefix(name, signFile):
		form = beside
		raw, ok = decode(name[signLen:])
	case strings.HasPrefix(name, signPart):
		form = part
		raw, ok = decode(name[signLen:])
	}
	if !ok || len(name) > maxName || strings.IndexByte(raw, '/') >= 0 || len(dir)+len(raw) > maxKey {
		return target{}, false
	}
	t := target{form: form, key: dir + raw}
	switch {
	case form == part:
		// Which keys go on after this piece is for the listing to say; but one that is too short has none, and would
		// have half the bucket listed in vain.
		return t, len(name) >= minPartName
	case form == beside && raw == "":
		return t, dir != "" && partOf(dir) == ""
	}
	shown, piece, ok := place(dir, raw, form == beside)
	return t, ok && shown == name && piece == len(raw)
}
