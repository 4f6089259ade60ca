package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// daemonOptions say how the process runs and how it can be watched.
type daemonOptions struct {
	foreground bool
	logLevel   choice
	logFormat  choice
	logFile    string
	metrics    string
	pprof      bool
}

const daemonGroup = "Daemon"

func (o *daemonOptions) flags() []cli.Flag {
	o.logLevel = oneOf("info", "debug", "warn", "error")
	o.logFormat = oneOf("text", "json")
	return []cli.Flag{
		&cli.BoolFlag{
			Name: "foreground", Aliases: []string{"f"}, Category: daemonGroup, EnvVars: environment("foreground"), Destination: &o.foreground,
			Usage: "stay in the foreground; without it the command returns once the mount answers",
		},
		&cli.GenericFlag{
			Name: "log-level", Category: daemonGroup, EnvVars: environment("log-level"), Value: &o.logLevel,
			Usage: "`LEVEL` from which on events are logged: debug, info, warn or error",
		},
		&cli.GenericFlag{
			Name: "log-format", Category: daemonGroup, EnvVars: environment("log-format"), Value: &o.logFormat,
			Usage: "`FORMAT` of the log: text or json, one line an event",
		},
		&cli.StringFlag{
			Name: "log-file", Category: daemonGroup, EnvVars: environment("log-file"), Destination: &o.logFile,
			Usage: "append the log to `FILE`; without it, to stderr in the foreground and to the system log in the background",
		},
		&cli.StringFlag{
			Name: "metrics", Category: daemonGroup, EnvVars: environment("metrics"), Destination: &o.metrics,
			Usage: "serve Prometheus metrics at http://`ADDR`/metrics; ADDR is HOST:PORT, or unix:/PATH for a socket only you may open",
		},
		&cli.BoolFlag{
			Name: "pprof", Category: daemonGroup, EnvVars: environment("pprof"), Destination: &o.pprof,
			Usage: "serve Go profiles at /debug/pprof/ of the same address",
		},
	}
}

func (o *daemonOptions) resolve() error {
	if o.pprof && o.metrics == "" {
		return usage("--pprof needs --metrics ADDR: the profiles are served there")
	}
	return nil
}

// absolute makes the paths among the flags independent of the working directory, which a background process leaves.
func (o *daemonOptions) absolute() (err error) {
	if o.logFile != "" {
		if o.logFile, err = filepath.Abs(o.logFile); err != nil {
			return fmt.Errorf("cannot find the log's directory: %w", err)
		}
	}
	if socket, ok := strings.CutPrefix(o.metrics, unixScheme); ok {
		if socket, err = filepath.Abs(socket); err != nil {
			return fmt.Errorf("cannot find the socket's directory: %w", err)
		}
		o.metrics = unixScheme + socket
	}
	return nil
}
