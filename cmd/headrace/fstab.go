package main

import (
	"errors"
	"slices"
	"strings"
)

// mountHelper is the name under which mount(8) calls a file system's own program: for type headrace in /etc/fstab it
// runs
//
//	mount.headrace s3://BUCKET/PREFIX DIR [-sfnv] [-N namespace] [-t headrace] -o OPTIONS
const mountHelper = "mount.headrace"

// errFakeMount says that mount(8) only wants to pretend.
var errFakeMount = errors.New("nothing is to be mounted")

// helperArguments turns mount(8)'s arguments into those of `headrace mount`. Options are flag names without the dashes,
// with their values (endpoint=http://host,read-only); ro is --read-only; options meant for mount(8), systemd or the
// kernel's generic layer are left out.
func helperArguments(args []string) ([]string, error) {
	var result []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-t" || arg == "-N":
			i++
		case arg == "-o" && i+1 < len(args):
			i++
			for option := range strings.SplitSeq(args[i], ",") {
				result = append(result, helperOption(option)...)
			}
		case arg == "-o":
			return nil, usage("-o needs options after it")
		case strings.HasPrefix(arg, "-") && strings.Trim(arg[1:], "sfnv") == "":
			// Sloppy, no mtab, verbose: nothing that would change what is done. Fake: do nothing.
			if strings.Contains(arg, "f") {
				return nil, errFakeMount
			}
		default:
			result = append(result, arg)
		}
	}
	return result, nil
}

// helperOption is the flag for one option, or nothing for an option that others act on.
func helperOption(option string) []string {
	name, _, _ := strings.Cut(option, "=")
	others := []string{
		"", "rw", "defaults", "auto", "noauto", "user", "nouser", "users", "group", "owner", "nofail", "_netdev", "comment",
		"dev", "nodev", "suid", "nosuid", "exec", "noexec", "sync", "async", "atime", "noatime", "relatime", "diratime", "nodiratime",
	}
	switch {
	case slices.Contains(others, name), strings.HasPrefix(name, "x-"):
		return nil
	case name == "ro":
		return []string{"--read-only"}
	case name == "allow_other": // as every other FUSE file system spells it
		return []string{"--allow-other"}
	}
	return []string{"--" + option}
}
