package main

import (
	"os"
	"time"

	"github.com/urfave/cli/v2"
)

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

// longTTL is how long names have to be good for files to be fetched ahead unasked: who reads a directory in any order
// opens some of them a while later.
const longTTL = time.Minute

// aheadOfOpening tells whether the next files of a directory are fetched before they are opened. What was fetched ahead
// of a name that has to be asked for again has saved no round trip.
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
