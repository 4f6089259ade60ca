package posixmeta

import (
	"reflect"
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		metadata map[string]string
		want     Attributes
	}{
		"nothing":           {nil, Attributes{}},
		"of other purposes": {map[string]string{"origin": "camera", "mode": "fast", "uid": "-1", "mtime": "today"}, Attributes{}},
		"s3fs": {
			map[string]string{"mode": "33188", "uid": "1000", "gid": "100", "mtime": "1700000000", "atime": "1700000001.123456789", "ctime": "1"},
			Attributes{Has: HasMode | HasUID | HasGID | HasModTime | HasAtime, Type: syscall.S_IFREG, Mode: 0o644, UID: 1000, GID: 100, ModTime: 1700000000, Atime: 1700000001},
		},
		"s3fs directory": {map[string]string{"mode": "16877"}, Attributes{Has: HasMode, Type: syscall.S_IFDIR, Mode: 0o755}},
		"s3fs link":      {map[string]string{"mode": "41471"}, Attributes{Has: HasMode, Type: syscall.S_IFLNK, Mode: 0o777}},
		"s3fs attributes": {
			map[string]string{"xattr": "%7B%22user.a%22%3A%22Yg%3D%3D%22%2C%22user.c%22%3A%22%22%7D"},
			Attributes{Xattrs: map[string]string{"user.a": "b", "user.c": ""}},
		},
		"rclone": {
			map[string]string{"mode": "100640", "mtime": "1700000000.5", "atime": "2023-11-14T22:13:20.123Z"},
			Attributes{Has: HasMode | HasModTime | HasAtime, Type: syscall.S_IFREG, Mode: 0o640, ModTime: 1700000000, Atime: 1700000000},
		},
		"rclone link":         {map[string]string{"mode": "0120777"}, Attributes{Has: HasMode, Type: syscall.S_IFLNK, Mode: 0o777}},
		"by hand":             {map[string]string{"mode": "0600"}, Attributes{Has: HasMode, Mode: 0o600}},
		"set-user-id":         {map[string]string{"mode": "104755"}, Attributes{Has: HasMode, Type: syscall.S_IFREG, Mode: 0o755}},
		"device":              {map[string]string{"mode": "24576"}, Attributes{}},
		"leave it":            {map[string]string{"uid": "4294967295"}, Attributes{}},
		"before 1970":         {map[string]string{"mtime": "-5"}, Attributes{}},
		"spoiled attributes":  {map[string]string{"xattr": "%7"}, Attributes{}},
		"attributes not JSON": {map[string]string{"xattr": "user.a"}, Attributes{}},
	} {
		if got := Parse(c.metadata); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// No permissions of any type are read as something else, in either form.
func TestModesAreNotMistaken(t *testing.T) {
	for _, kind := range []uint32{syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK} {
		for mode := range uint32(permissions + 1) {
			a := Attributes{Has: HasMode, Type: kind, Mode: mode}
			if got := Parse(a.Metadata()); got.Type != kind || got.Mode != mode {
				t.Fatalf("%o in decimal is read as %+v", kind|mode, got)
			}
			if gotKind, got, ok := parseMode(octal(kind | mode)); !ok || gotKind != kind || got != mode {
				t.Fatalf("%o in octal is read as %o %o", kind|mode, gotKind, got)
			}
		}
	}
}

func octal(n uint32) (text string) {
	for ; n > 0; n /= 8 {
		text = string(rune('0'+n%8)) + text
	}
	return text
}

// What is not there is taken off, but for what an object may have of its own.
func TestMetadata(t *testing.T) {
	want := map[string]string{"mtime": "", "atime": "", "ctime": "", "xattr": ""}
	if got := (Attributes{}).Metadata(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Extended attributes may hold any bytes.
func TestXattrBytes(t *testing.T) {
	a := Attributes{Xattrs: map[string]string{"user.every byte": "\xfb\xef\xff\x00+ %\n", "user.empty": ""}}
	if got := Parse(a.Metadata()); !reflect.DeepEqual(got, a) {
		t.Errorf("%+v is written as %v, and read as %+v", a, a.Metadata(), got)
	}
}

// Whatever metadata an object has, what is read of it is what is read of what is written.
func FuzzParse(f *testing.F) {
	f.Add("33188", "1000", "1700000000", "%7B%22user.a%22%3A%22Yg%3D%3D%22%7D")
	f.Add("100644", "0", "2023-11-14T22:13:20Z", "")
	f.Fuzz(func(t *testing.T, mode, id, at, xattr string) {
		a := Parse(map[string]string{"mode": mode, "uid": id, "gid": id, "mtime": at, "atime": at, "xattr": xattr})
		if len(a.Xattrs) == 0 {
			a.Xattrs = nil
		}
		if a.Has&HasMode != 0 && a.Type == 0 { // as one without a type is stored
			a.Type = syscall.S_IFREG
		}
		if got := Parse(a.Metadata()); !reflect.DeepEqual(got, a) {
			t.Errorf("%+v is written as %v, and read as %+v", a, a.Metadata(), got)
		}
	})
}
