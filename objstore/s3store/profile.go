package s3store

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
)

// CoreWeave's documentation has its users keep credentials and configuration in files of their own, under a profile of
// their own. Its tools are pointed at them by AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE; here they are also read
// where nobody says so. https://docs.coreweave.com/products/storage/object-storage/get-started-caios
const (
	cwDirectory   = ".coreweave"
	cwConfig      = "cw.config"
	cwCredentials = "cw.credentials"
	cwProfile     = "cw"
)

const (
	defaultProfileName = "default"
	stylePath          = "path"
)

// sharedFiles are the files of profiles that are read, and the profile.
type sharedFiles struct {
	configs, credentials []string
	profile              string // "" for what the SDK takes
	chosen               bool   // by the user of this package, or here: its credential comes before those of the environment
}

// findSharedFiles goes by the environment, as the SDK does, and else by the SDK's files and CoreWeave's. The profile is
// what was asked for; where nothing was, and there is no default one, nor a credential in the environment, CoreWeave's.
func findSharedFiles(asked string) sharedFiles {
	home, _ := os.UserHomeDir()
	own := func(name string) string { return filepath.Join(home, cwDirectory, name) }
	f := sharedFiles{
		configs:     filesOf("AWS_CONFIG_FILE", config.DefaultSharedConfigFiles, own(cwConfig)),
		credentials: filesOf("AWS_SHARED_CREDENTIALS_FILE", config.DefaultSharedCredentialsFiles, own(cwCredentials)),
		profile:     asked,
		chosen:      asked != "",
	}
	for _, variable := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		if f.profile == "" {
			f.profile = os.Getenv(variable)
		}
	}
	if f.profile == "" && !credentialInEnvironment() && !f.has(defaultProfileName) && f.has(cwProfile) {
		f.profile, f.chosen = cwProfile, true
	}
	return f
}

// credentialInEnvironment tells whether the environment holds a credential, or names a source of one.
func credentialInEnvironment() bool {
	return slices.ContainsFunc([]string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	}, func(variable string) bool { return os.Getenv(variable) != "" })
}

// filesOf are the file that a variable names, or those that are read without it.
func filesOf(variable string, usual []string, own string) []string {
	if named := os.Getenv(variable); named != "" {
		return []string{named}
	}
	return append(slices.Clone(usual), own)
}

// has tells whether any of the files has a profile.
func (f sharedFiles) has(profile string) bool {
	for _, name := range slices.Concat(f.configs, f.credentials) {
		if _, ok := readProfile(name, profile); ok {
			return true
		}
	}
	return false
}

// pathStyle tells whether the profile asks for the bucket in a URL's path. The SDK for Go does not know this setting,
// which others have: `addressing_style`, indented below `s3 =`. Its other values are what is done anyway.
// https://docs.aws.amazon.com/cli/latest/topic/s3-config.html
func (f sharedFiles) pathStyle() bool {
	profile := f.profile
	if profile == "" {
		profile = defaultProfileName
	}
	return slices.ContainsFunc(f.configs, func(name string) bool {
		settings, _ := readProfile(name, profile)
		return settings["s3.addressing_style"] == stylePath
	})
}

// readProfile reads the settings of a profile in a file, by name; those that are indented below another by both names
// with a dot between them. false when the file does not have the profile, or cannot be read.
func readProfile(file, profile string) (settings map[string]string, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, false
	}
	return parseProfile(text, profile)
}

func parseProfile(text []byte, profile string) (settings map[string]string, ok bool) {
	settings = make(map[string]string)
	inside, above := false, ""
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		bare := strings.TrimSpace(line)
		switch {
		case bare == "", bare[0] == '#', bare[0] == ';':
			continue
		case bare[0] == '[':
			section, _, _ := strings.Cut(bare[1:], "]")
			section = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(section), "profile "))
			inside, above = section == profile, ""
			ok = ok || inside
			continue
		case !inside:
			continue
		}
		name, value, _ := strings.Cut(bare, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if indented := line[0] == ' ' || line[0] == '\t'; indented && above != "" {
			settings[above+"."+name] = value
			continue
		}
		settings[name] = value
		above = name
	}
	return settings, ok
}
