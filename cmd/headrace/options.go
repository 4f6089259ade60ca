package main

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/objstore/s3store"
)

// The flags come in groups, each a struct that holds what was given and makes the flags that fill it. A command takes
// the groups it needs. In the help and in docs/configuration.md a group is a section.

// environment is the variable that stands for a flag: --metadata-ttl is HEADRACE_METADATA_TTL.
func environment(flag string) []string {
	return []string{"HEADRACE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))}
}

// storeOptions say where the store is and as whom to talk to it.
type storeOptions struct {
	endpoint       string
	region         string
	profile        string
	pathStyle      bool
	noSignRequest  bool
	requesterPays  bool
	maxConcurrency int
	renameObject   choice
	layout         layoutOptions // its flags are of those commands that use keys

	// addressing is set by resolve: nil when --path-style was not given and the endpoint decides.
	addressing *bool

	// accessKey and secretKey are no flags: the demo has a server of its own, and its credentials.
	accessKey, secretKey string
}

const storeGroup = "Store"

// defaultConcurrency is the most requests a node should have under way at CoreWeave's store by its makers' advice; the
// limit in force starts lower and climbs only while that brings more bytes.
const defaultConcurrency = 300

func (o *storeOptions) flags() []cli.Flag {
	o.renameObject = oneOf("auto", "on", "off")
	return []cli.Flag{
		&cli.StringFlag{
			Name: "endpoint", Category: storeGroup, EnvVars: environment("endpoint"), Destination: &o.endpoint,
			Usage: "`URL` of the S3 service, as https://cwobject.com; auto takes CoreWeave's LOTA where it answers, else https://cwobject.com; without it, what the AWS configuration says, else AWS",
		},
		&cli.StringFlag{
			Name: "region", Category: storeGroup, EnvVars: environment("region"), Destination: &o.region,
			Usage: "the `NAME` of the region to start with; a bucket's own region is found out",
		},
		&cli.StringFlag{
			Name: "profile", Category: storeGroup, EnvVars: environment("profile"), Destination: &o.profile,
			Usage: "the `NAME` of the profile in ~/.aws/config and ~/.aws/credentials, or CoreWeave's ~/.coreweave/cw.config and cw.credentials, whose profile cw is taken where there is no default",
		},
		&cli.BoolFlag{
			Name: "path-style", Category: storeGroup, EnvVars: environment("path-style"), Destination: &o.pathStyle,
			Usage: "put the bucket into the path, not into the host name; without the flag this is done for addresses and localhost",
		},
		&cli.BoolFlag{
			Name: "no-sign-request", Category: storeGroup, EnvVars: environment("no-sign-request"), Destination: &o.noSignRequest,
			Usage: "send no credentials, for public buckets",
		},
		&cli.BoolFlag{
			Name: "requester-pays", Category: storeGroup, EnvVars: environment("requester-pays"), Destination: &o.requesterPays,
			Usage: "agree to pay for requests to a requester-pays bucket",
		},
		&cli.GenericFlag{
			Name: "rename-object", Category: storeGroup, EnvVars: environment("rename-object"), Value: &o.renameObject,
			Usage: "`WHEN` to use the store's own rename: auto at CoreWeave and in AWS' directory buckets; on for others that are known to have it, since one that has not would empty the destination",
		},
		&cli.IntFlag{
			Name: "max-concurrency", Category: storeGroup, EnvVars: environment("max-concurrency"), Destination: &o.maxConcurrency, Value: defaultConcurrency,
			Usage: "at most `N` requests at the same time; the number used moves below it",
		},
	}
}

// renames says whether the store has RenameObject; nil where that is for the store's client to know.
func (o storeOptions) renames() *bool {
	switch o.renameObject.String() {
	case "on", "off":
		on := o.renameObject.String() == "on"
		return &on
	}
	return nil
}

// resolve checks the group after parsing.
func (o *storeOptions) resolve(c *cli.Context) error {
	if c.IsSet("path-style") {
		o.addressing = &o.pathStyle
	}
	if o.maxConcurrency < 1 {
		return usage("--max-concurrency %d: at least 1 is needed", o.maxConcurrency)
	}
	if o.endpoint == "" || o.endpoint == s3store.AutoEndpoint {
		return nil
	}
	u, err := url.Parse(o.endpoint)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return usage("--endpoint is not a URL: write it as https://HOST or http://HOST:PORT")
	case u.User != nil:
		return usage("--endpoint has a user or a password in it: credentials come from the environment or from --profile")
	}
	return nil
}

// readOptions bound what reading may take and how fresh names must be.
type readOptions struct {
	memory      size
	readMode    choice
	siblings    choice
	metadataTTL interval
	replicas    bool
	immutable   bool
	hedgeBudget float64
}

const readGroup = "Reading"

// defaultHedgeBudget, in percent, is twice the share of requests that stall in a store that does so badly.
const defaultHedgeBudget = 2

