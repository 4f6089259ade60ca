package s3store

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// errUnusual makes parseListing take the slow way.
var errUnusual = errors.New("unusual XML")

// scanListing knows elements, text and character references, and no more: no comments, no CDATA, no declarations.
func scanListing(document []byte) (listing, error) {
	var l listing
	var open []string // names of the elements that are open, outermost first
	closed := false   // the root element has ended
	rest := document
	for {
		start := bytes.IndexByte(rest, '<')
		if start < 0 {
			if !closed { // cut short, or no document at all
				return l, errUnusual
			}
			return l, nil
		}
		end := bytes.IndexByte(rest[start:], '>')
		if end < 0 {
			return l, errUnusual
		}
		text, tag := rest[:start], rest[start+1:start+end]
		rest = rest[start+end+1:]
		name, kind := readTag(tag)
		switch kind {
		case tagProlog:
			if len(open) > 0 {
				return l, errUnusual
			}
		case tagOpen:
			if len(open) == 0 && (name != listingRoot || closed) {
				return l, errUnusual
			}
			open = append(open, name)
			l.begin(open)
		case tagEmpty:
			if len(open) == 0 {
				return l, errUnusual
			}
			open = append(open, name)
			l.begin(open)
			open = open[:len(open)-1]
		case tagClose:
			if len(open) == 0 || open[len(open)-1] != name {
				return l, errUnusual
			}
			if err := l.leaf(open, text); err != nil {
				return l, err
			}
			open = open[:len(open)-1]
			closed = len(open) == 0
		default:
			return l, errUnusual
		}
	}
}

type tagKind int

const (
	tagUnusual tagKind = iota
	tagProlog
	tagOpen
	tagEmpty
	tagClose
)

// readTag takes apart what is between "<" and ">". Namespaces and attributes are dropped.
func readTag(tag []byte) (name string, kind tagKind) {
	if len(tag) == 0 || tag[0] == '!' {
		return "", tagUnusual
	}
	kind = tagOpen
	switch {
	case tag[0] == '?':
		return "", tagProlog
	case tag[0] == '/':
		kind, tag = tagClose, tag[1:]
	case tag[len(tag)-1] == '/':
		kind, tag = tagEmpty, tag[:len(tag)-1]
	}
	if name, ok := usualName(tag); ok {
		return name, kind
	}
	if bytes.Count(tag, []byte{'"'})%2 != 0 || bytes.IndexByte(tag, '\'') >= 0 {
		return "", tagUnusual // a ">" inside of an attribute, perhaps
	}
	if i := bytes.IndexAny(tag, " \t\r\n"); i >= 0 {
		tag = tag[:i]
	}
	if i := bytes.IndexByte(tag, ':'); i >= 0 {
		tag = tag[i+1:]
	}
	return string(tag), kind
}

// usualName spares most of readTag, and an allocation, for the names that a listing repeats.
func usualName(tag []byte) (string, bool) {
	switch string(tag) {
	case "Key":
		return "Key", true
	case "LastModified":
		return "LastModified", true
	case "ETag":
		return "ETag", true
	case "Size":
		return "Size", true
	case "StorageClass":
		return "StorageClass", true
	case "Contents":
		return "Contents", true
	case "CommonPrefixes":
		return "CommonPrefixes", true
	case "Prefix":
		return "Prefix", true
	}
	return "", false
}

// unescapeText resolves character references.
func unescapeText(raw []byte) (string, error) {
	if bytes.IndexByte(raw, '\r') >= 0 { // XML has rules for it
		return "", errUnusual
	}
	at := bytes.IndexByte(raw, '&')
	if at < 0 {
		return string(raw), nil
	}
	var out strings.Builder
	out.Grow(len(raw))
	for ; at >= 0; at = bytes.IndexByte(raw, '&') {
		out.Write(raw[:at])
		end := bytes.IndexByte(raw[at:], ';')
		if end < 0 {
			return "", errUnusual
		}
		c, err := reference(string(raw[at+1 : at+end]))
		if err != nil {
			return "", err
		}
		out.WriteRune(c)
		raw = raw[at+end+1:]
	}
	out.Write(raw)
	return out.String(), nil
}

// reference is the character that "&name;" stands for.
func reference(name string) (rune, error) {
	switch name {
	case "amp":
		return '&', nil
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	if number, ok := strings.CutPrefix(name, "#"); ok && len(number) < 8 {
		digits, base := number, 10
		if hex, ok := strings.CutPrefix(number, "x"); ok {
			digits, base = hex, 16
		}
		if c, err := strconv.ParseUint(digits, base, 21); err == nil && c >= ' ' && c < 0xd800 {
			return rune(c), nil
		}
		if c, err := strconv.ParseUint(digits, base, 21); err == nil && (c == '\t' || c == '\n' || c == '\r') {
			return rune(c), nil
		}
	}
	return 0, errUnusual
}
