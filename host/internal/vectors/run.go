package vectors

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tollway/tollway/plugins"
)

// Tally counts cases.
type Tally struct {
	Passed, Failed, Unsupported int
}

func (t *Tally) add(o Tally) {
	t.Passed += o.Passed
	t.Failed += o.Failed
	t.Unsupported += o.Unsupported
}

func (t Tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d unsupported", t.Passed, t.Failed, t.Unsupported)
}

// lineMax is how long a case may be, in bytes.
const lineMax = 16 << 20

// Run prices the cases with the tariffs of the modules and writes, for each model,
// how many passed, failed and were unsupported, each failure with what was
// expected, and as the last line the sum. The error is for cases that cannot be
// read or a plugin that cannot be run, not for failures.
func Run(ctx context.Context, modules []*plugins.Module, cases io.Reader, out io.Writer) (total Tally, err error) {
	engine, err := newEngine(ctx, modules)
	if err != nil {
		return total, err
	}
	defer func() { err = errors.Join(err, engine.close(ctx)) }()
	byModel := map[string]*Tally{}
	var failures strings.Builder
	lines := bufio.NewScanner(cases)
	lines.Buffer(nil, lineMax)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var c testCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return total, fmt.Errorf("vectors: line %d: %w", n, err)
		}
		if byModel[c.Model] == nil {
			byModel[c.Model] = &Tally{}
		}
		plan, err := c.plan()
		if err != nil {
			return total, fmt.Errorf("vectors: line %d: %w", n, err)
		}
		known, err := engine.supports(plan)
		if err != nil {
			return total, fmt.Errorf("vectors: tariff %s: %w", c.Model, err)
		}
		if !known {
			byModel[c.Model].Unsupported++
			continue
		}
		wrong, err := c.check(ctx, engine, plan)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		if len(wrong) == 0 {
			byModel[c.Model].Passed++
			continue
		}
		byModel[c.Model].Failed++
		fmt.Fprintf(&failures, "FAIL %s\n  %s\n", c.ID, strings.Join(wrong, "\n  "))
	}
	if err := lines.Err(); err != nil {
		return total, fmt.Errorf("vectors: %w", err)
	}
	return total, report(out, byModel, failures.String(), &total)
}

// report writes the table and sums it up.
func report(out io.Writer, byModel map[string]*Tally, failures string, total *Tally) error {
	var b strings.Builder
	b.WriteString(failures)
	fmt.Fprintf(&b, "%-24s %7s %7s %12s\n", "model", "passed", "failed", "unsupported")
	for _, model := range slices.Sorted(maps.Keys(byModel)) {
		t := byModel[model]
		fmt.Fprintf(&b, "%-24s %7d %7d %12d\n", model, t.Passed, t.Failed, t.Unsupported)
		total.add(*t)
	}
	fmt.Fprintln(&b, total)
	_, err := io.WriteString(out, b.String())
	return err
}
