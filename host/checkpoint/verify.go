package checkpoint

import "context"

// Verify reads every segment of the partition's newest checkpoint and checks
// sums, counts and order, as Load and LogRange do for what they read. It ends
// early with the context's error.
//
// # Errors
//
// The first *CorruptError met.
func (p *Partition) Verify(ctx context.Context) error {
	return p.view(func(at *moment, current *state) error {
		for i := range current.families {
			f := &current.families[i]
			for _, r := range f.runs {
				if err := verifyRun(ctx, at, f.family, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// verifyRun reads one run to its end.
func verifyRun(ctx context.Context, at *moment, f family, r run) error {
	if f.kind == kindTable {
		m, err := newMerger(at, f, []run{r})
		for ok := true; err == nil && ok; {
			if _, _, ok, err = m.next(); err == nil {
				err = ctx.Err()
			}
		}
		return err
	}
	reader := runReader{at: at, family: f, run: r, next: r.first}
	for {
		_, _, ok, err := reader.logEntry()
		if err != nil || !ok {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
