package main

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// reconcileCommand shows that nothing is missing from a period's invoices.
type reconcileCommand struct {
	clientFlags
	outputFlags
	Period string `required:"" placeholder:"PERIOD" help:"Billing period: 2026-10, or its start date."`
}

// Run prints the figures and fails where they do not add up.
func (c *reconcileCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Periods.Reconcile(ctx, &tollwayv1.PeriodServiceReconcileRequest{Period: c.Period})
	if err != nil {
		return failed(clients, err)
	}
	switch c.Output {
	case "json":
		err = printJSON(s.out, answer)
	case "csv":
		err = reconcileRows(answer).print(s.out, c.Output)
	default:
		err = printReconciliation(s, answer)
	}
	if err != nil || len(answer.GetFindings()) == 0 {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "period %s does not add up:", c.Period)
	for _, f := range answer.GetFindings() {
		fmt.Fprintf(&b, "\n  partition %d", f.GetPartition())
		if f.GetAccount() != "" {
			fmt.Fprintf(&b, ", account %s", f.GetAccount())
		}
		b.WriteString(": " + f.GetDetail())
	}
	return fmt.Errorf("%s", b.String())
}

// number writes a count.
func number(n uint64) string { return strconv.FormatUint(n, 10) }

// eventRow are the counts of a row of events.
func eventRow(e *tollwayv1.ReconciledEvents) []uint64 {
	return []uint64{
		e.GetPriced(), e.GetInvoiced(), e.GetOpen(), e.GetParked(), e.GetDeadLetters(), e.GetDiscarded(), e.GetUndated(),
		e.GetLogRead(), e.GetLogPriced(), e.GetLogDuplicates(), e.GetLogDeadLettered(),
	}
}

// moneyRow are the amounts of a row of money.
func moneyRow(m *tollwayv1.ReconciledMoney) []string {
	return []string{m.GetPriced(), m.GetInvoiced(), m.GetOpen(), m.GetParked(), m.GetRules(), m.GetAdjusted(), m.GetIssued()}
}

// printReconciliation shows events and money in a table each, with totals.
func printReconciliation(s streams, answer *tollwayv1.PeriodServiceReconcileResponse) error {
	events := columns("partition", ">priced", ">invoiced", ">open", ">parked", ">dead letters", ">discarded", ">undated", ">log read", ">log priced", ">log duplicates", ">log dead-lettered")
	var totals []uint64
	for _, e := range answer.GetEvents() {
		row := eventRow(e)
		if totals == nil {
			totals = make([]uint64, len(row))
		}
		cells := []string{strconv.Itoa(int(e.GetPartition()))}
		for i, n := range row {
			totals[i] += n
			cells = append(cells, number(n))
		}
		events.add(cells...)
	}
	cells := []string{"all"}
	for _, n := range totals {
		cells = append(cells, number(n))
	}
	events.add(cells...)
	if _, err := fmt.Fprintln(s.out, "Events: priced = invoiced + open + parked, once for each subscription; the log's are of all periods"); err != nil {
		return err
	}
	if err := events.print(s.out, "table"); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(s.out, "\nMoney: priced = invoiced + adjusted + open + parked; issued = invoiced + adjusted + rules"); err != nil {
		return err
	}
	if err := moneyGrid(answer).print(s.out, "table"); err != nil || len(answer.GetFindings()) > 0 {
		return err
	}
	_, err := fmt.Fprintln(s.out, "Everything adds up.")
	return err
}

// moneyGrid has a row for each partition and currency, and one for each currency.
func moneyGrid(answer *tollwayv1.PeriodServiceReconcileResponse) *grid {
	g := columns("partition", "currency", ">invoices", ">priced", ">invoiced", ">open", ">parked", ">rules", ">adjusted", ">issued")
	type total struct {
		invoices uint64
		amounts  []big.Rat
		scale    int
	}
	totals := map[string]*total{}
	var currencies []string
	for _, m := range answer.GetMoney() {
		row := moneyRow(m)
		g.add(append([]string{strconv.Itoa(int(m.GetPartition())), m.GetCurrency(), number(m.GetInvoices())}, row...)...)
		t := totals[m.GetCurrency()]
		if t == nil {
			t = &total{amounts: make([]big.Rat, len(row))}
			totals[m.GetCurrency()] = t
			currencies = append(currencies, m.GetCurrency())
		}
		t.invoices += m.GetInvoices()
		for i, text := range row {
			if amount, ok := new(big.Rat).SetString(text); ok {
				t.amounts[i].Add(&t.amounts[i], amount)
			}
			_, decimals, _ := strings.Cut(text, ".")
			t.scale = max(t.scale, len(decimals))
		}
	}
	slices.Sort(currencies)
	for _, c := range currencies {
		t := totals[c]
		cells := []string{"all", c, number(t.invoices)}
		for i := range t.amounts {
			cells = append(cells, t.amounts[i].FloatString(t.scale))
		}
		g.add(cells...)
	}
	return g
}

// reconcileRows has one figure a row, for spreadsheets.
func reconcileRows(answer *tollwayv1.PeriodServiceReconcileResponse) *grid {
	g := columns("partition", "currency", "figure", "value")
	names := []string{"priced_events", "invoiced_events", "open_events", "parked_events", "dead_letters", "discarded", "undated", "log_read", "log_priced", "log_duplicates", "log_dead_lettered"}
	for _, e := range answer.GetEvents() {
		for i, n := range eventRow(e) {
			g.add(strconv.Itoa(int(e.GetPartition())), "", names[i], number(n))
		}
	}
	amounts := []string{"priced", "invoiced", "open", "parked", "rules", "adjusted", "issued"}
	for _, m := range answer.GetMoney() {
		for i, text := range moneyRow(m) {
			g.add(strconv.Itoa(int(m.GetPartition())), m.GetCurrency(), amounts[i], text)
		}
		g.add(strconv.Itoa(int(m.GetPartition())), m.GetCurrency(), "invoices", number(m.GetInvoices()))
	}
	return g
}
