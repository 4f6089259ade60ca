package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// configName is the flag that names a file of flags.
const configName = "config"

func configFlag() cli.Flag {
	return &cli.StringFlag{
		Name: configName, Category: daemonGroup, EnvVars: environment(configName),
		Usage: "take flags from the YAML `FILE`, by their names without dashes, as memory: 4GiB; a flag given and the environment win",
	}
}

// withConfig adds to the arguments of a command, as [flagsFirst] leaves them, the flags of the file that --config or
// the environment names, less those that are given otherwise. They are put in front, so that there is one place where
// values are read and refused.
func withConfig(args []string, flags []cli.Flag, lookup func(name string) (string, bool)) ([]string, error) {
	if findFlag(flags, configName) == nil {
		return args, nil
	}
	given := givenFlags(args, flags)
	path, ok := given[configName]
	if !ok {
		path, _ = lookup(environment(configName)[0])
	}
	if path == "" {
		return args, nil
	}
	settings, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	var front []string
	for _, s := range settings {
		flag := findFlag(flags, s.name)
		if flag == nil || s.name == configName || s.name == "help" || len(s.name) == 1 {
			return nil, unknownSetting(path, s, flags)
		}
		if err := s.check(path, flag); err != nil {
			return nil, err
		}
		name := flag.Names()[0]
		_, here := given[name]
		if text, _ := lookup(environment(name)[0]); here || text != "" {
			continue
		}
		for _, value := range s.values {
			front = append(front, "--"+name+"="+value)
		}
	}
	return slices.Concat(front, args), nil
}

// givenFlags are the flags among arguments, by their first names, with the last value of each.
func givenFlags(args []string, flags []cli.Flag) map[string]string {
	given := make(map[string]string)
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		flag := findFlag(flags, name)
		if flag == nil { // --help
			continue
		}
		if !hasValue && takesValue(flag) && i+1 < len(args) {
			i++
			value = args[i]
		}
		given[flag.Names()[0]] = value
	}
	return given
}

// setting is one line of a file: a flag, and what it is set to.
type setting struct {
	name   string
	line   int
	values []string // one, or those of a list
	list   bool
}

// readConfig reads a file of flags: a YAML map from names to values, each as it would stand on the command line, or a
// list of such.
func readConfig(path string) ([]setting, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("--config: %v", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, usage("--config %s: %v", path, err)
	}
	if len(document.Content) == 0 { // empty, or nothing but comments
		return nil, nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, usage("--config %s: write a flag a line, as memory: 4GiB", path)
	}
	var settings []setting
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		s := setting{name: key.Value, line: key.Line, list: value.Kind == yaml.SequenceNode}
		if slices.ContainsFunc(settings, func(other setting) bool { return other.name == s.name }) {
			return nil, usage("%s:%d: %s is there twice", path, s.line, s.name)
		}
		nodes := []*yaml.Node{value}
		if s.list {
			nodes = value.Content
		}
		for _, node := range nodes {
			if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
				return nil, usage("%s:%d: %s has no value that a flag can have", path, s.line, s.name)
			}
			s.values = append(s.values, node.Value) // as it is written: 0644 is no number here
		}
		settings = append(settings, s)
	}
	return settings, nil
}

// check refuses what the library would take, or refuse with a text that names no file.
func (s setting) check(path string, flag cli.Flag) error {
	if _, many := flag.(*cli.StringSliceFlag); s.list && !many {
		return usage("%s:%d: %s takes one value", path, s.line, s.name)
	}
	if _, ok := flag.(*cli.BoolFlag); ok {
		if _, err := strconv.ParseBool(s.values[0]); err != nil {
			return usage("%s:%d: %s: write true or false", path, s.line, s.name)
		}
	}
	return nil
}

func unknownSetting(path string, s setting, flags []cli.Flag) error {
	text := fmt.Sprintf("%s:%d: there is no flag --%s", path, s.line, s.name)
	if near := cli.SuggestFlag(flags, s.name, true); near != "" && s.name != configName {
		text += fmt.Sprintf(": did you mean %s?", strings.TrimLeft(near, "-"))
	}
	return usage("%s", text)
}
