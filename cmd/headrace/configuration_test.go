package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// configurationPage is written by this test when it is run with -update, as `make docs` does.
const configurationPage = "../../docs/configuration.md"

func TestConfigurationPage(t *testing.T) {
	// Looked up, not declared: a package variable would do no good here.
	want := writeConfiguration(newApp(io.Discard, io.Discard))
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(configurationPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/configuration.md is not what the flags say: run `make docs`")
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write docs/configuration.md")
	flag.Parse()
	os.Exit(m.Run())
}

func writeConfiguration(app *cli.App) string {
	var b strings.Builder
	b.WriteString("# Configuration\n\nMade from the flags by `make docs`; a test keeps it current.\n\n" +
		"Flags may stand before or after the arguments. Each can come from the environment, by the variable beside it; a flag given wins. `headrace mount --config FILE` takes them from a YAML file, by their names without dashes; both others win over it. " +
		"Sizes are written 512MiB or 2GiB, durations 500ms, 1s or 10m. In `/etc/fstab` the names without dashes are options: " +
		"`endpoint=https://cwobject.com,memory=4GiB`.\n")
	for _, command := range app.VisibleCommands() {
		fmt.Fprintf(&b, "\n## headrace %s\n\n%s%s.\n", command.Name, strings.ToUpper(command.Usage[:1]), command.Usage[1:])
		usage := strings.TrimSpace("headrace " + command.Name + " " + command.ArgsUsage)
		fmt.Fprintf(&b, "\n    %s\n", usage)
		order, members := groups(command.Flags)
		for _, group := range order {
			if group != "" {
				fmt.Fprintf(&b, "\n### %s\n", group)
			}
			b.WriteString("\n| flag | default | variable | |\n|---|---|---|---|\n")
			for _, h := range members[group] {
				fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", h.names, h.defaultText, h.environment, h.usage)
			}
		}
	}
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, e := range exitCodes() {
		fmt.Fprintf(&b, "| %d | %s |\n", e.Code, e.Meaning)
	}
	return b.String()
}
