package s3store

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"

	"github.com/headrace/headrace/objstore"
)

// algorithm is how a store makes sure that it has what it was sent. The best comes first; what a store does not know is
// learnt from its first answers.
type algorithm int32

const (
	algorithmCRC64  algorithm = iota // CRC64NVME: also of the whole of an object that is sent in parts
	algorithmCRC32C                  // of each request
	algorithmMD5                     // Content-MD5, which the oldest stores know
)

// String is the algorithm in logs and in [objstore.Part].
func (a algorithm) String() string { return [...]string{"crc64nvme", "crc32c", "md5"}[a] }

// checksum is of one body: base64 of its big-endian value, as the headers have it.
type checksum struct {
	algorithm algorithm
	value     string
}

// String is the checksum in [objstore.Part]; empty for one that says nothing about other requests.
func (s checksum) String() string {
	if s.value == "" || s.algorithm == algorithmMD5 {
		return ""
	}
	return s.algorithm.String() + ":" + s.value
}

// parseChecksum reads what String wrote.
func parseChecksum(text string) (s checksum, ok bool) {
	name, value, ok := strings.Cut(text, ":")
	for _, a := range []algorithm{algorithmCRC64, algorithmCRC32C} {
		if ok && name == a.String() {
			return checksum{a, value}, true
		}
	}
	return s, false
}

// crc64, crc32c and md5 are the value for the header of that algorithm, and nil for the others.
func (s checksum) crc64() *string  { return s.header(algorithmCRC64) }
func (s checksum) crc32c() *string { return s.header(algorithmCRC32C) }
func (s checksum) md5() *string    { return s.header(algorithmMD5) }

func (s checksum) header(a algorithm) *string {
	if s.algorithm != a || s.value == "" {
		return nil
	}
	return &s.value
}

// sumBuffers are what bodies are read with.
var sumBuffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// sumOf reads body to its end and back.
func sumOf(a algorithm, body io.ReadSeeker) (checksum, error) {
	h := map[algorithm]func() hash.Hash{
		algorithmCRC64:  func() hash.Hash { return crc64nvme.New() },
		algorithmCRC32C: func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
		algorithmMD5:    md5.New,
	}[a]()
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return checksum{}, err
	}
	buffer := sumBuffers.Get().(*[]byte)
	defer sumBuffers.Put(buffer)
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{body}, *buffer); err != nil {
		return checksum{}, err
	}
	_, err = body.Seek(start, io.SeekStart)
	return checksum{a, base64.StdEncoding.EncodeToString(h.Sum(nil))}, err
}

// checksums are what is known of a store: the best algorithm that it has, and which one each multipart upload was begun
// with.
type checksums struct {
	best    atomic.Int32
	uploads sync.Map // upload id to algorithm
	log     *slog.Logger
}

func (c *checksums) algorithm() algorithm { return algorithm(c.best.Load()) }

// ofUpload is the algorithm of a multipart upload: all its parts have the same.
func (c *checksums) ofUpload(id string) algorithm {
	if a, ok := c.uploads.Load(id); ok {
		return a.(algorithm)
	}
	return c.algorithm() // of an earlier process
}

// lacks notes that the store does not have an algorithm.
func (c *checksums) lacks(a algorithm) {
	if a < algorithmMD5 && c.best.CompareAndSwap(int32(a), int32(a+1)) {
		c.log.Info("the store does not verify this checksum: sending another", "checksum", a.String(), "instead", (a + 1).String())
	}
}

// try makes a request with a checksum of its body. One that the store refuses for the checksum is made again with the
// next.
func (c *checksums) try(a algorithm, body io.ReadSeeker, request func(checksum) error) (sum checksum, err error) {
	for first := error(nil); ; a++ {
		if sum, err = sumOf(a, body); err != nil {
			return sum, err
		}
		if err = request(sum); err == nil || a == algorithmMD5 || !refusesChecksum(err) {
			if first != nil && err != nil { // it was not for the checksum
				err = first
			}
			for worse := c.algorithm(); err == nil && first != nil && worse < a; worse++ {
				c.lacks(worse)
			}
			return sum, err
		}
		if first == nil {
			first = err
		}
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return sum, err
		}
	}
}

