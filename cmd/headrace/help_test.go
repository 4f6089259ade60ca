package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestEveryFlagIsInTheEnvironmentAndInAGroup(t *testing.T) {
	for _, f := range mountCommand().Flags {
		h := describeFlag(f)
		want := "HEADRACE_" + strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_"))
		if h.environment != want {
			t.Errorf("--%s comes from %q, want %s", f.Names()[0], h.environment, want)
		}
		if h.group == "" || strings.HasSuffix(h.usage, ".") || h.usage == "" {
			t.Errorf("--%s reads badly: %+v", f.Names()[0], h)
		}
	}
}

func TestHelpFitsTheTerminal(t *testing.T) {
	for _, args := range [][]string{{"headrace"}, {"headrace", "mount", "--help"}, {"headrace", "bench", "-h"}, {"headrace", "bench", "sweep", "--help"}, {"headrace", "umount", "/x", "--help"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != exitOK || errs.Len() > 0 {
			t.Fatalf("%v: exit %d, %s", args, code, errs.String())
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) < 8 {
			t.Errorf("%v: only %q", args, out.String())
		}
		if i := slices.IndexFunc(lines, func(l string) bool { return len(l) > helpWidth+5 }); i >= 0 {
			t.Errorf("%v: a line of %d columns: %s", args, len(lines[i]), lines[i])
		}
	}
}

func TestFailuresAreOneLineWithACode(t *testing.T) {
	empty, file := t.TempDir(), t.TempDir()+"/file"
	full := t.TempDir()
	for _, name := range []string{file, full + "/x"} {
		writeFile(t, name)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"frob", exitUsage, "unknown command"},
		{"--read-only mount s3://b /x", exitUsage, "after the command"},
		{"mount s3://b", exitUsage, "a bucket and a directory"},
		{"mount s3://b /x /y", exitUsage, "a bucket and a directory"},
		{"mount b " + empty, exitUsage, "s3://BUCKET"},
		{"mount s3://b " + empty + " --memroy 1GiB", exitUsage, "--memory"},
		{"mount s3://b " + empty + " --memory 1XB", exitUsage, "512MiB"},
		{"mount s3://b " + empty + " --memory 1MiB", exitUsage, "at least 32MiB"},
		{"mount s3://b " + empty + " --memory", exitUsage, "needs a value"},
		{"mount s3://b " + empty + " --uid -1", exitUsage, "uid"},
		{"mount s3://b " + empty + " --file-mode 9", exitUsage, "octal"},
		{"mount s3://b " + empty + " --metadata-ttl 1", exitUsage, "500ms"},
		{"mount s3://b " + empty + " --log-level loud", exitUsage, "debug"},
		{"mount s3://b " + empty + " --endpoint host", exitUsage, "https://HOST"},
		{"mount s3://b " + empty + " --endpoint http://key:secret@host", exitUsage, "--profile"},
		{"mount s3://b " + empty + " --bucket c", exitUsage, "s3://"},
		{"mount s3://b " + empty + " --pprof", exitUsage, "--metrics"},
		{"mount s3://b " + empty + " --max-concurrency 0", exitUsage, "at least 1"},
		{"mount s3://b " + empty + "/none", exitMountpoint, "mkdir -p"},
		{"mount s3://b " + file, exitMountpoint, "not a directory"},
		{"mount s3://b " + full, exitMountpoint, "not empty"},
		{"umount " + empty, exitMountpoint, "nothing is mounted"},
		{"umount /proc", exitMountpoint, "type proc"},
		{"umount", exitUsage, "one directory"},
		{"demo", exitUsage, "one directory"},
		{"bench b", exitUsage, "s3://BUCKET"},
		{"bench s3://b --read-only", exitUsage, "--key"},
		{"bench --shape fast", exitUsage, "20ms,80MiB"},
		{"bench sweep b", exitUsage, "s3://BUCKET"},
		{"bench sweep --operation copy", exitUsage, "no operation"},
		{"bench sweep --size 0", exitUsage, "64KiB"},
		{"bench sweep --concurrency 1,many", exitUsage, "1,16,64"},
		{"bench sweep --key k", exitUsage, "s3://BUCKET"},
		{"bench sweep --workload x", exitUsage, "bench sweep --help"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"headrace"}, strings.Fields(c.args)...), &out, &errs)
		if code != c.code || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%s: exit %d, %q; want %d and %q", c.args, code, errs.String(), c.code, c.says)
		}
		if strings.Count(errs.String(), "\n") != 1 || out.Len() > 0 || strings.Contains(errs.String(), "secret") {
			t.Errorf("%s: not one clean line: %q %q", c.args, errs.String(), out.String())
		}
	}
}

func TestMountHelperExitCodes(t *testing.T) {
	for args, want := range map[string]int{"s3://b /nonexistent/dir -o ro": exitMountHelper, "s3://b /x -o memroy=1GiB": 1, "s3://b": 1} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"/sbin/" + mountHelper}, strings.Fields(args)...), &out, &errs); code != want {
			t.Errorf("%s: exit %d, want %d: %s", args, code, want, errs.String())
		}
		if !strings.HasPrefix(errs.String(), mountHelper+": ") {
			t.Errorf("%s: %q does not say who speaks", args, errs.String())
		}
	}
}

func TestEnvironmentGivesFlagsAndFlagsWin(t *testing.T) {
	t.Setenv("HEADRACE_MEMORY", "1MiB")
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"headrace", "mount", "s3://b", dir}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "--memory 1MiB") {
		t.Errorf("exit %d, %q: the variable was not taken", code, errs.String())
	}
	errs.Reset()
	code := run(t.Context(), []string{"headrace", "mount", "s3://b", dir + "/none", "--memory", "1GiB"}, &out, &errs)
	if code != exitMountpoint {
		t.Errorf("exit %d, %q: the flag did not win", code, errs.String())
	}
}

func TestFakeMountDoesNothing(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{mountHelper, "s3://b", "/nonexistent", "-f", "-o", "ro"}, &out, &errs); code != exitOK || out.Len()+errs.Len() > 0 {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
}
