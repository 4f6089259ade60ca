package objstore

import "context"

// AttributesOf is what goes along with an object that e, from Stat, describes, for another write of it. Its tags are asked for where it has some.
func AttributesOf(ctx context.Context, b Bucket, e Entry) (Attributes, error) {
	a := Attributes{ContentType: e.ContentType, Metadata: e.Metadata, StorageClass: e.StorageClass}
	tagger, ok := AsTagger(b)
	if !ok || !e.Tagged {
		return a, nil
	}
	var err error
	a.Tags, err = tagger.Tags(ctx, e.Key)
	return a, err
}