// refusesChecksum tells whether a refusal may be for a header that the store does not know.
func refusesChecksum(err error) bool {
	e, ok := errors.AsType[*objstore.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case "InvalidRequest", "InvalidArgument", "NotImplemented", "XNotImplemented", "":
		return e.Status == http.StatusBadRequest || e.Status == http.StatusNotImplemented
	}
	return false
}

// verify compares what was sent with what the store says it has: its checksum where it tells one, else an ETag that can
// be an MD5 sum. A store that tells none has not looked: the next request has another one.
func (c *checksums) verify(sum checksum, echoed *string, etag string, body io.ReadSeeker) error {
	switch {
	case sum.algorithm == algorithmMD5: // the store has compared it with the header
		return nil
	case echoed != nil && *echoed == sum.value:
		return nil
	case echoed != nil && *echoed != "":
		return fmt.Errorf("%w: the store has %s %s, sent was %s", objstore.ErrCorrupt, sum.algorithm, *echoed, sum.value)
	}
	c.lacks(sum.algorithm)
	if _, err := body.Seek(0, io.SeekStart); err != nil { // the request has read it
		return err
	}
	own, err := sumOf(algorithmMD5, body)
	if err != nil {
		return err
	}
	theirs, err := hex.DecodeString(etag)
	if err == nil && len(theirs) == md5.Size && base64.StdEncoding.EncodeToString(theirs) != own.value {
		// With encryption by keys of its own a store has ETags that look like MD5 sums and are none: it is not known that
		// this is wrong.
		c.log.Warn("the ETag is not the MD5 sum of what was sent, and the store verifies no other checksum", "etag", etag)
	}
	return nil
}

// echo is the checksum among those that a store tells.
func (s checksum) echo(crc64, crc32c *string) *string {
	if s.algorithm == algorithmCRC64 {
		return crc64
	}
	return crc32c
}

// sdk is the SDK's name of an algorithm; empty for MD5, which has none.
func (a algorithm) sdk() types.ChecksumAlgorithm {
	return [...]types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmCrc32c, ""}[a]
}

// kind says whether the parts' checksums make one of the whole object.
func (a algorithm) kind() types.ChecksumType {
	return [...]types.ChecksumType{types.ChecksumTypeFullObject, types.ChecksumTypeComposite, ""}[a]
}

// whole is the checksum of an object of these parts; false when one of them is not known.
func whole(parts []objstore.Part) (checksum, bool) {
	crc := uint64(0)
	for _, p := range parts {
		s, ok := parseChecksum(p.Checksum)
		raw, err := base64.StdEncoding.DecodeString(s.value)
		if !ok || s.algorithm != algorithmCRC64 || err != nil || len(raw) != crc64nvme.Size {
			return checksum{}, false
		}
		crc = combineCRC64(crc, binary.BigEndian.Uint64(raw), p.Size)
	}
	return checksum{algorithmCRC64, base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc))}, len(parts) > 0
}

// crc64Polynomial is NVMe's, reversed. See the NVM Express specification, 64b CRC.
const crc64Polynomial = 0x9a6c9329ac4bc9b5

// combineCRC64 is the CRC of two runs of bytes from those of each: the first one's is shifted by as many zero bytes as
// the second has, by squaring the matrix that shifts by one bit, as zlib's crc32_combine does.
func combineCRC64(first, second uint64, length int64) uint64 {
	var shift [64]uint64 // by one zero bit: a matrix over GF(2), a column an element
	shift[0] = crc64Polynomial
	for i := range 63 {
		shift[i+1] = 1 << i
	}
	for range 3 { // by a byte
		shift = multiply(shift, shift)
	}
	for ; length > 0; length >>= 1 {
		if length&1 == 1 {
			first = apply(shift, first)
		}
		shift = multiply(shift, shift)
	}
	return first ^ second
}

func apply(m [64]uint64, v uint64) (sum uint64) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			sum ^= m[i]
		}
	}
	return sum
}

func multiply(a, b [64]uint64) (product [64]uint64) {
	for i, column := range b {
		product[i] = apply(a, column)
	}
	return product
}
