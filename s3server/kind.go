package s3server

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Kind is a server this package can run.
type Kind int

// The servers. The zero value is the one that headrace uses by default.
const (
	Versitygw Kind = iota // serves a directory: objects are files in it
	Minio                 // keeps objects in a layout of its own
)

// String is the name of the server's binary.
func (k Kind) String() string {
	if k == Minio {
		return "minio"
	}
	return "versitygw"
}

// ErrNoBinary says that the server's binary was found in none of the places where it is looked for.
var ErrNoBinary = errors.New("server binary not found")

// binaryVariable names the environment variable that overrides the search for k's binary.
func (k Kind) binaryVariable() string {
	if k == Minio {
		return "HEADRACE_MINIO"
	}
	return "HEADRACE_VERSITYGW"
}

// find returns the path of k's binary: what the environment says, else beside this program, in bin/ of the module the
// working directory is in (where tests run), or on PATH.
func (k Kind) find() (string, error) {
	if path := os.Getenv(k.binaryVariable()); path != "" {
		return path, nil
	}
	var places []string
	if self, err := os.Executable(); err == nil {
		places = append(places, filepath.Dir(self))
	}
	if root, ok := moduleRoot(); ok {
		places = append(places, filepath.Join(root, "bin"))
	}
	for _, dir := range places {
		path := filepath.Join(dir, k.String())
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	if path, err := exec.LookPath(k.String()); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%w: %s (run `make tools`, or set %s)", ErrNoBinary, k, k.binaryVariable())
}

// moduleRoot is the nearest directory at or above the working directory with a go.mod in it.
func moduleRoot() (string, bool) {
	dir, err := os.Getwd()
	if err != nil {
		return "", false
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

// command is what has to be run to serve o.Dir at address.
func (k Kind) command(binary, address string, o Options) *exec.Cmd {
	if k == Minio {
		cmd := exec.Command(binary, "server", "--quiet", "--anonymous", "--address", address, "--console-address", "127.0.0.1:0",
			"--certs-dir", filepath.Join(o.Dir, ".certs"), o.Dir)
		cmd.Env = append(baseEnvironment(),
			"MINIO_ROOT_USER="+o.AccessKey, "MINIO_ROOT_PASSWORD="+o.SecretKey, "MINIO_REGION="+o.Region,
			"MINIO_UPDATE=off", "MINIO_BROWSER=off")
		return cmd
	}
	args := []string{"--keep-alive", "--region", o.Region, "--port", address, "--health", healthPath(k)}
	if o.Log == nil {
		args = append(args, "--quiet") // it logs every request otherwise
	}
	args = append(args, "posix", o.Dir)
	cmd := exec.Command(binary, args...)
	cmd.Env = append(baseEnvironment(), "ROOT_ACCESS_KEY_ID="+o.AccessKey, "ROOT_SECRET_ACCESS_KEY="+o.SecretKey)
	return cmd
}

// baseEnvironment is what a child inherits: none of the variables by which the user's own servers are configured.
func baseEnvironment() []string {
	var env []string
	for _, name := range []string{"HOME", "PATH", "TMPDIR", "GOMAXPROCS"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// healthPath answers 200 without credentials once the server serves.
func healthPath(k Kind) string {
	if k == Minio {
		return "/minio/health/cluster" // "ready" is said before the server takes requests
	}
	return "/headrace-health"
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
