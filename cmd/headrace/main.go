// Command headrace mounts S3-compatible buckets as directories.
//
// This package knows every layer once and decides nothing that a layer could: it turns flags into configuration, puts
// the layers together (stack.go is the architecture on one page), carries signals, exports what the layers count, and
// says in one line what went wrong and what to do. Its parts:
//
//   - main.go, arguments.go, options.go, configfile.go, values.go, size.go, help.go: the command line; storeoptions.go,
//     readoptions.go, fileoptions.go, daemonoptions.go: its groups of flags; fstab.go: that of mount(8).
//   - mount.go, daemon.go, mountpoint.go, serve.go, umount.go, ending.go, holders.go: the life of a mount as seen from
//     outside.
//   - stack.go, layers.go, volumes.go: the layers, put together.
//   - memory.go: how much memory to take; logging.go, metrics.go, listener.go: how to watch.
//   - status.go, statuscommand.go, top.go, asking.go: how mounts are doing, asked of themselves.
//   - explain.go, exit.go: failures as the user sees them.
//   - cacheoptions.go, cachecommand.go: the disk cache; warm.go, warmcache.go, warmlota.go, warmnames.go,
//     growingbar.go: reading ahead into it, or into the node's.
//   - keyscommand.go, keysmigrate.go, movedkeys.go: hashed keys; untiltold.go: what ends a command that is under way.
//   - writeoptions.go, content.go, flush.go, recovery.go: what is written; uploadscommand.go, uploadslist.go,
//     uploadsshow.go, uploadsrest.go, uploadsplaces.go, control.go: `headrace uploads`.
//   - demo.go, dataset.go, bench.go, sweep.go, version.go: the other commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

func main() {
	boundHeap(os.Getenv)
	os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr))
}

// run is the program: args as in os.Args, the exit code as the result.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	name := filepath.Base(args[0])
	helper := name == mountHelper
	var err error
	if helper {
		if args, err = helperArguments(args[1:]); err == nil {
			args = append([]string{"headrace", "mount"}, args...)
		}
	}
	app := newApp(stdout, stderr)
	if err == nil {
		args, err = arrange(app, args)
	}
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	if err == nil || errors.Is(err, errFakeMount) {
		return exitOK
	}
	fmt.Fprintf(stderr, "%s: %s\n", name, redactText(strings.ReplaceAll(err.Error(), "\n", "; ")))
	switch code := exitCode(err); {
	case helper && code == exitUsage:
		return 1 // mount(8): incorrect invocation
	case helper:
		return exitMountHelper
	default:
		return code
	}
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:            "headrace",
		Usage:           "mount S3-compatible buckets as directories",
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: true,
		// A key or a bucket given by a repeated flag is taken as it is, commas included.
		DisableSliceFlagSeparator: true,
		HideVersion:               true, // the command says it; --version is made to mean the same
		ExitErrHandler:            func(*cli.Context, error) {},
		Commands:                  []*cli.Command{mountCommand(), umountCommand(), demoCommand(), benchCommand(), sweepCommand(), cacheCommand(), warmCommand(), keysCommand(), restripeCommand(), replicateCommand(), doctorCommand(), uploadsCommand(), statusCommand(), topCommand(), shaperCommand(), versionCommand()},
	}
	for _, command := range app.Commands {
		command.HideHelpCommand = true
		command.CustomHelpTemplate = commandHelp(command)
		command.OnUsageError = func(_ *cli.Context, err error, _ bool) error {
			return usage("%v: `headrace %s --help` explains the flags", err, command.Name)
		}
	}
	app.CustomAppHelpTemplate = appHelp(app)
	return app
}

// arrange puts the flags of args' command in front and refuses what the program does not have.
func arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) < 2 {
		return []string{args[0], "--help"}, nil
	}
	if len(args) > 2 && app.Command(args[1]+" "+args[2]) != nil { // a command of two words
		args = append([]string{args[0], args[1] + " " + args[2]}, args[3:]...)
	}
	switch name := args[1]; name {
	case "--help", "-h", "help":
		return []string{args[0], "--help"}, nil
	case "--version", "-v":
		return []string{args[0], "version"}, nil
	default:
		command := app.Command(name)
		if command == nil && strings.HasPrefix(name, "-") {
			return nil, usage("flags go after the command: headrace mount %s ...", name)
		}
		if command == nil {
			return nil, usage("unknown command %q: `headrace --help` lists the commands", name)
		}
		rest, err := flagsFirst(name, args[2:], command.Flags)
		if err == nil {
			err = checkSwitches(command.Flags, os.LookupEnv)
		}
		if err == nil {
			rest, err = withConfig(rest, command.Flags, os.LookupEnv)
		}
		return append([]string{args[0], name}, rest...), err
	}
}
