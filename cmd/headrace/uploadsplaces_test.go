package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/upload/journal"
)

// What cannot be looked at is said, and the rest is shown; where somebody said to look there, it is an error.
func TestPlacesThatCannotBeLookedAt(t *testing.T) {
	good, bad := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(bad, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := journal.Create(good, journal.Owner{Bucket: "bucket", Mountpoint: "/mnt"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	u, err := d.Begin(journal.Begin{Bucket: "bucket", Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Note(journal.Truncate{Size: 5}); err != nil {
		t.Fatal(err)
	}
	p := places{roots: []string{filepath.Join(t.TempDir(), "none")}}
	for _, root := range []string{bad, good, filepath.Join(good, ".")} {
		p.add(root)
	}
	all, err := p.status(t.Context())
	if err != nil || len(all) != 1 || all[0].Key != "key" || all[0].Mounted {
		t.Errorf("%+v, %v", all, err)
	}
	var said strings.Builder
	if p.tell(&said); !strings.Contains(said.String(), bad) || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("it says %q", said.String())
	}
	if found, err := p.find(u.ID()); err != nil || found.dir.Path() != d.Path() {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := p.find("000000000000"); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("what is not found may be where one cannot look: %v", err)
	}
	p = places{roots: []string{bad, good}}
	var out strings.Builder
	if err := (uploadsOptions{out: &out, stderr: &said}).list(t.Context(), p); err == nil {
		t.Error("what was to be looked at and cannot be is no error")
	}
	if !strings.Contains(out.String(), u.ID()) {
		t.Errorf("what can be is not shown: %q", out.String())
	}
}
