package fs

import (
	"os"
	"testing"
	"time"
)

// TestConfigValidate refuses what contradicts itself.
func TestConfigValidate(t *testing.T) {
	good, _ := testConfig(t, newFakeBucket())
	for name, spoil := range map[string]func(*Config){
		"nothing to show":      func(c *Config) { c.Bucket = nil },
		"both":                 func(c *Config) { c.Volumes = &fakeVolumes{} },
		"prefix without slash": func(c *Config) { c.Prefix = "a/b" },
		"no source of bytes":   func(c *Config) { c.Files = nil },
		"negative TTL":         func(c *Config) { c.MetadataTTL = -time.Second },
		"set-user-id":          func(c *Config) { c.FileMode = 0o4755 },
	} {
		c := good
		spoil(&c)
		if c.validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	good.Prefix = "a/b/"
	if err := good.validate(); err != nil {
		t.Error(err)
	}
}

// TestConfigRefuses: the kernel checks modes only where they refuse somebody.
func TestConfigRefuses(t *testing.T) {
	me := uint32(os.Geteuid())
	for _, test := range []struct {
		file, dir  uint32
		allowOther bool
		want       bool
	}{
		{0o644, 0o755, false, false},
		{0o644, 0o755, true, false},
		{0o600, 0o700, false, false},
		{0o600, 0o700, true, true},
		{0o644, 0o700, true, true},
		{0o200, 0o755, false, true},
	} {
		c := Config{UID: me, FileMode: test.file, DirMode: test.dir}
		if got := c.refuses(test.allowOther); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// TestOwnerOf a mount, among its options.
func TestOwnerOf(t *testing.T) {
	for options, want := range map[string]int{"rw,user_id=1000,group_id=5": 1000, "rw,xuser_id=3": -1, "user_id=x": -1, "": -1} {
		if got := ownerOf(options); got != want {
			t.Errorf("%q: %d", options, got)
		}
	}
}
