package s3store

import (
	"strings"
	"testing"
)

// Whose a credential is goes by what its source was told to ask for.
func TestWhose(t *testing.T) {
	profile := map[string]string{".aws/config": "[profile p]\nrole_arn = arn:aws:iam::1:role/p\nsource_profile = s\n[profile s]\naws_access_key_id = K\naws_secret_access_key = s\n"}
	for _, c := range []struct {
		source, want string
		files        map[string]string
		env          map[string]string
	}{
		{source: "EnvConfigCredentials", env: map[string]string{"AWS_ACCESS_KEY_ID": "K", "AWS_SECRET_ACCESS_KEY": "secret"}},
		{source: "WebIdentityCredentials", want: "role arn:aws:iam::1:role/r", env: map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}},
		{source: "AssumeRoleProvider", want: "profile p, role arn:aws:iam::1:role/p", files: profile, env: map[string]string{"AWS_PROFILE": "p"}},
		{source: "SharedConfigCredentials: /some/file", want: "profile s", files: profile, env: map[string]string{"AWS_PROFILE": "s"}},
		{source: "EC2RoleProvider"},
		{source: "CredentialsEndpointProvider", want: "agent at http://127.0.0.1:9", env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://user:secret@127.0.0.1:9/secret?token=secret"}},
		{source: "CredentialsEndpointProvider", want: "the container's agent", env: map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/secret"}},
	} {
		t.Run(c.source+" "+c.want, func(t *testing.T) {
			home(t, c.files)
			t.Setenv("AWS_ROLE_ARN", "")
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			sdk, err := Config{}.withDefaults().sdkConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := whose(c.source, sdk.ConfigSources); got != c.want || strings.Contains(got, "secret") {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
