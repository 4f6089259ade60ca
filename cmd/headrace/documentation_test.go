package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v2"
)

// exported are the names of all metrics.
func exported() (names []string) {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		newCollector(nil).Describe(descs)
	}()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range descs {
		names = append(names, name.FindStringSubmatch(d.String())[1])
	}
	return names
}

// flagNames are those of all commands, with their dashes.
func flagNames(commands []*cli.Command) (names []string) {
	for _, c := range commands {
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				names = append(names, "--"+name)
			}
		}
	}
	return append(names, "--help")
}

// What the documentation calls a metric or a flag is one: no number is looked for in vain.
func TestDocumentedNamesExist(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%q, %v", pages, err)
	}
	metrics, flags := exported(), flagNames(newApp(io.Discard, io.Discard).Commands)
	others := []string{"--cap-add", "--device", "--nometa"} // of docker, and of versitygw
	aMetric, aFlag := regexp.MustCompile(`\bheadrace_[a-z_]+`), regexp.MustCompile("(?:^|[ `(])(--[a-z][a-z-]+)")
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, named := range aMetric.FindAllString(string(text), -1) {
			if !slices.ContainsFunc(metrics, func(name string) bool { // of several, what they begin with is said
				return name == named || strings.HasPrefix(name, strings.TrimSuffix(named, "_")+"_")
			}) {
				t.Errorf("%s: there is no metric %s", page, named)
			}
		}
		for _, match := range aFlag.FindAllStringSubmatch(string(text), -1) {
			if named := match[1]; !slices.Contains(flags, named) && !slices.Contains(others, named) {
				t.Errorf("%s: there is no flag %s", page, named)
			}
		}
	}
}
