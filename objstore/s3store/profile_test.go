package s3store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// home makes a home directory with these files, and an environment that says nothing else.
func home(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for _, variable := range []string{
		"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_REGION",
		"AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	} {
		t.Setenv(variable, "") // which puts it back at the end
		if err := os.Unsetenv(variable); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", dir)
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The SDK looked for them when the program began.
	configs, credentials := config.DefaultSharedConfigFiles, config.DefaultSharedCredentialsFiles
	t.Cleanup(func() { config.DefaultSharedConfigFiles, config.DefaultSharedCredentialsFiles = configs, credentials })
	config.DefaultSharedConfigFiles = []string{filepath.Join(dir, ".aws/config")}
	config.DefaultSharedCredentialsFiles = []string{filepath.Join(dir, ".aws/credentials")}
}

// The files as CoreWeave's documentation has them.
const (
	cwConfigText = `[profile cw]
region = US-EAST-04A
endpoint_url = https://cwobject.com
output = json
s3 =
    addressing_style = virtual
`
	cwCredentialsText = `[cw]
aws_access_key_id = CWKEY
aws_secret_access_key = cwsecret
`
)

func TestProfiles(t *testing.T) {
	cw := map[string]string{".coreweave/cw.config": cwConfigText, ".coreweave/cw.credentials": cwCredentialsText}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, files := range []map[string]string{cw, more} {
			for name, text := range files {
				all[name] = text
			}
		}
		return all
	}
	other := map[string]string{
		".aws/config":      "[default]\nregion = eu-west-1\n[profile other]\nregion = eu-north-1\ns3 =\n  addressing_style = path\n",
		".aws/credentials": "[default]\naws_access_key_id = AWSKEY\naws_secret_access_key = s\n[other]\naws_access_key_id = OTHER\naws_secret_access_key = s\n",
	}
	services := map[string]string{
		".aws/config": "[default]\nregion = r\nendpoint_url = https://profile.test\nservices = mine\naws_access_key_id = K\naws_secret_access_key = s\n" +
			"[services mine]\ns3 =\n  endpoint_url = https://services.test\n",
	}
	for _, c := range []struct {
		name          string
		files         map[string]string
		env           map[string]string
		config        Config
		key, endpoint string
		named         string // what has named the endpoint
		region        string
		path          bool
	}{
		{name: "CoreWeave's alone", files: cw, key: "CWKEY", endpoint: Origin, named: "profile cw", region: "US-EAST-04A"},
		{name: "CoreWeave's by name", files: with(other), config: Config{Profile: "cw"}, key: "CWKEY", endpoint: Origin, named: "profile cw", region: "US-EAST-04A"},
		{name: "a default beside it", files: with(other), key: "AWSKEY", region: "eu-west-1"},
		{name: "another", files: with(other), env: map[string]string{"AWS_PROFILE": "other"}, key: "OTHER", region: "eu-north-1", path: true},
		{
			name: "a credential in the environment", files: cw, env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"},
			key: "ENV", region: defaultRegion,
		},
		{
			name: "a credential in the environment, and a profile there", files: other,
			env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "other"},
			key: "ENV", region: "eu-north-1", path: true,
		},
		{
			name: "a credential in the environment, and a profile given", files: other, config: Config{Profile: "other"},
			env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, key: "OTHER", region: "eu-north-1", path: true,
		},
		{name: "the services section before the profile", files: services, key: "K", endpoint: "https://services.test", named: "profile default", region: "r"},
		{
			name: "the environment before the services section", files: services, env: map[string]string{"AWS_ENDPOINT_URL": "https://any.test"},
			key: "K", endpoint: "https://any.test", named: "AWS_ENDPOINT_URL", region: "r",
		},
		{
			name: "the environment's endpoint of S3 before that of all", files: services, key: "K", endpoint: "https://s3.test", named: "AWS_ENDPOINT_URL_S3", region: "r",
			env: map[string]string{"AWS_ENDPOINT_URL": "https://any.test", "AWS_ENDPOINT_URL_S3": "https://s3.test"},
		},
		{
			name: "what is given before all", files: services, config: Config{Endpoint: "https://given.test"}, key: "K", endpoint: "https://given.test", region: "r",
			env: map[string]string{"AWS_ENDPOINT_URL": "https://any.test", "AWS_ENDPOINT_URL_S3": "https://s3.test"},
		},
		{
			name: "no configured endpoint at all", files: services, key: "K", region: "r",
			env: map[string]string{"AWS_ENDPOINT_URL": "https://any.test", "AWS_ENDPOINT_URL_S3": "https://s3.test", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
		},
		{
			name: "nor by the profile's word", key: "K", region: "r", env: map[string]string{"AWS_ENDPOINT_URL_S3": "https://s3.test"},
			files: map[string]string{".aws/config": strings.Replace(services[".aws/config"], "region = r\n", "region = r\nignore_configured_endpoint_urls = true\n", 1)},
		},
		{
			name: "but one that is given", files: services, config: Config{Endpoint: "https://given.test"}, key: "K", endpoint: "https://given.test", region: "r",
			env: map[string]string{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
		},
		{
			name: "the services section of the profile that is asked for", config: Config{Profile: "two"}, key: "K2", endpoint: "https://second.test", named: "profile two", region: "r2",
			files: map[string]string{".aws/config": services[".aws/config"] + "[profile two]\nregion = r2\nservices = second\naws_access_key_id = K2\naws_secret_access_key = s\n" +
				"[services second]\ns3 =\n  endpoint_url = https://second.test\n"},
		},
		{
			name: "an endpoint in the environment", files: cw, env: map[string]string{"AWS_ENDPOINT_URL": "https://elsewhere.test"},
			key: "CWKEY", endpoint: "https://elsewhere.test", named: "AWS_ENDPOINT_URL", region: "US-EAST-04A",
		},
		{name: "an endpoint given", files: cw, config: Config{Endpoint: "http://127.0.0.1:1"}, key: "CWKEY", endpoint: "http://127.0.0.1:1", region: "US-EAST-04A", path: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			home(t, c.files)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			client := newClient(t, c.config)
			key, err := client.Identity(t.Context())
			if err != nil || key != c.key {
				t.Errorf("signs as %s, %v; want %s", key, err, c.key)
			}
			if got := client.EndpointSource(); got != c.named {
				t.Errorf("the endpoint is named by %q, want %q", got, c.named)
			}
			if got := aws.ToString(client.options.BaseEndpoint); got != c.endpoint {
				t.Errorf("goes to %q, want %q", got, c.endpoint)
			}
			if client.options.Region != c.region || client.options.UsePathStyle != c.path {
				t.Errorf("region %s, path style %t; want %s, %t", client.options.Region, client.options.UsePathStyle, c.region, c.path)
			}
		})
	}
}

func TestParseProfile(t *testing.T) {
	got, ok := parseProfile([]byte("x = 1\n[ profile a ]\n# region = no\nRegion=one\ns3 =\n\taddressing_style = path\n  max = 2\nother = 3\n[b]\nregion = two\n"), "a")
	want := map[string]string{"region": "one", "s3": "", "s3.addressing_style": "path", "s3.max": "2", "other": "3"}
	if !ok || len(got) != len(want) {
		t.Errorf("%v, %t", got, ok)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
	if _, ok := parseProfile([]byte("[b]\n"), "a"); ok {
		t.Error("a profile that is not there was found")
	}
}
