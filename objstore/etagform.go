package objstore

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// ETagForm is in what form an ETag takes less room than its text.
type ETagForm byte

// The forms.
const (
	ETagText  ETagForm = iota // none: as it is
	ETagMD5                   // 16 bytes
	ETagParts                 // 16 bytes, and the number of parts
)

// SplitETag takes an ETag apart that [JoinETag] puts together again byte for byte.
func SplitETag(etag string) (sum [16]byte, parts uint64, form ETagForm) {
	digits, count, multipart := strings.Cut(etag, "-")
	if len(digits) != 2*len(sum) || strings.ToLower(digits) != digits {
		return sum, 0, ETagText
	}
	if _, err := hex.Decode(sum[:], []byte(digits)); err != nil {
		return sum, 0, ETagText
	}
	if !multipart {
		return sum, 0, ETagMD5
	}
	parts, err := strconv.ParseUint(count, 10, 32)
	if err != nil || strconv.FormatUint(parts, 10) != count {
		return sum, 0, ETagText
	}
	return sum, parts, ETagParts
}

// JoinETag is the ETag of a form that is not [ETagText].
func JoinETag(sum []byte, parts uint64, form ETagForm) string {
	if form == ETagMD5 {
		return hex.EncodeToString(sum)
	}
	return hex.EncodeToString(sum) + "-" + strconv.FormatUint(parts, 10)
}
