package main

import (
	"slices"
	"strings"
	"testing"
)

func TestFlagsMayStandAfterArguments(t *testing.T) {
	flags := mountCommand().Flags
	for _, c := range []struct{ given, want string }{
		{"s3://b /data --read-only", "--read-only -- s3://b /data"},
		{"--memory 1GiB s3://b --uid=7 /data -f", "--memory 1GiB --uid=7 -f -- s3://b /data"},
		{"s3://b /data --read-only=false --region eu", "--read-only=false --region eu -- s3://b /data"},
		{"s3://b -- --odd", "-- s3://b --odd"},
		{"--region - s3://b", "--region - -- s3://b"},
		{"s3://b /data -h", "--help"},
	} {
		got, err := flagsFirst("mount", strings.Fields(c.given), flags)
		if err != nil {
			t.Errorf("%s: %v", c.given, err)
		}
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: got %q, want %q", c.given, got, c.want)
		}
	}
}

func TestUnknownFlagNamesTheNearest(t *testing.T) {
	_, err := flagsFirst("mount", []string{"s3://b", "/data", "--memroy", "1GiB"}, mountCommand().Flags)
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "--memory") {
		t.Errorf("got %v", err)
	}
	_, err = flagsFirst("mount", []string{"s3://b", "/data", "--memory"}, mountCommand().Flags)
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "needs a value") {
		t.Errorf("got %v", err)
	}
}

func TestHelperOptionsBecomeFlags(t *testing.T) {
	given := []string{"s3://b/p", "/data", "-n", "-o", "ro,_netdev,x-systemd.automount,allow_other,endpoint=http://h:1,memory=1GiB,immutable"}
	got, err := helperArguments(given)
	if err != nil {
		t.Fatal(err)
	}
	want := "s3://b/p /data --read-only --allow-other --endpoint=http://h:1 --memory=1GiB --immutable"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	if _, err := helperArguments([]string{"s3://b", "/data", "-o"}); exitCode(err) != exitUsage {
		t.Errorf("-o without options: %v", err)
	}
}
