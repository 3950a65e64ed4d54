package host

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// ShadowReports compares a tariff's shadow with what is in force, naming so many
// accounts at most; with an empty tariff it lists all shadows, without comparing.
// Both sides of a partition have read the same events.
func (h *Host) ShadowReports(ctx context.Context, tariff string, accountsMax int) ([]query.ShadowReport, error) {
	select {
	case <-h.shadows.read:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.shadows.mu.Lock()
	var list []*shadow
	for _, name := range slices.Sorted(maps.Keys(h.shadows.byTariff)) {
		if tariff == "" || name == tariff {
			list = append(list, h.shadows.byTariff[name])
		}
	}
	h.shadows.mu.Unlock()
	if tariff == "" {
		reports := make([]query.ShadowReport, len(list))
		for i, s := range list {
			reports[i].Shadow = s.describe()
		}
		return reports, nil
	}
	if len(list) == 0 {
		return nil, fault(ReasonNotFound, "start one with `tollway plugin shadow start`", "tariff %q has no shadow", tariff)
	}
	c := comparison{most: accountsMax, totals: [2]sums{{}, {}}}
	report := query.ShadowReport{Shadow: list[0].describe()}
	refused, accepted := refusals{}, refusals{}
	for _, p := range list[0].parts {
		if err := c.part(p, refused, accepted); err != nil {
			return nil, err
		}
	}
	c.keepBiggest(0)
	report.Active, report.Candidate = c.totals[inForce].list(), c.totals[candidate].list()
	report.Compared, report.Different, report.Refused, report.Accepted = c.compared, c.different, refused.list(), accepted.list()
	for _, d := range c.biggest {
		report.Accounts = append(report.Accounts, d.account)
	}
	return []query.ShadowReport{report}, nil
}

// comparison collects the differences of a shadow.
type comparison struct {
	most                int
	compared, different uint64
	totals              [2]sums
	biggest             []difference
}

// difference is an account with how much it differs.
type difference struct {
	account query.ShadowAccount
	by      billing.Amount // never negative
}

// part compares the accounts of a partition.
func (c *comparison) part(p *shadowPart, refused, accepted refusals) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	refused.merge(p.refused)
	accepted.merge(p.accepted)
	ids := slices.Concat(p.sides[inForce].state.AccountsFrom(""), p.sides[candidate].state.AccountsFrom(""))
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		active, _ := p.sides[inForce].state.Slots(id, accumulate.Latest)
		other, _ := p.sides[candidate].state.Slots(id, accumulate.Latest)
		if err := c.account(id, active, other); err != nil {
			return err
		}
	}
	return nil
}

// shadowBill is what an account has in one period and currency.
type shadowBill struct {
	period   billing.Period
	currency billing.Currency
	sums     [2]sum
	lines    []query.ShadowLine
}

type shadowBillKey struct {
	start    int64
	currency billing.Currency
}

// account compares the slots of an account.
func (c *comparison) account(id string, active, other []*rate.Slot) error {
	bills := map[shadowBillKey]*shadowBill{}
	for len(active) > 0 || len(other) > 0 {
		order := 0
		switch {
		case len(active) == 0:
			order = 1
		case len(other) == 0:
			order = -1
		default:
			order = active[0].Compare(other[0].Key)
		}
		var pair [2]*rate.Slot
		if order <= 0 {
			pair[inForce], active = active[0], active[1:]
		}
		if order >= 0 {
			pair[candidate], other = other[0], other[1:]
		}
		if err := c.slot(bills, pair); err != nil {
			return err
		}
	}
	c.compared++
	differs := false
	for _, key := range slices.SortedFunc(maps.Keys(bills), func(a, b shadowBillKey) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.currency, b.currency))
	}) {
		b := bills[key]
		for i := range b.sums {
			if err := c.totals[i].add(b.currency, b.sums[i]); err != nil {
				return err
			}
		}
		if len(b.lines) == 0 {
			continue
		}
		differs = true
		if err := c.differs(id, b); err != nil {
			return err
		}
	}
	if differs {
		c.different++
	}
	return nil
}

