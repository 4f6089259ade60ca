package s3store

import (
	"encoding/xml"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/headrace/headrace/objstore"
)

// listing is a ListBucketResult, as far as it is of interest.
type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"` // listingRoot
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

// listingRoot is the element that a listing is. Another document, as a proxy's page, is not an empty directory.
const listingRoot = "ListBucketResult"

// parseListing reads a document: with the scanner below, or, when that meets something that stores do not usually
// write, with encoding/xml, which takes everything and some thirty times as long.
func parseListing(document []byte) (listing, error) {
	l, err := scanListing(document)
	if err == nil {
		return l, nil
	}
	l = listing{}
	if err := xml.Unmarshal(document, &l); err != nil {
		return listing{}, fmt.Errorf("%w: listing: %w", objstore.ErrCorrupt, err)
	}
	l.XMLName = xml.Name{}
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
		e := objstore.Entry{Key: key, Size: o.Size, StorageClass: storageClass(o.StorageClass)}
		if at, err := time.Parse(time.RFC3339, o.LastModified); err == nil {
			e.ModTime = at.UTC().Truncate(time.Second)
		}
		e.ETag = versionTag(o.ETag, e.ModTime)
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
