package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// reader is somebody who follows docs/coreweave.md from top to bottom, at a simulated CoreWeave.
type reader struct {
	*lota
	home, mountpoint string
	environment      []string
	replace          *strings.Replacer
}

// newReader has the files of CoreWeave's documentation, and a bucket with what the page speaks of.
func newReader(t *testing.T) *reader {
	t.Helper()
	l := newLota(t, cwsim.Options{})
	home := filepath.Join(shared.dir, shared.names("reader"))
	r := &reader{lota: l, home: home, mountpoint: filepath.Join(home, "data")}
	for _, dir := range []string{r.mountpoint, filepath.Join(home, ".coreweave"), filepath.Join(home, "tmp")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r.file(".coreweave/cw.config", "[profile cw]\nregion = US-EAST-04A\nendpoint_url = http://cwlota.com\ns3 =\n    addressing_style = virtual\n")
	r.file(".coreweave/cw.credentials", fmt.Sprintf("[cw]\naws_access_key_id = %s\naws_secret_access_key = %s\n", accessKey, secretKey))
	r.file("files.txt", "s3://"+lotaBucket+"/imagenet/1\n"+filepath.Join(r.mountpoint, "imagenet", "2")+"\n")
	port := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	metrics := port.Addr().String()
	port.Close()
	r.replace = strings.NewReplacer("s3://BUCKET", "s3://"+lotaBucket, " /data", " "+r.mountpoint, "/nvme/headrace", filepath.Join(home, "nvme"), "127.0.0.1:9100", metrics, "--size 16MiB", "--size 64KiB")
	binary := filepath.Dir(must[string](t)(shared.plain()))
	r.environment = []string{
		"PATH=" + binary + ":" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + filepath.Join(home, "tmp"), "HEADRACE_STAGING_DIR=" + filepath.Join(home, "staging"),
		"HEADRACE_MEMORY=64MiB", "HEADRACE_CONCURRENCY=1,2", "HEADRACE_DURATION=200ms", "HEADRACE_SETTLE=10ms", "HEADRACE_LOG_FILE=" + filepath.Join(home, "log"),
	}
	for _, entry := range l.environment {
		if !strings.HasPrefix(entry, "AWS_REGION=") { // it is in the profile
			r.environment = append(r.environment, entry)
		}
	}
	for key, size := range map[string]int64{"imagenet/1": large, "imagenet/2": large, "imagenet/small": 100, "data/file.bin": 5, "data/other": 7} {
		l.put(key, size)
	}
	must[objstore.Entry](t)(l.Bucket(lotaBucket).Put(t.Context(), "models/base.safetensors", bytes.NewReader(make([]byte, 70<<20)), 70<<20, objstore.Condition{}, objstore.Attributes{}))
	return r
}

func (r *reader) file(name, content string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.home, name), []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// run runs a command as it stands on the page, with names of its own.
func (r *reader) run(command string) {
	r.t.Helper()
	if strings.HasPrefix(command, "headrace mount") {
		r.unmount()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", r.replace.Replace(command))
	cmd.Dir, cmd.Env = r.home, r.environment
	cmd.WaitDelay = time.Second // a daemon in the background keeps no pipe, but let nobody wait for one
	out, err := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	if code != 0 && (code != 13 || !strings.HasPrefix(command, "headrace doctor")) {
		r.t.Errorf("%s\nexit code %d, %v: %s", command, code, err, out)
	}
	if strings.HasPrefix(command, "headrace mount") {
		if !isMounted(r.mountpoint) {
			r.t.Errorf("%s: nothing is mounted", command)
		} else if _, err := os.ReadDir(r.mountpoint); err != nil {
			r.t.Errorf("%s: %v", command, err)
		}
	}
}

// unmount takes away what the last command has mounted.
func (r *reader) unmount() {
	r.t.Helper()
	if !isMounted(r.mountpoint) {
		return
	}
	cmd := exec.Command(must[string](r.t)(shared.plain()), "umount", r.mountpoint)
	cmd.Env = r.environment
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Errorf("umount: %v: %s", err, out)
	}
}

// mounting is what each section of a page begins with: what it says of /data is of a plain mount, unless it makes
// another.
const mounting = "headrace mount s3://BUCKET /data --endpoint auto"

// shown is a line of a file that a page shows: a section of it, or a setting.
var shown = regexp.MustCompile(`^\[.+\]$|^ *\w+ =`)

// commands are those of a page: the lines of its code blocks. What is neither one nor part of a file is a mistake.
func commands(t *testing.T, page string) (all []string) {
	t.Helper()
	text := must[[]byte](t)(os.ReadFile(page))
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "## ") {
			all = append(all, mounting)
		}
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"), strings.HasPrefix(line, "\t"): // would not be run
			t.Errorf("%s shows code in another way than by four spaces: %q", page, line)
		case !ok || shown.MatchString(command):
		case strings.HasPrefix(command, "headrace "), strings.HasPrefix(command, "curl "), strings.HasPrefix(command, "tar "):
			all = append(all, command)
		default:
			t.Errorf("%s shows %q, which is neither run nor a line of a file", page, command)
		}
	}
	return all
}

// mentioned are the commands that stand within the text of a page.
func mentioned(t *testing.T, page string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("`(headrace [^`]+)`").FindAllSubmatch(must[[]byte](t)(os.ReadFile(page)), -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// covers tells whether a command that is run has all the words of one that is mentioned; those in capitals stand for
// what a user puts there.
func covers(run, mention string) bool {
	words := strings.Fields(run)
	for word := range strings.FieldsSeq(mention) {
		if word != strings.ToUpper(word) && !slices.Contains(words, word) {
			return false
		}
	}
	return true
}

// Each command of docs/coreweave.md works, in the order in which it stands there, and none is spoken of that is not
// among them.
func TestCoreWeavePage(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	t.Cleanup(r.unmount)
	const page = "../docs/coreweave.md"
	all := commands(t, page)
	for _, command := range all {
		r.run(command)
	}
	for _, mention := range mentioned(t, page) {
		if !slices.ContainsFunc(all, func(run string) bool { return covers(run, mention) }) {
			t.Errorf("the page speaks of %q, which none of its commands shows", mention)
		}
	}
}
