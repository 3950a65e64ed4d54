package sim

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/internal/oracle"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// positionOf is the position of a checkpoint.
func positionOf(c *content) uint64 {
	if c.number == 0 {
		return 0
	}
	h, err := accumulate.DecodeHeader(c.header)
	if err != nil {
		return 0 // watch.committed has said so
	}
	return h.Position
}

// settleDown heals the world and lets the newest host work until nothing is left
// to be done.
func (w *world) settleDown() {
	w.mu.Lock()
	w.faults = false
	w.mu.Unlock()
	w.note("no faults any more")
	if w.chance(50) {
		w.setClock(w.progress.AddDate(0, 0, 120)) // all periods are due, where closes are automatic
	}
	quiet := 0
	for n := 0; quiet < 4; n++ {
		if n > 60_000 {
			w.violated("the host comes to rest", "it has not: %v", w.labels())
			return
		}
		synctest.Wait()
		if w.look(); w.What() != "" {
			return
		}
		if waiting := w.gates.list(); len(waiting) > 0 {
			w.pass(waiting[w.IntN(len(waiting))])
			quiet = 0
			continue
		}
		if w.current.opened() != nil && !w.applied && w.client == nil {
			w.call() // a first catalog
			quiet = 0
			continue
		}
		w.sleep(1100 * time.Millisecond)
		if w.idle() {
			quiet++
		} else {
			quiet = 0
		}
	}
}

func (w *world) labels() (list []string) {
	for _, p := range w.gates.list() {
		list = append(list, p.label)
	}
	return list
}

// idle reports whether all is read and published.
func (w *world) idle() bool {
	if w.current.opened() == nil || w.client != nil {
		return false
	}
	for n := range w.partitions {
		c := w.current.disk.now(n)
		if positionOf(c) != uint64(len(w.journal.stream(stream.Usage(n)).list)) {
			return false
		}
		for log, subject := range outward(n) {
			if uint64(len(w.outgoing(subject))) != c.log(log).last() {
				return false
			}
		}
	}
	return true
}

// outward are the subjects of a partition's logs.
func outward(partition int) map[uint8]string {
	return map[uint8]string{
		accumulate.LogDeadLetters: stream.DeadLettersSubject(partition), accumulate.LogInvoices: stream.InvoicesSubject(partition),
		accumulate.LogAlerts: stream.AlertsSubject(partition),
	}
}

// outgoing are the messages of a subject.
func (w *world) outgoing(subject string) (list []stream.Message) {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	for _, m := range w.journal.stream(streamOf(subject)).list {
		if m.Subject == subject {
			list = append(list, m)
		}
	}
	return list
}

// ask notes the subtotals of an account as a query shows them.
func (w *world) ask(h *host.Host) {
	account := pick(w, "emma", "ann", "bob")
	answer, err := h.Queries().Account(query.Filter{Account: billing.AccountID(account), Period: w.progress.Format("2006-01")})
	if err != nil {
		w.violated("query", "%v", err)
		return
	}
	s := shown{partition: w.owner(account), account: account, position: answer.AsOf.Positions[0].Sequence}
	for i := range answer.Subtotals {
		if t := &answer.Subtotals[i]; !t.Final && t.Events > 0 {
			s.rows = append(s.rows, row(t))
		}
	}
	slices.Sort(s.rows)
	w.answers = append(w.answers, s)
}

// row writes a subtotal as the oracle does.
func row(t *query.Subtotal) string {
	return strings.Join([]string{
		string(t.Account), t.Period.Start.UTC().Format(time.RFC3339), string(t.Currency), t.Tariff, t.Subscription,
		t.Version.UTC().Format(time.RFC3339), group(t.Group), strconv.FormatUint(t.Events, 10), exact(t.Amount.String()),
	}, "|")
}

func group(fields []billing.Field) string {
	values := map[string]string{}
	for _, f := range fields {
		values[f.Key] = f.Text
	}
	return oracle.GroupText(values)
}

// exact writes a decimal as a rational.
func exact(text string) string {
	x, ok := new(big.Rat).SetString(text)
	if !ok {
		return text + " is no number"
	}
	return x.RatString()
}

// truth is the log of a partition as the oracle reads it.
func (w *world) truth(partition int) ([]oracle.Entry, error) {
	var log []oracle.Entry
	revision := uint64(0)
	for _, m := range w.journal.stream(stream.Usage(partition)).list {
		e := oracle.Entry{Position: m.Sequence}
		if batch := m.Header.Get(headerBatch); batch != "" {
			n, err := strconv.Atoi(batch)
			if err != nil {
				return nil, err
			}
			e.Events = w.batches[n]
			log = append(log, e)
			continue
		}
		if name := m.Header.Get(headerSet); name != "" {
			events, err := w.setMessage(name, partition, m)
			if err != nil {
				return nil, err
			}
			e.Events = events
			log = append(log, e)
			continue
		}
		c, verb, err := decodeControl(m)
		if err != nil {
			return nil, err
		}
		switch verb {
		case "catalog":
			if c.Revision > revision {
				revision, e.Catalog, e.Reprice = c.Revision, w.revisions[c.Revision], c.Reprice
			}
		case "close":
			e.Close = &oracle.Close{Zone: c.Zone, AnchorDay: c.Anchor, Start: c.Start, End: c.End}
		case "letters":
			e.Letters = &oracle.Order{Discard: c.Discard}
			for _, l := range c.Letters {
				e.Letters.Letters = append(e.Letters.Letters, oracle.Letter{Number: int(l.Number), Position: l.Position, Index: l.Index})
			}
		default:
			return nil, fmt.Errorf("no control message: %s", m.Subject)
		}
		log = append(log, e)
	}
	return log, nil
}

