package vectors

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// flatFee ends the id of the line with a tier's flat fee.
const flatFee = "_flat_fee"

// differ notes an asserted number that is not what came out.
func differ(wrong *[]string, what string, want *billing.Decimal, got billing.Decimal) {
	if want != nil && want.Cmp(got) != 0 {
		*wrong = append(*wrong, fmt.Sprintf("%s: want %s, got %s", what, want, got))
	}
}

// compare compares the finished slots with what the case expects.
func (p *pricing) compare(wrong *[]string) error {
	total, err := p.total()
	if err != nil {
		return err
	}
	differ(wrong, "amount", p.c.Expected.Amount, total)
	var units billing.Decimal
	for _, s := range p.slots {
		sum, err := p.units(s)
		if err != nil {
			return err
		}
		if units, err = units.Add(sum); err != nil {
			return err
		}
	}
	differ(wrong, "units", p.c.Expected.Units, units)
	for i, want := range p.c.Expected.Lines {
		what := fmt.Sprintf("lines[%d]", i)
		switch {
		case want.Tier > 0:
			p.compareTier(wrong, what, want)
		case want.Group != nil:
			if err := p.compareGroup(wrong, what, want); err != nil {
				return err
			}
		default:
			*wrong = append(*wrong, what+": names neither a tier nor a group")
		}
	}
	return nil
}

// units is the quantity of a slot's usage: flat fees are counted in fees.
func (p *pricing) units(s *plugins.Slot) (sum billing.Decimal, err error) {
	for i, l := range plugins.AppendLines(nil, s.Lines) {
		if strings.HasSuffix(p.plan.Lines[i].ID, flatFee) {
			continue
		}
		if sum, err = sum.Add(l.Quantity); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// compareTier compares the lines of one tier.
func (p *pricing) compareTier(wrong *[]string, what string, want expectedLine) {
	usage, fee := "tier_"+strconv.Itoa(want.Tier), "tier_"+strconv.Itoa(want.Tier)+flatFee
	var quantity, amount, fees billing.Decimal
	for _, s := range p.slots {
		for i, l := range plugins.AppendLines(nil, s.Lines) {
			switch p.plan.Lines[i].ID {
			case usage:
				quantity, amount = l.Quantity, l.Amount
			case fee:
				fees = l.Amount
			}
		}
	}
	differ(wrong, what+".units", want.Units, quantity)
	differ(wrong, what+".usage_amount", want.UsageAmount, amount)
	differ(wrong, what+".flat_fee", want.FlatFee, fees)
}

// compareGroup compares the slot of one group.
func (p *pricing) compareGroup(wrong *[]string, what string, want expectedLine) error {
	for key, group := range p.groups {
		if !maps.Equal(group, want.Group) {
			continue
		}
		units, err := p.units(p.slots[key])
		if err != nil {
			return err
		}
		var amount billing.Decimal
		for _, l := range plugins.AppendLines(nil, p.slots[key].Lines) {
			if amount, err = amount.Add(l.Amount); err != nil {
				return err
			}
		}
		differ(wrong, what+".units", want.Units, units)
		differ(wrong, what+".amount", want.Amount, amount)
		return nil
	}
	*wrong = append(*wrong, fmt.Sprintf("%s: there is no group %v", what, want.Group))
	return nil
}
