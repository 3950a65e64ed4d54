package author

import (
	"context"
	"errors"
	"strings"
)

// Result is what became of one case.
type Result struct {
	Case *Case
	// Differences are what is not as expected; none in a case that passes.
	Differences []Difference
	// Err is why the case could not be priced, nil otherwise.
	Err error

	updates []update // what would make the case pass
}

// Passed tells whether everything is as expected.
func (r *Result) Passed() bool { return len(r.Differences) == 0 && r.Err == nil }

// update are the facts that belong into a period of a case.
type update struct {
	period *Period
	facts  *facts
}

// Test prices the cases, each by itself in one batch a period, and holds the outcome against what they expect.
//
// # Errors
//
// That of the context. What is wrong with a case or with the tariff stands in the case's result.
func (w *Workshop) Test(ctx context.Context, cases []*Case) ([]*Result, error) {
	results := make([]*Result, len(cases))
	for k, c := range cases {
		results[k] = &Result{Case: c}
		if err := w.unknownTariff(c); err != nil {
			results[k].Err = err
			continue
		}
		results[k].Err = w.testCase(ctx, c, results[k])
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// testCase prices one case.
func (w *Workshop) testCase(ctx context.Context, c *Case, result *Result) (err error) {
	i, plan, err := w.instance(ctx, c)
	if message, ok := refusal(err); ok {
		result.settle(c, &c.Periods[0], &facts{refused: message})
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close(context.WithoutCancel(ctx))) }()
	carry := c.CarryIn
	for n := range c.Periods {
		s := c.sample(n, carry)
		o, err := price(ctx, i, plan, s)
		if err != nil {
			return err
		}
		f, err := c.facts(s, o)
		if err != nil {
			return err
		}
		result.settle(c, &c.Periods[n], f)
		carry = o.slots[0].CarryOut
	}
	return nil
}

// settle notes how the facts of a period differ from what it expects.
func (r *Result) settle(c *Case, p *Period, f *facts) {
	switch {
	case p.want == nil:
		line := c.Line
		if p.node != nil {
			line = p.node.Line
		}
		r.Differences = append(r.Differences, Difference{File: c.File, Line: line, Path: "want", Got: f.summary()})
	default:
		found := p.compare(c.File, f)
		if len(found) == 0 {
			return
		}
		r.Differences = append(r.Differences, found...)
	}
	r.updates = append(r.updates, update{p, f})
}

// summary is facts in one line.
func (f *facts) summary() string {
	if f.refused != "" {
		return "refused: " + f.refused
	}
	var parts []string
	for _, l := range f.lines {
		parts = append(parts, l.id+" "+l.quantity+" "+l.amount)
	}
	for _, r := range f.rejects {
		parts = append(parts, "event "+r.key+" rejected, "+r.value)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}
