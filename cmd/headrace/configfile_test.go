package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a file says is as if it stood on the command line, unless it does or the environment says something else.
func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "headrace.yaml")
	flags := mountCommand().Flags
	environment := func(name, value string) func(string) (string, bool) {
		return func(asked string) (string, bool) {
			if asked != name {
				return "", false
			}
			return value, true
		}
	}
	for _, c := range []struct{ file, args, environment, want string }{
		{"memory: 4GiB\nread-only: true", "-- s3://b /d", "", "--memory=4GiB --read-only=true -- s3://b /d"},
		{"memory: 4GiB # enough\nmetadata-ttl: 1m", "--memory 1GiB -- s3://b /d", "", "--metadata-ttl=1m --memory 1GiB -- s3://b /d"},
		{"memory: 4GiB", "--memory=1GiB -- s3://b /d", "", "--memory=1GiB -- s3://b /d"},
		{"memory: 4GiB\nuid: 7", "-- s3://b /d", "HEADRACE_MEMORY=1GiB", "--uid=7 -- s3://b /d"},
		{"foreground: true", "-f -- s3://b /d", "", "-f -- s3://b /d"},
		{"file-mode: 0640", "-- s3://b /d", "", "--file-mode=0640 -- s3://b /d"},
		{"bucket: [one, two]", "-- s3:// /d", "", "--bucket=one --bucket=two -- s3:// /d"},
		{"bucket: [one, two]", "--bucket three -- s3:// /d", "", "--bucket three -- s3:// /d"},
		{"# nothing yet", "-- s3://b /d", "", "-- s3://b /d"},
	} {
		if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(c.environment, "=")
		got, err := withConfig(append([]string{"--config", path}, strings.Fields(c.args)...), flags, environment(name, value))
		want := strings.Fields(c.want)
		if i := slices.IndexFunc(want, func(w string) bool { return strings.Contains(c.args, w) }); err == nil {
			want = slices.Insert(want, i, "--config", path)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %q, %q: got %q, %v", c.file, c.args, c.environment, got, err)
		}
	}
	if err := os.WriteFile(path, []byte("uid: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := withConfig([]string{"--", "s3://b"}, flags, environment("HEADRACE_CONFIG", path)); err != nil || !slices.Equal(got, []string{"--uid=7", "--", "s3://b"}) {
		t.Errorf("named by the environment: %q, %v", got, err)
	}
}

func TestConfigFileRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "headrace.yaml")
	nothing := func(string) (string, bool) { return "", false }
	for file, says := range map[string]string{
		"memroy: 4GiB":              "did you mean memory",
		"uid: 7\nconfig: other":     ":2: there is no flag --config",
		"f: true":                   "no flag --f",
		"- memory: 4GiB":            "a flag a line",
		"memory: 4GiB\nmemory: 1GB": "twice",
		"memory: [1GiB, 2GiB]":      "takes one value",
		"memory:":                   "no value",
		"memory: {a: b}":            "no value",
		"read-only: maybe":          ":1: read-only: write true or false",
		"memory: \"4GiB":            path,
	} {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := withConfig([]string{"--config=" + path, "--"}, mountCommand().Flags, nothing)
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", file, err)
		}
	}
	if _, err := withConfig([]string{"--config", path + "x", "--"}, mountCommand().Flags, nothing); exitCode(err) != exitUsage || !strings.Contains(err.Error(), path+"x") {
		t.Errorf("no such file: %v", err)
	}
}
