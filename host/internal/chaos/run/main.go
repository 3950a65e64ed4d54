// Command run does to the real program what a bad year does to it, and prints what it
// found. It fails when anything was lost, doubled or wrong.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tollway/tollway/host/internal/chaos"
	"github.com/tollway/tollway/host/internal/chaos/natsd"
)

func main() {
	if code, is := natsd.Main(); is {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	c := chaos.Default()
	c.Log = os.Stderr
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	only := flags.String("only", "", "campaigns, separated by commas, by the beginnings of their names; of "+strings.Join(chaos.Names(), ", "))
	markdown := flags.String("markdown", "", "file that gets the table as Markdown")
	flags.Uint64Var(&c.Seed, "seed", 0, "seed; 0 draws one, which is printed")
	flags.StringVar(&c.Dir, "dir", "", "folder for the directories of the run; empty: the system's temporary one")
	flags.StringVar(&c.Binary, "binary", "", "tollway, built with -tags failpoints; empty: it is built")
	flags.IntVar(&c.Kills, "kills", c.Kills, "kills of the program")
	flags.Int64Var(&c.Events, "events", c.Events, "events that are sent during the kills")
	flags.IntVar(&c.Accounts, "accounts", c.Accounts, "accounts that the events are of")
	flags.IntVar(&c.PointRounds, "point-rounds", c.PointRounds, "tours with each failpoint: in the first it is met once, in others at random")
	points := flags.String("points", "", "failpoints, separated by commas, by the beginnings of their names; empty: all")
	flags.IntVar(&c.NATSKills, "nats-kills", c.NATSKills, "kills of the NATS server")
	flags.IntVar(&c.Cuts, "cuts", c.Cuts, "breaks of the network")
	flags.DurationVar(&c.Away, "away", c.Away, "how long the receiver of invoices is away")
	flags.IntVar(&c.Flips, "flips", c.Flips, "flipped bits")
	flags.IntVar(&c.Full, "full", c.Full, "times that the disk is full")
	flags.IntVar(&c.Clocks, "clocks", c.Clocks, "jumps of the wall clock")
	flags.IntVar(&c.Streams, "streams", c.Streams, "accidents of the log's streams")
	card := flags.Bool("scorecard", false, "show the score card instead")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	if *points != "" {
		c.Points = strings.Split(*points, ",")
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64N(1 << 32)
	}
	fmt.Printf("seed %d, %s\n", c.Seed, chaos.Machine())
	if *card {
		return scorecard(ctx, c, *markdown)
	}
	list, err := chaos.Run(ctx, c)
	failed := err != nil
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err := chaos.Print(os.Stdout, list); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		failed = true
	}
	for i := range list {
		failed = failed || list[i].Failed()
	}
	if err := writeMarkdown(*markdown, list); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		failed = true
	}
	if failed {
		return 1
	}
	return 0
}

// scorecard prints the card. It fails when a mark is missing.
func scorecard(ctx context.Context, c chaos.Config, markdown string) int {
	c.Log = os.Stdout
	marks, err := chaos.Scorecard(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "scorecard:", err)
		return 1
	}
	good := 0
	for i := range marks {
		if marks[i].OK() {
			good++
		}
	}
	fmt.Printf("%d of %d\n", good, len(marks))
	if markdown != "" {
		var text strings.Builder
		chaos.CardMarkdown(&text, marks)
		if err := os.WriteFile(markdown, []byte(text.String()), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "scorecard:", err)
			return 1
		}
	}
	if good != len(marks) {
		return 1
	}
	return 0
}

func writeMarkdown(name string, list []chaos.Outcome) error {
	if name == "" {
		return nil
	}
	var text strings.Builder
	chaos.Markdown(&text, list)
	return os.WriteFile(name, []byte(text.String()), 0o600)
}
