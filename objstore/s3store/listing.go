package s3store

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// listing is a ListBucketResult, as far as it is of interest.
type listing struct {
	EncodingType          string
	IsTruncated           bool
	NextContinuationToken string
	Contents              []listedObject
	CommonPrefixes        []listedPrefix
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type listedPrefix struct{ Prefix string }

// parseListing reads a document: with the scanner below, or, when that meets something that stores do not usually write,
// with encoding/xml, which takes everything and some thirty times as long.
func parseListing(document []byte) (listing, error) {
	l, err := scanListing(document)
	if err == nil {
		return l, nil
	}
	l = listing{}
	if err := xml.Unmarshal(document, &l); err != nil {
		return listing{}, fmt.Errorf("%w: listing: %w", objstore.ErrCorrupt, err)
	}
	return l, nil
}

// page is what the listing says, in objstore's terms. Asked to escape keys, as XML cannot hold every one, S3 does so in
// the way of forms: a space is a plus sign.
func (l *listing) page() (objstore.Page, error) {
	page := objstore.Page{Last: !l.IsTruncated, Entries: make([]objstore.Entry, 0, len(l.Contents))}
	for i := range l.Contents {
		o := &l.Contents[i]
		key, err := decodeKey(l.EncodingType, o.Key)
		if err != nil {
			return page, err
		}
		e := objstore.Entry{Key: key, Size: o.Size, ETag: normaliseETag(o.ETag), StorageClass: storageClass(o.StorageClass)}
		if at, err := time.Parse(time.RFC3339, o.LastModified); err == nil {
			e.ModTime = at.UTC().Truncate(time.Second)
		}
		page.Entries = append(page.Entries, e)
	}
	for _, p := range l.CommonPrefixes {
		prefix, err := decodeKey(l.EncodingType, p.Prefix)
		if err != nil {
			return page, err
		}
		page.Prefixes = append(page.Prefixes, prefix)
	}
	return page, nil
}

// decodeKey undoes what the store says it did to a key.
func decodeKey(encoding, key string) (string, error) {
	if encoding != "url" {
		return key, nil
	}
	decoded, err := url.QueryUnescape(key)
	if err != nil {
		return "", fmt.Errorf("%w: a key that is not escaped as the listing says", objstore.ErrCorrupt)
	}
	return decoded, nil
}

// errUnusual makes parseListing take the slow way.
var errUnusual = errors.New("unusual XML")

// scanListing knows elements, text and character references, and no more: no comments, no CDATA, no declarations.
func scanListing(document []byte) (listing, error) {
	var l listing
	var open []string // names of the elements that are open, outermost first
	rest := document
	for {
		start := bytes.IndexByte(rest, '<')
		if start < 0 {
			if len(open) > 0 || !bytes.Contains(document, []byte("</")) { // cut short, or no document at all
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
			open = append(open, name)
			l.begin(open)
		case tagEmpty:
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

// begin makes room for what the element just opened will hold.
func (l *listing) begin(open []string) {
	if len(open) != 2 {
		return
	}
	switch open[1] {
	case "Contents":
		l.Contents = append(l.Contents, listedObject{})
	case "CommonPrefixes":
		l.CommonPrefixes = append(l.CommonPrefixes, listedPrefix{})
	}
}

// leaf stores the text of the innermost element.
func (l *listing) leaf(open []string, raw []byte) (err error) {
	name := open[len(open)-1]
	switch {
	case len(open) == 2:
		switch name {
		case "EncodingType":
			l.EncodingType, err = unescapeText(raw)
		case "NextContinuationToken":
			l.NextContinuationToken, err = unescapeText(raw)
		case "IsTruncated":
			l.IsTruncated, err = strconv.ParseBool(string(raw))
		}
	case len(open) == 3 && open[1] == "Contents":
		return l.Contents[len(l.Contents)-1].leaf(name, raw)
	case len(open) == 3 && open[1] == "CommonPrefixes" && name == "Prefix":
		l.CommonPrefixes[len(l.CommonPrefixes)-1].Prefix, err = unescapeText(raw)
	}
	return err
}

func (o *listedObject) leaf(name string, raw []byte) (err error) {
	switch name {
	case "Key":
		o.Key, err = unescapeText(raw)
	case "LastModified":
		o.LastModified, err = unescapeText(raw)
	case "ETag":
		o.ETag, err = unescapeText(raw)
	case "Size":
		o.Size, err = strconv.ParseInt(string(raw), 10, 64)
	case "StorageClass":
		if string(raw) != "STANDARD" { // which storageClass makes "" anyway
			o.StorageClass, err = unescapeText(raw)
		}
	}
	return err
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
