package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

const helpWidth = 100 // columns; most terminals have them

// flagHelp is one flag as the help and docs/configuration.md show it.
type flagHelp struct {
	group       string
	names       string // "--memory SIZE", "--lazy, -l"
	usage       string
	defaultText string // "" when there is none worth a word
	environment string
}

func describeFlag(f cli.Flag) flagHelp {
	d := f.(cli.DocGenerationFlag)
	placeholder, text := cutPlaceholder(d.GetUsage())
	h := flagHelp{usage: text, defaultText: d.GetDefaultText()}
	if g, ok := f.(cli.CategorizableFlag); ok {
		h.group = g.GetCategory()
	}
	var names []string
	for _, name := range f.Names() {
		dashes := "--"
		if len(name) == 1 {
			dashes = "-"
		}
		names = append(names, dashes+name)
	}
	h.names = strings.Join(names, ", ")
	if d.TakesValue() {
		h.names += " " + placeholder
	}
	if _, ok := f.(*cli.BoolFlag); ok {
		h.defaultText = ""
	}
	if vars := d.GetEnvVars(); len(vars) > 0 {
		h.environment = vars[0]
	}
	return h
}

// cutPlaceholder finds the word in backquotes that stands for the flag's value.
func cutPlaceholder(usage string) (placeholder, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	word, after, closed := strings.Cut(rest, "`")
	if !ok || !closed {
		return "VALUE", usage
	}
	return word, before + word + after
}

// groups are the flags of a command by section, in the order in which the sections first appear.
func groups(flags []cli.Flag) (order []string, members map[string][]flagHelp) {
	members = map[string][]flagHelp{}
	for _, f := range flags {
		if f.Names()[0] == "help" {
			continue
		}
		h := describeFlag(f)
		if members[h.group] == nil {
			order = append(order, h.group)
		}
		members[h.group] = append(members[h.group], h)
	}
	return order, members
}

// commandHelp is the whole help text of a command.
func commandHelp(command *cli.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "headrace %s: %s\n\nUsage: headrace %s", command.Name, command.Usage, command.Name)
	if command.ArgsUsage != "" {
		fmt.Fprintf(&b, " %s", command.ArgsUsage)
	}
	if len(command.Flags) > 0 {
		b.WriteString(" [flags]")
	}
	b.WriteString("\n")
	for paragraph := range strings.SplitSeq(command.Description, "\n\n") {
		if strings.HasPrefix(paragraph, "  ") { // an example: as it is
			fmt.Fprintf(&b, "\n%s\n", paragraph)
		} else if paragraph != "" {
			fmt.Fprintf(&b, "\n%s\n", wrap(paragraph, helpWidth, ""))
		}
	}
	order, members := groups(command.Flags)
	for _, group := range order {
		title := group
		if title == "" {
			title = "Flags"
		}
		fmt.Fprintf(&b, "\n%s:\n", title)
		for _, h := range members[group] {
			writeFlag(&b, h)
		}
	}
	return b.String()
}

func writeFlag(b *strings.Builder, h flagHelp) {
	const column = 28 // where the text begins
	text := h.usage
	if h.defaultText != "" {
		text += " (default: " + h.defaultText + ")"
	}
	names := "  " + h.names
	if len(names) > column-2 {
		names += "\n" + strings.Repeat(" ", column)
	} else {
		names += strings.Repeat(" ", column-len(names))
	}
	fmt.Fprintf(b, "%s%s\n", names, wrap(text, helpWidth-column, strings.Repeat(" ", column)))
}

// wrap breaks text at spaces into lines of at most width bytes; all lines but the first begin with indent.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	length := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case length+1+len(word) > width:
			b.WriteString("\n" + indent)
			length = 0
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

// appHelp is the help text of the program.
func appHelp(app *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "headrace: %s\n\nUsage: headrace COMMAND [arguments] [flags]\n\nCommands:\n", app.Usage)
	for _, command := range app.VisibleCommands() {
		fmt.Fprintf(&b, "  %-12s%s\n", command.Name, command.Usage)
	}
	b.WriteString(`
Try it:
  headrace demo /tmp/headrace-demo             a real S3 server with a small dataset, mounted
  headrace mount s3://BUCKET /data             your bucket; AWS credentials as every AWS tool finds them
  headrace umount /data

` + "`headrace COMMAND --help` explains a command. Every flag can also come from the environment:\n--metadata-ttl is HEADRACE_METADATA_TTL.\n")
	return b.String()
}
