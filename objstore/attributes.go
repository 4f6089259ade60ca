package objstore

import (
	"context"
	"errors"
)

// KeptHeaders are those that a store keeps of an object beside its content type and gives back with each answer about
// it, in the form that [net/http.Header] has. They mean something to other clients, and nothing here but that they go
// along. See PutObject in the S3 API.
func KeptHeaders() [6]string {
	return [...]string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires", "X-Amz-Website-Redirect-Location"}
}

// WriterMetadata is the user metadata that names whose write made an object, where its bytes do not tell: of two
// clients that put the same under a name that must be new, the one whose first answer was lost knows by it whether the
// object in its way is its own. It means nothing to others.
const WriterMetadata = "headrace-writer"

// HeadersFrom are those of [KeptHeaders] that get has a value for; nil where there is none.
func HeadersFrom(get func(name string) string) (headers map[string]string) {
	for _, name := range KeptHeaders() {
		if value := get(name); value != "" {
			if headers == nil {
				headers = make(map[string]string)
			}
			headers[name] = value
		}
	}
	return headers
}

// AttributesOf is what goes along with an object that e, from Stat, describes, for another write of it. Its tags are
// asked for where the store says that it has some.
func AttributesOf(ctx context.Context, b Bucket, e Entry) (Attributes, error) {
	a := Attributes{ContentType: e.ContentType, Metadata: e.Metadata, StorageClass: e.StorageClass, Headers: e.Headers}
	tagger, ok := AsTagger(b)
	if !ok || !e.Tagged {
		return a, nil
	}
	var err error
	a.Tags, err = tagger.Tags(ctx, e.Key)
	return a, err
}

// AllAttributesOf is AttributesOf for an object that is going to be gone: not all stores say that it has tags, and none
// says so to who may not read them, so they are asked for in any case. A store that has no tags has none to lose.
func AllAttributesOf(ctx context.Context, b Bucket, e Entry) (Attributes, error) {
	said := e.Tagged
	e.Tagged = true
	a, err := AttributesOf(ctx, b, e)
	if !said && (errors.Is(err, ErrUnsupported) || errors.Is(err, ErrNotExist)) {
		err = nil
	}
	return a, err
}