func (o *readOptions) flags() []cli.Flag {
	o.memory = defaultMemory(os.DirFS("/"))
	o.readMode = oneOf("cached", "direct")
	o.siblings = oneOf("auto", "on", "off")
	o.metadataTTL = interval(time.Second) // close-to-open for everybody, and an `ls -l` is still one request
	return []cli.Flag{
		&cli.GenericFlag{
			Name: "memory", Category: readGroup, EnvVars: environment("memory"), Value: &o.memory, DefaultText: memoryDefault,
			Usage: "the `SIZE` of the memory cache, which is never exceeded; the process needs at most 150 MiB more",
		},
		&cli.GenericFlag{
			Name: "read-mode", Category: readGroup, EnvVars: environment("read-mode"), Value: &o.readMode,
			Usage: "`MODE` cached keeps what was read in the kernel's page cache; direct bypasses it, for large reads that happen once",
		},
		&cli.GenericFlag{
			Name: "siblings", Category: readGroup, EnvVars: environment("siblings"), Value: &o.siblings,
			Usage: "`WHEN` to fetch the next small files of a directory ahead of their opening, once several were opened: auto is with --immutable, or a --metadata-ttl of a minute and more; on is with any but 0, where each that is opened later than that costs a second request",
		},
		&cli.GenericFlag{
			Name: "metadata-ttl", Category: readGroup, EnvVars: environment("metadata-ttl"), Value: &o.metadataTTL,
			Usage: "names, sizes and \"not found\" may be this `DURATION` old",
		},
		&cli.BoolFlag{
			Name: "immutable", Category: readGroup, EnvVars: environment("immutable"), Destination: &o.immutable,
			Usage: "the data never changes: what was seen once is never asked for again",
		},
		&cli.BoolFlag{
			Name: "replicas", Category: readGroup, EnvVars: environment("replicas"), Destination: &o.replicas,
			Usage: "spread reads over the copies that headrace replicate has made",
		},
		&cli.Float64Flag{
			Name: "hedge-budget", Category: readGroup, EnvVars: environment("hedge-budget"), Destination: &o.hedgeBudget, Value: defaultHedgeBudget,
			Usage: "ask a second time for what a reader waits for much longer than usual, with at most `PERCENT` more requests; 0 never does",
		},
	}
}

// longTTL is how long names have to be good for files to be fetched ahead unasked: who reads a directory in any order opens some of them a while later.
const longTTL = time.Minute

// aheadOfOpening tells whether the next files of a directory are fetched before they are opened. What was fetched ahead of a name that has to be asked for
// again has saved no round trip.
func (o *readOptions) aheadOfOpening() bool {
	return o.siblings.String() == "on" || o.siblings.String() == "auto" && (o.immutable || time.Duration(o.metadataTTL) >= longTTL)
}

// memoryDefault is in the help in place of this machine's figure, so that the documentation is the same everywhere.
const memoryDefault = "a quarter of the memory there is, 2GiB at most"

func (o *readOptions) resolve() error {
	if o.memory < minMemory {
		return usage("--memory %s: at least 32MiB are needed", o.memory.String())
	}
	if !(o.hedgeBudget >= 0 && o.hedgeBudget <= 100) {
		return usage("--hedge-budget %v: it is a percentage, 0 to 100", o.hedgeBudget)
	}
	return nil
}

// fileOptions say how files look to the users of the machine.
type fileOptions struct {
	buckets    cli.StringSlice
	readOnly   bool
	uid, gid   uint
	fileMode   permissions
	dirMode    permissions
	posix      bool
	allowOther bool

	names []string // what buckets says, set by resolve
}

const fileGroup = "Files"

const (
	defaultFileMode permissions = 0o644
	defaultDirMode  permissions = 0o755
)

func (o *fileOptions) flags() []cli.Flag {
	o.fileMode, o.dirMode = defaultFileMode, defaultDirMode
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name: "bucket", Category: fileGroup, EnvVars: environment("bucket"), Destination: &o.buckets,
			Usage: "with s3://, show the bucket `NAME`; repeat for more; without the flag, all that can be listed",
		},
		&cli.BoolFlag{
			Name: "read-only", Category: fileGroup, EnvVars: environment("read-only"), Destination: &o.readOnly,
			Usage: "refuse every change with EROFS; without credentials this is so in any case",
		},
		&cli.UintFlag{
			Name: "uid", Category: fileGroup, EnvVars: environment("uid"), Destination: &o.uid, Value: uint(os.Getuid()), DefaultText: "who mounts",
			Usage: "owner of all files, a numeric `ID`",
		},
		&cli.UintFlag{
			Name: "gid", Category: fileGroup, EnvVars: environment("gid"), Destination: &o.gid, Value: uint(os.Getgid()), DefaultText: "of who mounts",
			Usage: "group of all files, a numeric `ID`",
		},
		&cli.GenericFlag{
			Name: "file-mode", Category: fileGroup, EnvVars: environment("file-mode"), Value: &o.fileMode,
			Usage: "permission bits of files, `OCTAL`",
		},
		&cli.GenericFlag{
			Name: "dir-mode", Category: fileGroup, EnvVars: environment("dir-mode"), Value: &o.dirMode,
			Usage: "permission bits of directories, `OCTAL`",
		},
		&cli.BoolFlag{
			Name: "posix-metadata", Category: fileGroup, EnvVars: environment("posix-metadata"), Destination: &o.posix,
			Usage: "keep modes, owners, times, symbolic links and attributes (user.*) in the objects' metadata, as s3fs does; each name looked up costs a request",
		},
		&cli.BoolFlag{
			Name: "allow-other", Category: fileGroup, EnvVars: environment("allow-other"), Destination: &o.allowOther,
			Usage: "let other users in, as far as owner and modes allow; needs root or user_allow_other in /etc/fuse.conf",
		},
	}
}

func (o *fileOptions) resolve(src source) error {
	const largestID = 1<<32 - 2 // the kernel's ids have 32 bits, and the largest means "none"
	if o.uid > largestID || o.gid > largestID {
		return usage("--uid and --gid are at most %d", uint(largestID))
	}
	for _, given := range o.buckets.Value() {
		o.names = append(o.names, strings.Split(given, ",")...) // the environment has one variable for all
	}
	if len(o.names) > 0 && !src.all() {
		return usage("--bucket goes with s3:// alone: %s names its bucket already", src)
	}
	return nil
}

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

// withoutFlag is the flags less the one called name.
func withoutFlag(flags []cli.Flag, name string) []cli.Flag {
	return slices.DeleteFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}
