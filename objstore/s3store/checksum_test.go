package s3store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/minio/crc64nvme"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/s3server"
)

// TestCombineCRC64: the checksum of a whole is that of its parts, whatever their lengths.
func TestCombineCRC64(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		content := make([]byte, random.IntN(100_000))
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		var parts []objstore.Part
		for rest := content; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			raw := binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(rest[:n]))
			parts = append(parts, objstore.Part{Size: int64(n), Checksum: checksum{algorithmCRC64, base64.StdEncoding.EncodeToString(raw)}.String()})
			rest = rest[n:]
		}
		got, ok := whole(parts)
		want := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(content)))
		if ok != (len(parts) > 0) || ok && got.value != want {
			t.Fatalf("%d bytes in %d parts: %q %v, want %q", len(content), len(parts), got.value, ok, want)
		}
	}
	if _, ok := whole([]objstore.Part{{Size: 1, Checksum: "crc32c:AAAAAA=="}}); ok {
		t.Error("a part of another checksum was taken")
	}
}

// verifier is a server that takes objects and verifies as much as a store of a certain age does.
type verifier struct {
	refuses map[string]int    // headers that are answered with this status
	echoes  map[string]string // headers that come back, with this value or, for "", their own

	mu   sync.Mutex // guards seen
	seen []string   // checksum headers of each request
}

var checksumHeaders = []string{"X-Amz-Checksum-Crc64nvme", "X-Amz-Checksum-Crc32c", "Content-Md5"}

func (v *verifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	sent := ""
	for _, h := range checksumHeaders {
		if r.Header.Get(h) != "" {
			sent = h
		}
	}
	v.mu.Lock()
	v.seen = append(v.seen, sent)
	v.mu.Unlock()
	if status, refused := v.refuses[sent]; refused {
		w.WriteHeader(status)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>NotImplemented</Code></Error>`)
		return
	}
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef-1"`)
	if value, ok := v.echoes[sent]; ok {
		if value == "" {
			value = r.Header.Get(sent)
		}
		w.Header().Set(sent, value)
	}
}

func (v *verifier) bucket(t *testing.T) objstore.Bucket {
	t.Helper()
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	client, err := New(context.Background(), Config{Endpoint: server.URL, Region: "us-east-1", AccessKey: "a", SecretKey: "b", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &Bucket{client: client, api: client.api, name: "bucket"}
}

// TestChecksumIsLearnt: each request has the best checksum that the store verifies, and what it does not have is found
// out once.
func TestChecksumIsLearnt(t *testing.T) {
	crc64, crc32c, md5 := checksumHeaders[0], checksumHeaders[1], checksumHeaders[2]
	for name, c := range map[string]struct {
		store *verifier
		want  []string
	}{
		"has all":              {&verifier{echoes: map[string]string{crc64: ""}}, []string{crc64, crc64, crc64}},
		"ignores the newest":   {&verifier{echoes: map[string]string{crc32c: ""}}, []string{crc64, crc32c, crc32c}},
		"ignores all":          {&verifier{}, []string{crc64, crc32c, md5}},
		"refuses the newest":   {&verifier{refuses: map[string]int{crc64: 501}, echoes: map[string]string{crc32c: ""}}, []string{crc64, crc32c, crc32c, crc32c}},
		"refuses all but MD5":  {&verifier{refuses: map[string]int{crc64: 400, crc32c: 501}}, []string{crc64, crc32c, md5, md5, md5}},
		"refuses all there is": {&verifier{refuses: map[string]int{crc64: 501, crc32c: 501, md5: 501}}, nil},
	} {
		b := c.store.bucket(t)
		for range 3 {
			_, err := b.Put(context.Background(), "key", bytes.NewReader([]byte("content")), 7, objstore.Condition{}, objstore.Attributes{})
			if (err != nil) != (c.want == nil) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if c.want != nil && fmt.Sprint(c.store.seen) != fmt.Sprint(c.want) {
			t.Errorf("%s: sent were %v, want %v", name, c.store.seen, c.want)
		}
	}
}

// TestChecksumMismatch: a store that has something else than what was sent has not stored it.
func TestChecksumMismatch(t *testing.T) {
	v := verifier{echoes: map[string]string{checksumHeaders[0]: "AAAAAAAAAAA="}}
	b := v.bucket(t)
	_, err := b.Put(context.Background(), "key", bytes.NewReader([]byte("content")), 7, objstore.Condition{}, objstore.Attributes{})
	if !errors.Is(err, objstore.ErrCorrupt) {
		t.Errorf("an object: %v", err)
	}
	_, err = b.UploadPart(context.Background(), "key", "id", 1, bytes.NewReader([]byte("content")), 7)
	if !errors.Is(err, objstore.ErrCorrupt) {
		t.Errorf("a part: %v", err)
	}
}

// TestWholeMismatch: an object whose checksum, as the store tells it, is not that of its parts is not what was sent.
func TestWholeMismatch(t *testing.T) {
	part := objstore.Part{Number: 1, ETag: "e", Size: 7, Checksum: checksum{algorithmCRC64, "AAAAAAAAAAE="}.String()}
	for told, want := range map[string]error{"AAAAAAAAAAE=": nil, "AAAAAAAAAAI=": objstore.ErrCorrupt} {
		b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `<CompleteMultipartUploadResult><ETag>"e-1"</ETag><ChecksumCRC64NVME>%s</ChecksumCRC64NVME></CompleteMultipartUploadResult>`, told)
		})
		e, err := b.CompleteUpload(t.Context(), "k", "1", []objstore.Part{part}, objstore.Condition{})
		if !errors.Is(err, want) || e.ETag != "e-1" {
			t.Errorf("%s: %+v, %v, want %v", told, e, err, want)
		}
	}
}

// TestChecksumsAreVerified against a real server: it says what it has of an object, of each part and of the whole.
func TestChecksumsAreVerified(t *testing.T) {
	b := serverBuckets(t, s3server.Versitygw)(t).(*Bucket)
	ctx := context.Background()
	if _, err := b.Put(ctx, "small", bytes.NewReader([]byte("content")), 7, objstore.Condition{}, objstore.Attributes{}); err != nil {
		t.Fatal(err)
	}
	id, err := b.CreateUpload(ctx, "large", objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 6<<16) // 6 MiB
	var parts []objstore.Part
	for n := range 2 {
		p, err := b.UploadPart(ctx, "large", id, n+1, bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	if _, known := whole(parts); !known {
		t.Errorf("the parts are %+v: the server verifies no CRC64NVME", parts)
	}
	if _, err := b.CompleteUpload(ctx, "large", id, parts, objstore.Condition{}); err != nil {
		t.Fatal(err)
	}
	if a := b.client.checksums.algorithm(); a != algorithmCRC64 {
		t.Errorf("after it all, %s is the best it has", a)
	}
}

// TestETagIsCompared: where the store verifies nothing, an ETag that can be an MD5 sum is compared with what was sent,
// and a difference is told.
func TestETagIsCompared(t *testing.T) {
	for etag, told := range map[string]bool{"9a0364b9e99bb480dd25e1f0284c8555": false, "9a0364b9e99bb480dd25e1f0284c8556": true, "9a0364b9e99bb480dd25e1f0284c8556-1": false} {
		var log bytes.Buffer
		b := bucketOver(t, Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("ETag", `"`+etag+`"`)
		})
		_, err := b.Put(t.Context(), "key", bytes.NewReader([]byte("content")), 7, objstore.Condition{}, objstore.Attributes{})
		if err != nil || (log.Len() > 0) != told {
			t.Errorf("%s: %v, told %q", etag, err, log.String())
		}
	}
}
