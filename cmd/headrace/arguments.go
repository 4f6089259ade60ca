package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst puts a command's flags before its arguments, because cli stops looking for flags at the first argument and
// `headrace mount s3://b /data --read-only` must work. What follows "--" is left alone. The result has a "--" between
// flags and arguments, so that an argument may begin with a dash. It refuses flags the command does not have.
func flagsFirst(command string, args []string, flags []cli.Flag) ([]string, error) {
	var front, arguments []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			arguments = append(arguments, args[i+1:]...)
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			arguments = append(arguments, arg)
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if name == "help" || name == "h" {
			return []string{"--help"}, nil
		}
		flag := findFlag(flags, name)
		if flag == nil {
			return nil, unknownFlag(command, name, flags)
		}
		front = append(front, arg)
		if hasValue || !takesValue(flag) {
			continue
		}
		if i+1 == len(args) {
			return nil, usage("--%s needs a value: `headrace %s --help` says which", name, command)
		}
		i++
		front = append(front, args[i])
	}
	return slices.Concat(front, []string{"--"}, arguments), nil
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// checkSwitches refuses what the environment says of flags that are on or off and that means neither: the library's own
// message does not tell what would.
func checkSwitches(flags []cli.Flag, lookup func(name string) (string, bool)) error {
	for _, f := range flags {
		b, ok := f.(*cli.BoolFlag)
		if !ok {
			continue
		}
		for _, name := range b.EnvVars {
			text, _ := lookup(name)
			if _, err := strconv.ParseBool(text); text != "" && err != nil {
				return usage("%s=%s: write true or false", name, text)
			}
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

func unknownFlag(command, name string, flags []cli.Flag) error {
	if near := cli.SuggestFlag(flags, name, true); near != "" {
		return usage("unknown flag --%s: did you mean %s? `headrace %s --help` lists them", name, near, command)
	}
	return usage("unknown flag --%s: `headrace %s --help` lists them", name, command)
}
