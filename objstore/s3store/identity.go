package s3store

import "context"

// anonymousIdentity is who sends unsigned requests.
const anonymousIdentity = "anonymous"

// Identity is the id of the access key in use now, and "anonymous" where requests are not signed. It stands for whose
// credentials these are: not a secret, but not for logs either. Errors are those of any request that needs a
// credential.
func (c *Client) Identity(ctx context.Context) (string, error) {
	if c.anonymous {
		return anonymousIdentity, nil
	}
	credential, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return "", c.fail(ctx, target{op: "Credentials"}, err)
	}
	return credential.AccessKeyID, nil
}
