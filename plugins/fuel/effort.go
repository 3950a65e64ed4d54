package fuel

import (
	"errors"
	"fmt"
)

// effort is what the compiler below has to do for a function, beyond what its length tells: some of it grows with
// the square of these counts, and with the product of blocks and locals, so a module of a few KiB could keep it busy
// for hours, and it cannot be stopped within a function.
type effort struct {
	opened, loops, targets, called int // blocks, loops among them, targets of branches, calls
}

// The most that a function, and a module, may ask of the compiler, in nanoseconds as they were measured for
// wazero 1.12 on one core of 2026. The functions that Go compiles tariffs to come to a thirtieth of it.
const (
	functionEffortMax = 2_000_000_000
	moduleEffortMax   = 30_000_000_000
)

// cost estimates the nanoseconds for a function with so many locals.
func (e *effort) cost(locals int) uint64 {
	opened, loops, targets, called := uint64(e.opened), uint64(e.loops), uint64(e.targets), uint64(e.called)
	return 5_000*uint64(locals)*opened + 35*opened*opened + 300*loops*loops + 2*targets*targets + 50_000*called
}

// spend adds the effort of a function to that of its module.
func (w *rewriter) spend(b *body) error {
	cost := b.asks.cost(b.locals)
	w.effort += cost
	switch {
	case cost > functionEffortMax:
		return fmt.Errorf("it is too large to compile: it has %d locals, %d blocks (%d loops), %d branches and %d calls",
			b.locals, b.asks.opened, b.asks.loops, b.asks.targets, b.asks.called)
	case w.effort > moduleEffortMax:
		return errors.New("the module is too large to compile: its functions have too many locals, blocks, branches and calls together")
	}
	return nil
}
