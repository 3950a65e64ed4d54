// Command tollway is the billing rules engine: the host, the demo, and the
// tools of those who work with it. `tollway --help` lists the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	_ "time/tzdata" // for machines without zone files: billing periods need them

	"github.com/alecthomas/kong"

	"github.com/tollway/tollway/host/export/folder"
	"github.com/tollway/tollway/plugins/scaffold"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// cli is the grammar: one field per command, in the order in which help lists
// them.
type cli struct {
	Demo        demoCommand        `cmd:"" help:"Run everything in one process with sample tariffs and live telco usage."`
	Serve       serveCommand       `cmd:"" help:"Run the host for real use."`
	Apply       applyCommand       `cmd:"" help:"Check a catalog and put it in force."`
	Usage       usageCommand       `cmd:"" help:"Send or generate usage events."`
	Backfill    backfillCommand    `cmd:"" help:"Try a named set of events: see what it would change, then commit or drop it."`
	Subtotals   subtotalsCommand   `cmd:"" help:"Look at live subtotals."`
	Periods     periodsCommand     `cmd:"" help:"List and close billing periods."`
	Reconcile   reconcileCommand   `cmd:"" help:"Show what became of all that a billing period took in; fail where it does not add up."`
	Invoices    invoicesCommand    `cmd:"" help:"List, show and export invoices."`
	DeadLetters deadLettersCommand `cmd:"" name:"dead-letters" help:"Look at events that could not be priced, replay or discard them."`
	Deliveries  deliveriesCommand  `cmd:"" help:"Look at the delivery of invoices, have it tried again."`
	Alerts      alertsCommand      `cmd:"" help:"See which thresholds accounts have reached."`
	Rate        rateCommand        `cmd:"" help:"Rate files of usage without a server."`
	Plugin      pluginCommand      `cmd:"" help:"Write, test, compare, sign and ship tariff plugins."`
	Backup      backupCommand      `cmd:"" help:"Copy the state of a running host."`
	Restore     restoreCommand     `cmd:"" help:"Make the state of a data directory from a backup."`
	Doctor      doctorCommand      `cmd:"" help:"Look whether a host, its log and its disk are well, and print what a NATS server needs."`
	Bench       benchCommand       `cmd:"" help:"Measure the stages and the whole pipeline."`
	Vectors     vectorsCommand     `cmd:"" help:"Price cases whose amounts are known with the built-in tariffs."`
	Version     versionCommand     `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run parses and runs one command line and returns its exit code.
func run(ctx context.Context, args []string, s streams) int {
	code, exited := exitOK, false
	parser, err := newParser(ctx, s, func(status int) { code, exited = status, true })
	if err != nil {
		complain(s.err, err)
		return exitFailure
	}
	command, err := parser.Parse(args)
	if exited { // --help
		return code
	}
	if err != nil {
		complain(s.err, err)
		_, _ = fmt.Fprintln(s.err, "Run `tollway --help` for the commands, `tollway COMMAND --help` for one.")
		return exitUsage
	}
	err = command.Run()
	if err == nil || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return exitOK
	}
	complain(s.err, err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

// newParser makes the parser of command lines. exit is called where one, such as
// --help, ends with being parsed.
func newParser(ctx context.Context, s streams, exit func(int)) (*kong.Kong, error) {
	return kong.New(&cli{},
		kong.Name("tollway"),
		kong.Description("Billing without a database: usage in, prices by WebAssembly plugins, live subtotals and invoices out."),
		kong.Writers(s.out, s.err),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(exit),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
		kong.Vars{
			"version":   versionText(),
			"languages": strings.Join(scaffold.Languages(), ", "),
			"formats":   strings.Join(folder.Formats(), ","), "formats_help": formatHelp(),
		},
	)
}

// usageError is a command line that cannot be meant.
type usageError struct{ error }

// complain prints an error as people read it.
func complain(w io.Writer, err error) {
	text := strings.TrimRight(err.Error(), "\n")
	if text == "" { // what is wrong has been printed, see errFound
		return
	}
	// Nothing is left to tell when standard error cannot be written.
	_, _ = fmt.Fprintf(w, "tollway: %s\n", text)
}

// versionCommand prints what was built.
type versionCommand struct{}

// Run prints the version of the module and of the Go toolchain.
func (versionCommand) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, versionText())
	return err
}

func versionText() string {
	version, revision := "(devel)", ""
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	if ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = " " + setting.Value
			}
		}
	}
	return fmt.Sprintf("tollway %s%s %s", version, revision, runtime.Version())
}
