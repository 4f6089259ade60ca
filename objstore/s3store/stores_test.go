//go:build stores

package s3store

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/headrace/headrace/objstore/objstoretest"
	"github.com/headrace/headrace/s3server"
)

// TestConformanceOnMinio proves it against a second server, which thinks otherwise about many things. It takes a build
// tag because the server takes long to build.
func TestConformanceOnMinio(t *testing.T) {
	objstoretest.Run(t, serverBuckets(t, s3server.Minio), objstoretest.Quirks{
		RefusesKey: func(key string) string {
			switch {
			case strings.Contains(key, "//"), key == "/", strings.ContainsRune(key, 0), longComponent(key):
				return "MinIO keeps objects in directories of their names"
			case path.Clean("/"+strings.Trim(key, "/")) != "/"+strings.Trim(key, "/"):
				return "MinIO refuses . and .. as parts of a key"
			case !utf8.ValidString(key):
				return "MinIO computes another signature for it"
			}
			return ""
		},
		MisplacesKey: func(key string) string {
			if strings.HasPrefix(key, "/") {
				return "MinIO drops a slash at the beginning"
			}
			return ""
		},
		NoFileBesideDirectory: "MinIO does not list what is below a key that exists",
		NoIfNewCopy:           "MinIO ignores conditions of a copy on its destination",
		NoIfMatchCopy:         "MinIO ignores conditions of a copy on its destination",
		NoIfMatchDelete:       "MinIO ignores conditions of removals",
		NoListUploads:         "MinIO lists the uploads of exact keys only",
		NoHeader: func(name string) string {
			return map[string]string{"X-Amz-Website-Redirect-Location": "MinIO has no web sites", "Expires": "MinIO loses it when it copies"}[name]
		},
	})
}