// compare holds everything against what the log alone says.
func (w *world) compare() {
	for n := range w.partitions {
		log, err := w.truth(n)
		if err != nil {
			w.violated("log", "partition %d: %v", n, err)
			return
		}
		owns := func(account string) bool { return w.owner(account) == n }
		want := oracle.Replay(log, owns)
		w.compareRecords(n, want)
		w.comparePublished(n, want)
		w.compareAnswers(n, log, owns)
		w.compareTrials(n, log, owns)
		if w.What() != "" {
			return
		}
	}
}

// compareRecords compares the counters of every checkpoint that was ever made.
func (w *world) compareRecords(n int, want oracle.Result) {
	for position, r := range w.watch.seen[n] {
		if position == 0 || position > uint64(len(want.After)) {
			w.violated("P2 position", "partition %d: a checkpoint at %d of %d", n, position, len(want.After))
			return
		}
		if after := want.After[position-1]; after != r.counts {
			w.violated("P1 counters", "partition %d at %d: want %+v, have %+v", n, position, after, r.counts)
			return
		}
	}
}

// comparePublished compares what went outward, each once and in order.
func (w *world) comparePublished(n int, want oracle.Result) {
	var letters, wanted []string
	sums := oracle.Sums{}
	for log, subject := range outward(n) {
		entries := w.current.disk.now(n).log(log)
		for i, m := range w.outgoing(subject) {
			if m.Header.Get(headerNumber) != strconv.Itoa(i+1) || i >= len(entries.list) || string(entries.list[i]) != string(m.Data) {
				w.violated("P4 published once", "%s: message %d has number %s", subject, i+1, m.Header.Get(headerNumber))
				return
			}
			if log == accumulate.LogInvoices {
				if err := sums.AddInvoice(m.Data); err != nil {
					w.violated("P8 invoice", "%s: %v", subject, err)
					return
				}
				continue
			}
			if log == accumulate.LogAlerts {
				continue // each is a function of the log: see watch.committed
			}
			var l accumulate.DeadLetter
			if err := json.Unmarshal(m.Data, &l); err != nil {
				w.violated("dead letter", "%s: %v", subject, err)
				return
			}
			letters = append(letters, fmt.Sprintf("%d|%d|%d|%s|%s", i+1, l.Position, l.Index, l.Source, l.ID))
		}
	}
	for _, l := range want.Letters {
		wanted = append(wanted, fmt.Sprintf("%d|%d|%d|%s|%s", l.Number, l.Position, l.Index, l.Event.Source, l.Event.ID))
	}
	w.same("P1 dead letters", n, wanted, letters)
	w.same("P4 invoices", n, want.Lines, sums.Lines())
	if w.What() != "" {
		return
	}
	last, outcomes := w.verdicts(n), []string{}
	for _, l := range want.Letters {
		outcomes = append(outcomes, fmt.Sprintf("%d|%s", l.Number, l.Outcome))
	}
	for i := range len(want.Letters) {
		last[i] = fmt.Sprintf("%d|%s", i+1, last[i])
	}
	w.same("P1 what became of dead letters", n, outcomes, last[:len(want.Letters)])
}

// verdicts are those that settle dead letters, by number less 1.
func (w *world) verdicts(n int) []string {
	c := w.current.disk.now(n)
	last := make([]string, c.log(accumulate.LogDeadLetters).last())
	for _, e := range c.log(accumulate.LogVerdicts).list {
		var v accumulate.Verdict
		if err := json.Unmarshal(e, &v); err != nil {
			w.violated("verdict", "%v", err)
			return last
		}
		if v.Settles() {
			last[v.Letter-1] = v.Outcome
		}
	}
	return last
}

// compareAnswers compares what queries have shown with what the log up to their
// position says.
func (w *world) compareAnswers(n int, log []oracle.Entry, owns func(string) bool) {
	for _, s := range w.answers {
		if s.partition != n || s.position > uint64(len(log)) {
			continue
		}
		want := oracle.Replay(log[:s.position], owns)
		open := slices.DeleteFunc(want.Open, func(row string) bool {
			return !strings.HasPrefix(row, s.account+"|") || !slices.ContainsFunc(s.rows, func(shown string) bool { return samePeriod(row, shown) })
		})
		w.same(fmt.Sprintf("P3 subtotals of %s as of %d", s.account, s.position), n, open, s.rows)
	}
}

// samePeriod reports whether two rows have the same account and period.
func samePeriod(a, b string) bool {
	head := func(row string) string {
		parts := strings.SplitN(row, "|", 3)
		return parts[0] + "|" + parts[1]
	}
	return head(a) == head(b)
}

// same compares two lists.
func (w *world) same(what string, partition int, want, have []string) {
	if diff := cmp.Diff(want, have); diff != "" && !(len(want) == 0 && len(have) == 0) {
		w.violated(what, "partition %d, log (-), engine (+):\n%s", partition, diff)
	}
}
