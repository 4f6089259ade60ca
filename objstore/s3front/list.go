package s3front

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// maxKeys is S3's own limit for a page.
const maxKeys = 1000

type listResult struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	MaxKeys               int
	KeyCount              int
	IsTruncated           bool
	EncodingType          string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
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

// stamp is a time as it stands in documents; S3 gives milliseconds there.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// escaper is how keys stand in a document: as they are, or escaped as forms are, but for slashes.
func (q *request) escaper() func(string) string {
	if q.query.Get("encoding-type") != "url" {
		return func(s string) string { return s }
	}
	return func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%2F", "/") }
}

// list answers with one page. Its token is where the next one starts.
func (q *request) list() {
	opts := objstore.ListOptions{
		Prefix: q.query.Get("prefix"), Delimiter: q.query.Get("delimiter"), StartAfter: q.query.Get("start-after"), PageSize: maxKeys,
	}
	if text := q.query.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			q.refuse(http.StatusBadRequest, "InvalidArgument")
			return
		}
		opts.PageSize = min(n, maxKeys)
	}
	if token := q.query.Get("continuation-token"); token != "" {
		start, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			q.refuse(http.StatusBadRequest, "InvalidArgument")
			return
		}
		opts.StartAfter = string(start)
	}
	page, more, err := q.page(opts)
	if err != nil {
		q.fail(err)
		return
	}
	escape := q.escaper()
	out := listResult{
		Name: q.bucket.Name(), Prefix: escape(opts.Prefix), Delimiter: escape(opts.Delimiter), EncodingType: q.query.Get("encoding-type"),
		MaxKeys: opts.PageSize, KeyCount: len(page.Entries) + len(page.Prefixes), IsTruncated: more,
	}
	for _, e := range page.Entries {
		class := e.StorageClass
		if class == "" {
			class = "STANDARD"
		}
		out.Contents = append(out.Contents, listedObject{
			Key: escape(e.Key), LastModified: stamp(e.ModTime), ETag: quote(e.ETag), Size: e.Size, StorageClass: class,
		})
	}
	for _, p := range page.Prefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, listedPrefix{escape(p)})
	}
	if more {
		out.NextContinuationToken = base64.StdEncoding.EncodeToString([]byte(endOf(page)))
	}
	q.answer(out)
}

// page takes the first page of a listing, and whether there is another.
func (q *request) page(opts objstore.ListOptions) (first objstore.Page, more bool, err error) {
	n := 0
	for page, err := range q.bucket.List(q.r.Context(), opts) {
		if err != nil {
			return first, false, err
		}
		if n++; n > 1 {
			return first, true, nil
		}
		first = page
	}
	return first, false, nil
}

// endOf is a key that no key of the page is above and all keys after the page are. A common prefix stands for every key
// that begins with it, and no key is longer than 1024 bytes.
func endOf(page objstore.Page) string {
	var last string
	if n := len(page.Entries); n > 0 {
		last = page.Entries[n-1].Key
	}
	if n := len(page.Prefixes); n > 0 && page.Prefixes[n-1] > last {
		last = page.Prefixes[n-1] + strings.Repeat("\xff", 1024)
	}
	return last
}

type bucketsResult struct {
	XMLName xml.Name       `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
	Buckets []listedBucket `xml:"Buckets>Bucket"`
}

type listedBucket struct{ Name string }

func (f *Front) listBuckets(w http.ResponseWriter) {
	var out bucketsResult
	for name := range f.buckets {
		out.Buckets = append(out.Buckets, listedBucket{name})
	}
	slices.SortFunc(out.Buckets, func(a, b listedBucket) int { return strings.Compare(a.Name, b.Name) })
	w.Header().Set("Content-Type", "application/xml")
	writeXML(w, out)
}
