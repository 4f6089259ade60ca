package s3store

import (
	"net/http"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// datePrefix is in front of what stands for an ETag where a store gives none, as gateways do for files that came into
// their folder by other ways: the time of the last modification. A content that is replaced by one of the same size
// within the same second is not told apart by it, so it is the weaker promise, made only where there is no other.
const datePrefix = "modified "

// normaliseETag strips what stores put around an ETag: quotes and the weak prefix.
func normaliseETag(etag string) string {
	return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
}

func quoteETag(etag string) string { return `"` + etag + `"` }

// versionTag tells contents of one key apart: by the ETag, or else by the time of modification; "" when there is
// neither.
func versionTag(etag string, modified time.Time) string {
	if tag := normaliseETag(etag); tag != "" || modified.IsZero() {
		return tag
	}
	return datePrefix + modified.UTC().Format(time.RFC3339)
}

// noteTag says once that what a store tells of an object is less than is needed to change it. Nothing would say so
// before somebody else's ESTALE.
func (b *Bucket) noteTag(e objstore.Entry) {
	if !strings.HasPrefix(e.ETag, datePrefix) {
		return
	}
	b.client.withoutETag.Do(func() {
		b.client.config.Log.Warn("the store gives no ETag of an object: it is read by its time of modification, in seconds, and can be removed, but changing, replacing or renaming it is ESTALE. "+
			"Have the store keep ETags (versitygw: without --nometa, on a file system with extended attributes or with --sidecar), and store again what has none", "bucket", b.name, "key", e.Key)
	})
}

// condition has a request answered only if the object is the one that tag stands for. By a time alone it is not asked:
// stores have it finer than they tell, and would refuse the very second they told. The answer is compared in any case.
func condition(header http.Header, tag string) {
	if !strings.HasPrefix(tag, datePrefix) {
		header["If-Match"] = []string{quoteETag(tag)}
	}
}

// lastModified is the time in an answer, in whole seconds; zero when there is none.
func lastModified(h http.Header) time.Time {
	at, err := http.ParseTime(headerValue(h, "Last-Modified"))
	if err != nil {
		return time.Time{}
	}
	return at.UTC().Truncate(time.Second)
}
