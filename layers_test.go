// Package headrace_test holds the tests that are about the whole tree: who may import whom, and how wide comments are.
package headrace_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/headrace/headrace/"

// allowed is the architecture: which of our packages each package may import. It is policy, not data to edit until the
// build passes. A new arrow is a change of the design and wants a page in docs/decisions.
var allowed = map[string][]string{
	"objstore":              {},
	"objstore/s3store":      {"objstore"},
	"objstore/memstore":     {"objstore"},
	"objstore/faultstore":   {"objstore"},
	"objstore/objstoretest": {"objstore"},
	"objstore/s3front":      {"objstore"},
	"objstore/packed":       {},
	"objstore/hashed":       {"objstore", "objstore/packed"},
	"objstore/probe":        {"objstore"},
	"objstore/replicas":     {"objstore"},
	"objstore/cwsim":        {"objstore", "objstore/memstore", "objstore/s3front"},
	"s3server":              {},
	"cache/disk":            {"objstore"},
	"cache/listings":        {"objstore/packed"},
	"cache/share":           {"objstore", "cache/disk"},
	"cache":                 {"objstore", "cache/disk"},
	"prefetch":              {"objstore"},
	"fs/names":              {"objstore", "objstore/packed"},
	"fs/posixmeta":          {},
	"upload/journal":        {"objstore"},
	"upload":                {"objstore", "upload/journal"},
	"fs":                    {"objstore", "prefetch", "upload", "fs/names", "fs/posixmeta"},
	"bench":                 {"objstore", "objstore/s3store", "s3server"},
	"cmd/headrace":          {"objstore", "objstore/s3store", "objstore/hashed", "objstore/probe", "objstore/replicas", "cache", "cache/disk", "cache/listings", "cache/share", "prefetch", "upload", "upload/journal", "fs", "bench", "s3server"},
	"integration":           {},
}

// owners says which packages alone may import a library: what it hides stays hidden.
var owners = map[string][]string{
	"github.com/hanwen/go-fuse/":           {"fs"},
	"github.com/aws/":                      {"objstore/s3store"},
	"github.com/urfave/cli/":               {"cmd/headrace"},
	"github.com/prometheus/client_golang/": {"cmd/headrace"},
	"github.com/hashicorp/golang-lru/":     {"fs/names", "cache", "cache/disk"},
	"github.com/schollz/progressbar/":      {"cmd/headrace"},
	"go.etcd.io/bbolt":                     {"cache/disk"},
	"github.com/guptarohit/asciigraph":     {"bench"},
	"go.yaml.in/yaml/":                     {"cmd/headrace"},
}

// testOnly must never be linked into the binary.
var testOnly = []string{
	module + "objstore/memstore", module + "objstore/faultstore", module + "objstore/objstoretest", module + "objstore/s3front", module + "objstore/cwsim",
	"github.com/Shopify/toxiproxy", "github.com/versity/", "github.com/minio/minio", "testing",
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestLayers(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if name == strings.TrimSuffix(module, "/") {
			continue // this test
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("%s is not in the table: decide what it owns and what it must not know", name)
			continue
		}
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s, which is against the layers", name, ours)
			}
			for library, mayImport := range owners {
				if strings.HasPrefix(imported, library) && !slices.Contains(mayImport, name) {
					t.Errorf("%s imports %s, which only %s may", name, imported, mayImport)
				}
			}
		}
	}
}

func TestLayersBinaryLinksNoTestServer(t *testing.T) {
	for _, p := range list(t, "./cmd/headrace") {
		for _, dep := range p.Deps {
			for _, banned := range testOnly {
				if dep == banned || strings.HasPrefix(dep, banned+"/") || strings.HasSuffix(banned, "/") && strings.HasPrefix(dep, banned) {
					t.Errorf("the binary links %s", dep)
				}
			}
		}
	}
}

func list(t *testing.T, pattern string) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", pattern).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
