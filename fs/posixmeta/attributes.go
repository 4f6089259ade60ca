package posixmeta

import (
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Has says which attributes are there.
type Has uint8

// The attributes.
const (
	HasMode Has = 1 << iota
	HasUID
	HasGID
	HasModTime
	HasAtime
)

// The names of the metadata.
const (
	nameMode    = "mode"
	nameUID     = "uid"
	nameGID     = "gid"
	nameModTime = "mtime"
	nameAtime   = "atime"
	nameCtime   = "ctime"
	nameXattr   = "xattr"
)

// permissions are what of a mode is believed: set-user-id and the like are for whom one trusts, not for who may write
// to a bucket.
const permissions = 0o777

// Attributes are what an object's metadata tells of a file.
type Attributes struct {
	Has            Has
	Type           uint32 // syscall.S_IFREG, S_IFDIR or S_IFLNK; 0 where nothing or something else is said
	Mode           uint32 // permissions
	UID, GID       uint32
	ModTime, Atime int64 // Unix seconds
	Xattrs         map[string]string
}

// Parse reads an object's user metadata, whose names are in lower case. What cannot be read is taken not to be there.
func Parse(metadata map[string]string) (a Attributes) {
	if kind, mode, ok := parseMode(metadata[nameMode]); ok {
		a.Type, a.Mode, a.Has = kind, mode, a.Has|HasMode
	}
	if id, ok := parseID(metadata[nameUID]); ok {
		a.UID, a.Has = id, a.Has|HasUID
	}
	if id, ok := parseID(metadata[nameGID]); ok {
		a.GID, a.Has = id, a.Has|HasGID
	}
	if t, ok := parseTime(metadata[nameModTime]); ok {
		a.ModTime, a.Has = t, a.Has|HasModTime
	}
	if t, ok := parseTime(metadata[nameAtime]); ok {
		a.Atime, a.Has = t, a.Has|HasAtime
	}
	a.Xattrs = parseXattrs(metadata[nameXattr])
	return a
}

// Metadata is what an object's metadata is to be, to be laid over what it has: an empty value takes a name off. A mode,
// an owner and a group that are not there are left as the object has them; times and extended attributes are not.
func (a Attributes) Metadata() map[string]string {
	m := map[string]string{nameModTime: "", nameAtime: "", nameCtime: "", nameXattr: formatXattrs(a.Xattrs)}
	if a.Has&HasMode != 0 {
		m[nameMode] = strconv.FormatUint(uint64(a.Type|a.Mode), 10)
	}
	if a.Has&HasUID != 0 {
		m[nameUID] = strconv.FormatUint(uint64(a.UID), 10)
	}
	if a.Has&HasGID != 0 {
		m[nameGID] = strconv.FormatUint(uint64(a.GID), 10)
	}
	if a.Has&HasModTime != 0 {
		m[nameModTime] = strconv.FormatInt(a.ModTime, 10)
	}
	if a.Has&HasAtime != 0 {
		m[nameAtime] = strconv.FormatInt(a.Atime, 10)
	}
	return m
}

// parseMode reads a mode in either form.
func parseMode(text string) (kind, mode uint32, ok bool) {
	if decimal, err := strconv.ParseUint(text, 10, 32); err == nil && !strings.HasPrefix(text, "0") {
		if kind := knownType(uint32(decimal)); kind != 0 {
			return kind, uint32(decimal) & permissions, true
		}
	}
	octal, err := strconv.ParseUint(text, 8, 32)
	if err != nil {
		return 0, 0, false
	}
	kind = knownType(uint32(octal))
	if kind == 0 && octal > 0o7777 {
		return 0, 0, false
	}
	return kind, uint32(octal) & permissions, true
}

// knownType is the type in a mode, 0 for those that objects do not have here.
func knownType(mode uint32) uint32 {
	if mode > syscall.S_IFMT|0o7777 {
		return 0
	}
	switch kind := mode & syscall.S_IFMT; kind {
	case syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK:
		return kind
	}
	return 0
}

func parseID(text string) (uint32, bool) {
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err == nil && id != 1<<32-1 // which chown(2) takes for "leave it"
}

// parseTime reads seconds, of which a fraction is cut, or RFC 3339.
func parseTime(text string) (int64, bool) {
	whole, _, _ := strings.Cut(text, ".")
	if seconds, err := strconv.ParseInt(whole, 10, 64); err == nil {
		return seconds, seconds >= 0
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	return t.Unix(), err == nil && t.Unix() >= 0
}