// slot adds the slots of one key, one of which may not be there.
func (c *comparison) slot(bills map[shadowBillKey]*shadowBill, pair [2]*rate.Slot) error {
	var shown [2]query.Subtotal
	var of *shadowBill
	for i, s := range pair {
		if s == nil {
			continue
		}
		var err error
		if shown[i], err = query.FromSlot(s); err != nil {
			return err
		}
		key := shadowBillKey{start: s.Period, currency: s.Plan.Currency}
		if of = bills[key]; of == nil {
			of = &shadowBill{period: shown[i].Period, currency: s.Plan.Currency}
			bills[key] = of
		}
		if err := of.sums[i].add(sum{shown[i].Amount, scaleOf(s.Plan.Rounding)}); err != nil {
			return err
		}
	}
	of.lines = append(of.lines, differentLines(shown[inForce], shown[candidate])...)
	return nil
}

// differentLines pairs the lines of two subtotals by their ids and returns those
// that differ.
func differentLines(active, other query.Subtotal) []query.ShadowLine {
	group := groupText(active.Group)
	if group == "" {
		group = groupText(other.Group)
	}
	byID := map[string]query.Line{}
	for _, l := range other.Lines {
		byID[l.ID] = l
	}
	var list []query.ShadowLine
	for _, l := range active.Lines {
		o, both := byID[l.ID]
		delete(byID, l.ID)
		if both && o.AmountText == l.AmountText && o.Quantity == l.Quantity {
			continue
		}
		line := query.ShadowLine{ID: l.ID, Group: group, Description: l.Description, ActiveQuantity: l.Quantity.String(), ActiveAmount: l.AmountText}
		if both {
			line.CandidateQuantity, line.CandidateAmount = o.Quantity.String(), o.AmountText
		}
		list = append(list, line)
	}
	for _, o := range other.Lines {
		if _, alone := byID[o.ID]; alone {
			list = append(list, query.ShadowLine{ID: o.ID, Group: group, Description: o.Description, CandidateQuantity: o.Quantity.String(), CandidateAmount: o.AmountText})
		}
	}
	return list
}

func groupText(fields []billing.Field) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Key + "=" + f.Text
	}
	return strings.Join(parts, ", ")
}

// differs notes an account that would be billed differently.
func (c *comparison) differs(id string, b *shadowBill) error {
	by, err := b.sums[candidate].amount.Sub(b.sums[inForce].amount)
	if err != nil {
		return err
	}
	scale := max(b.sums[inForce].scale, b.sums[candidate].scale)
	d := difference{by: by, account: query.ShadowAccount{
		Account: billing.AccountID(id), Period: b.period, Currency: b.currency, Lines: b.lines,
		Active: b.sums[inForce].text(scale), Candidate: b.sums[candidate].text(scale), Difference: sum{by, scale}.text(scale),
	}}
	if by.Sign() < 0 {
		if d.by, err = by.Neg(); err != nil {
			return err
		}
	}
	c.biggest = append(c.biggest, d)
	c.keepBiggest(max(c.most, 100))
	return nil
}

// keepBiggest keeps as many differences as are asked for, once there are so many
// more.
func (c *comparison) keepBiggest(more int) {
	if len(c.biggest) < c.most+more && more > 0 {
		return
	}
	slices.SortStableFunc(c.biggest, func(a, b difference) int {
		return cmp.Or(b.by.Cmp(a.by), cmp.Compare(a.account.Account, b.account.Account))
	})
	if len(c.biggest) > c.most {
		clear(c.biggest[c.most:])
		c.biggest = c.biggest[:c.most]
	}
}

// sum is an amount and how many decimals to show, or everyDigit.
type sum struct {
	amount billing.Amount
	scale  int
}

// everyDigit is the scale of lines that are not rounded: more than any that are.
const everyDigit = 99

func scaleOf(r billing.Rounding) int {
	if r.Mode == billing.RoundNone || r.Scale < 0 {
		return everyDigit
	}
	return r.Scale
}

func (s *sum) add(o sum) (err error) {
	s.amount, err = s.amount.Add(o.amount)
	s.scale = max(s.scale, o.scale)
	return err
}

func (s sum) text(scale int) string {
	if scale >= everyDigit {
		return s.amount.String()
	}
	return s.amount.Fixed(scale)
}

// sums are totals by currency.
type sums map[billing.Currency]sum

func (s sums) add(c billing.Currency, o sum) error {
	total := s[c]
	if err := total.add(o); err != nil {
		return err
	}
	s[c] = total
	return nil
}

func (s sums) list() []query.Total {
	var list []query.Total
	for _, c := range slices.Sorted(maps.Keys(s)) {
		list = append(list, query.Total{Currency: c, Amount: s[c].amount, AmountText: s[c].text(s[c].scale)})
	}
	return list
}
