package s3store

import (
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
)

// whose tells for whom a source of the SDK's chain has given a credential, by what it was told to ask for and without
// asking anybody: a role, an agent of a container, a profile. "" where the source says it all. Nothing in it is a
// secret.
func whose(source string, sources []any) string {
	var env config.EnvConfig
	var shared config.SharedConfig
	for _, s := range sources {
		switch s := s.(type) {
		case config.EnvConfig:
			env = s
		case config.SharedConfig:
			shared = s
		}
	}
	profile := ""
	if shared.Profile != "" {
		profile = "profile " + shared.Profile
	}
	switch {
	case source == stscreds.WebIdentityProviderName && env.RoleARN != "" && env.WebIdentityTokenFilePath != "":
		return "role " + env.RoleARN
	case source == stscreds.WebIdentityProviderName, source == stscreds.ProviderName:
		if shared.RoleARN != "" {
			return strings.TrimPrefix(profile+", role "+shared.RoleARN, ", ")
		}
	case source == endpointcreds.ProviderName:
		return containerAgent(os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"))
	case source == config.CredentialsSourceName, source == "StaticCredentials", source == ec2rolecreds.ProviderName: // given, or of the machine: no profile is asked for
		return ""
	}
	return profile
}

// containerAgent is where a container's credentials are asked for, without what might authorize it. A relative address
// may itself be what does: it is not told.
func containerAgent(full, relative string) string {
	if relative != "" {
		return "the container's agent"
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" {
		return ""
	}
	return "agent at " + u.Scheme + "://" + u.Host
}
