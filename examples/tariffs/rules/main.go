// Command rules is the plugin of the built-in invoice rules: minimum_commitment, maximum_cap, discount, credits,
// progressive_threshold, proration, allocation, invoice_totals and credit_note.
//
// An invoice rule is a tariff whose events are the line items of an account's period, in the order of the invoice:
// the quantity and the amount of the line, and as dimensions what is known about it. Its own lines join the invoice,
// and are events of the rules behind it. Final is set when the period ends, and not for a bill on the way.
package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

var module = tariff.Register(tariff.Module{
	Name:         "rules",
	Version:      "1.0.0",
	FuelPerEvent: 50_000_000, // a rule may look at all lines of an invoice again
	Tariffs: []tariff.Tariff{
		minimumCommitment, maximumCap, discount, credits, progressiveThreshold, proration, allocation, invoiceTotals, creditNote,
	},
})

func main() { module.Main() }

// one is the quantity of what is not counted in units.
var one = billing.Quantity(billing.DecimalFromInt(1))

// total is the sum of the line items that a rule has seen.
type total struct{ cell tariff.AmountCell }

// add adds a line item and returns the sum.
func (t total) add(s *tariff.Slot, e *tariff.Event) (billing.Amount, error) {
	amount, _ := e.Amount()
	return t.cell.Add(s, amount)
}

// setAmount writes a line of a rule: quantity 1 when there is an amount.
func setAmount(s *tariff.Slot, line tariff.Line, amount billing.Amount) {
	if amount.IsZero() {
		line.Set(s, billing.Quantity{}, amount)
		return
	}
	line.Set(s, one, amount)
}

// subtract writes a line that takes an amount off.
func subtract(s *tariff.Slot, line tariff.Line, amount billing.Amount) error {
	negative, err := amount.Neg()
	if err == nil {
		setAmount(s, line, negative)
	}
	return err
}
