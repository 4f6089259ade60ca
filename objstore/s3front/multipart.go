package s3front

import (
	"encoding/xml"
	"net/http"
	"strconv"

	"github.com/headrace/headrace/objstore"
)

type copyResult struct {
	XMLName      xml.Name // CopyObjectResult or CopyPartResult
	ETag         string
	LastModified string `xml:",omitempty"`
}

type createResult struct {
	XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
	UploadID string   `xml:"UploadId"`
}

type completeRequest struct {
	Part []struct {
		PartNumber int32
		ETag       string
	}
}

type completeResult struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
	ETag    string
}

type uploadsResult struct {
	XMLName      xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
	EncodingType string   `xml:",omitempty"`
	IsTruncated  bool
	Upload       []listedUpload
}

type listedUpload struct {
	Key       string
	UploadID  string `xml:"UploadId"`
	Initiated string
}

func (q *request) createUpload() {
	id, err := q.bucket.CreateUpload(q.r.Context(), q.key, q.attributes())
	if err != nil {
		q.fail(err)
		return
	}
	q.answer(createResult{UploadID: id})
}

// number is the part's, or false after answering.
func (q *request) number() (int, bool) {
	n, err := strconv.Atoi(q.query.Get("partNumber"))
	if err != nil || n < 1 || n > 10000 {
		q.refuse(http.StatusBadRequest, "InvalidArgument")
		return 0, false
	}
	return n, true
}

// remember keeps a part's size for completeUpload.
func (f *Front) remember(uploadID string, p objstore.Part) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parts[uploadID] == nil {
		f.parts[uploadID] = make(map[int32]int64)
	}
	f.parts[uploadID][int32(p.Number)] = p.Size
}

func (f *Front) sizeOf(uploadID string, number int32) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.parts[uploadID][number]
}

func (f *Front) forget(uploadID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.parts, uploadID)
}

func (f *Front) uploadPart(q *request, uploadID string) {
	n, ok := q.number()
	if !ok {
		return
	}
	body, size, ok := q.content()
	if !ok {
		return
	}
	p, err := q.bucket.UploadPart(q.r.Context(), q.key, uploadID, n, body, size)
	if err != nil {
		q.fail(err)
		return
	}
	f.remember(uploadID, p)
	q.w.Header().Set("Etag", quote(p.ETag))
}

func (f *Front) copyPart(q *request, uploadID string) {
	n, ok := q.number()
	if !ok {
		return
	}
	src, ok := q.source()
	if !ok {
		return
	}
	r := objstore.Range{Len: src.Size}
	if header := q.r.Header.Get("X-Amz-Copy-Source-Range"); header != "" {
		if r, ok = parseRange(header, src.Size); !ok {
			q.refuse(http.StatusBadRequest, "InvalidArgument")
			return
		}
	}
	p, err := q.bucket.CopyPart(q.r.Context(), q.key, uploadID, n, src, r)
	if err != nil {
		q.fail(err)
		return
	}
	f.remember(uploadID, p)
	q.answer(copyResult{XMLName: xml.Name{Local: "CopyPartResult"}, ETag: quote(p.ETag)})
}

func (f *Front) completeUpload(q *request, uploadID string) {
	var in completeRequest
	if err := xml.NewDecoder(q.r.Body).Decode(&in); err != nil || len(in.Part) == 0 {
		q.refuse(http.StatusBadRequest, "MalformedXML")
		return
	}
	var parts []objstore.Part
	for _, p := range in.Part {
		parts = append(parts, objstore.Part{Number: int(p.PartNumber), ETag: unquote(p.ETag), Size: f.sizeOf(uploadID, p.PartNumber)})
	}
	e, err := q.bucket.CompleteUpload(q.r.Context(), q.key, uploadID, parts, q.condition())
	if err != nil {
		q.fail(err)
		return
	}
	f.forget(uploadID)
	q.answer(completeResult{ETag: quote(e.ETag)})
}

func (f *Front) abortUpload(q *request, uploadID string) {
	if err := q.bucket.AbortUpload(q.r.Context(), q.key, uploadID); err != nil {
		q.fail(err)
		return
	}
	f.forget(uploadID)
	q.w.WriteHeader(http.StatusNoContent)
}

func (q *request) listUploads() {
	escape := q.escaper()
	out := uploadsResult{EncodingType: q.query.Get("encoding-type")}
	for u, err := range q.bucket.ListUploads(q.r.Context(), q.query.Get("prefix")) {
		if err != nil {
			q.fail(err)
			return
		}
		out.Upload = append(out.Upload, listedUpload{Key: escape(u.Key), UploadID: u.ID, Initiated: stamp(u.Initiated)})
	}
	q.answer(out)
}
