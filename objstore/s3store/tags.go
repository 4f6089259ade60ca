package s3store

import (
	"context"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/headrace/headrace/objstore"
)

// headerTagCount says that an object has tags; there is none when it has not. See HeadObject in the S3 API.
const headerTagCount = "X-Amz-Tagging-Count"

// Tags asks for an object's tags. See [objstore.Tagger].
func (b *Bucket) Tags(ctx context.Context, key string) (string, error) {
	out, err := b.api.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &b.name, Key: &key})
	if err != nil {
		if err = b.client.fail(ctx, b.target("GetObjectTagging", key), err); codeOf(err) == "NoSuchTagSet" { // as some stores say that it has none
			err = nil
		}
		return "", err
	}
	tags := make(url.Values, len(out.TagSet))
	for _, t := range out.TagSet {
		tags.Set(aws.ToString(t.Key), aws.ToString(t.Value))
	}
	return tags.Encode(), nil
}

var _ objstore.Tagger = (*Bucket)(nil)
