package posixmeta

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
)

// parseXattrs reads what s3fs keeps extended attributes as.
func parseXattrs(text string) map[string]string {
	if text == "" {
		return nil
	}
	unescaped, err := url.PathUnescape(text)
	if err != nil {
		return nil
	}
	var encoded map[string]string
	if json.Unmarshal([]byte(unescaped), &encoded) != nil {
		return nil
	}
	xattrs := make(map[string]string, len(encoded))
	for name, value := range encoded {
		decoded, err := base64.StdEncoding.DecodeString(value)
		if err == nil {
			xattrs[name] = string(decoded)
		}
	}
	return xattrs
}

func formatXattrs(xattrs map[string]string) string {
	if len(xattrs) == 0 {
		return ""
	}
	encoded := make(map[string]string, len(xattrs))
	for name, value := range xattrs {
		encoded[name] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	text, _ := json.Marshal(encoded) // strings always can be; names come out sorted
	return url.PathEscape(string(text))
}
