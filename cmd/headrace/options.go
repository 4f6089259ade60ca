package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// The flags come in groups, each a struct that holds what was given and makes the flags that fill it. A command takes
// the groups it needs. In the help and in docs/configuration.md a group is a section.

// environment is the variable that stands for a flag: --metadata-ttl is HEADRACE_METADATA_TTL.
func environment(flag string) []string {
	return []string{"HEADRACE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))}
}

// withoutFlag is the flags less the one called name.
func withoutFlag(flags []cli.Flag, name string) []cli.Flag {
	return slices.DeleteFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}
