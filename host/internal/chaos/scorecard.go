package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Mark is a line of the score card.
type Mark struct {
	Name      string
	Assertion string // what has to hold
	Figures   string // by which it was found to hold; without them nothing is shown
	Problems  []string
}

// OK reports whether the assertion was made, and holds.
func (m *Mark) OK() bool { return len(m.Problems) == 0 && m.Figures != "" }

// sizes of a score card: about two minutes on two processors.
func (c Config) small() Config {
	c.Kills, c.Events, c.Accounts, c.NATSKills, c.Cuts, c.Away, c.Flips, c.Streams = 3, 40_000, 20, 3, 5, 3*time.Second, 6, 3
	return c
}

// proof is a way to some marks of the card.
type proof struct {
	marks []Mark
	make  func(ctx context.Context, r *run, marks []*Mark) error
}

// ofCampaign is the proof that a campaign is.
func ofCampaign(name, assertion, campaign string, more func(o *Outcome) string) proof {
	return proof{[]Mark{{Name: name, Assertion: assertion}}, func(ctx context.Context, r *run, marks []*Mark) error {
		i := slices.IndexFunc(campaigns(), func(c campaignOf) bool { return c.name == campaign })
		o, err := r.make(ctx, campaigns()[i])
		if err != nil {
			return err
		}
		_, _, most := spread(o.Recovery)
		m := marks[0]
		m.Problems = o.Problems
		if o.Failed() && len(m.Problems) == 0 {
			m.Problems = []string{"see the run's directory"}
		}
		m.Figures = fmt.Sprintf("%s; %d events: %d lost, %d doubled, %d wrong totals; back after at most %s", more(&o), o.Events, o.Lost, o.Doubled, o.Wrong, most)
		if o.Runs == 0 {
			m.Problems = append(m.Problems, "nothing went wrong, so nothing was shown")
		}
		return nil
	}}
}

// proofs make the card, in its order.
func proofs() []proof {
	runs := func(what string) func(o *Outcome) string {
		return func(o *Outcome) string { return fmt.Sprintf("%d %s", o.Runs, what) }
	}
	return []proof{
		{[]Mark{
			{Name: "Invoices", Assertion: "every account has its invoices, each adds up, and none has another line than the naive rater"},
			{Name: "Live updates", Assertion: "a watching client sees each event that was taken"},
			{Name: "Correctness", Assertion: "all subtotals and counters are those of the naive rater, to the last digit"},
			{Name: "Availability", Assertion: "every query is answered while NATS is away; the program is back after kill -9"},
			{Name: "Scalability", Assertion: "1, 2 and 8 partitions bill the same, byte for byte"},
			{Name: "Restore", Assertion: "a backup, restored into an empty directory, answers as before"},
		}, demo},
		{[]Mark{
			{Name: "Out-of-order and late events", Assertion: "what comes late corrects the next invoice; both together are what the naive rater bills"},
			{Name: "Corrections", Assertion: "a voided event is taken out, and every receiver has every invoice once"},
			{Name: "Poison events", Assertion: "events that cannot be priced are dead letters, can be replayed and discarded; the others are priced"},
		}, journey},
		ofCampaign("Worker failure", "kill -9 loses and doubles nothing", "kills", runs("kills")),
		ofCampaign("Coordinator failure", "a killed NATS server loses and doubles nothing", "nats kills", runs("kills of NATS")),
		ofCampaign("Network failure", "connections that break, crawl or fall silent lose and double nothing", "network", runs("breaks of the network")),
		ofCampaign("Log accidents", "a log that is deleted, made anew or cut short is refused and named, and bills nothing else; put back, it goes on", "streams", runs("streams spoilt")),
		ofCampaign("Downstream failure", "a receiver that fails, dawdles or is away gets every invoice, with the bytes it was issued with", "downstream", runs("moods of the receiver")),
		ofCampaign("Duplicates", "a period that is sent again is priced once", "months again", runs("months sent again")),
		ofCampaign("Corruption", "a flipped bit in the stored state is never served", "bit flips", runs("bits flipped")),
		{[]Mark{{Name: "Plugin faults", Assertion: "tariffs that trap, loop or eat memory harm no other"}}, hostiles},
	}
}

// Scorecard runs the program through the talk's demo and what was added to it, and
// says of each claim what was shown.
func Scorecard(ctx context.Context, c Config) (card []Mark, err error) {
	c = c.small()
	top, err := os.MkdirTemp(c.Dir, "tollway-scorecard-")
	if err != nil {
		return nil, err
	}
	if c.Binary == "" {
		if c.Binary, err = Build(ctx, top); err != nil {
			return nil, errors.Join(err, os.RemoveAll(top))
		}
	}
	kept := false
	for n, p := range proofs() {
		r := &run{Config: c, dir: filepath.Join(top, fmt.Sprint(n)), cache: filepath.Join(top, "plugins")}
		if err := errors.Join(os.MkdirAll(r.dir, 0o700), r.warm(ctx)); err != nil {
			return card, err
		}
		marks := make([]*Mark, len(p.marks))
		for i := range p.marks {
			marks[i] = &p.marks[i]
		}
		if err := p.make(ctx, r, marks); err != nil {
			marks[0].Problems = append(marks[0].Problems, err.Error())
		}
		for _, m := range marks {
			kept = kept || !m.OK()
			r.logf("%s", m)
		}
		card = append(card, p.marks...)
		if ctx.Err() != nil {
			return card, ctx.Err()
		}
	}
	if kept {
		c.Log = os.Stderr
		fmt.Fprintf(c.Log, "kept: %s\n", top)
		return card, nil
	}
	return card, os.RemoveAll(top)
}

// String is the line of the card.
func (m *Mark) String() string {
	sign := "✓"
	if !m.OK() {
		sign = "✗"
	}
	text := fmt.Sprintf("%s %s\n    %s\n    %s", sign, m.Name, m.Assertion, m.Figures)
	for _, p := range m.Problems {
		text += "\n    WRONG: " + p
	}
	return text
}

// CardMarkdown writes a card for a page.
func CardMarkdown(w io.Writer, card []Mark) {
	fmt.Fprintln(w, "| | claim | what was asserted | figures |")
	fmt.Fprintln(w, "|---|---|---|---|")
	for i := range card {
		m := &card[i]
		sign := "✓"
		if !m.OK() {
			sign = "✗ " + strings.Join(m.Problems, "; ")
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", sign, m.Name, m.Assertion, m.Figures)
	}
}
