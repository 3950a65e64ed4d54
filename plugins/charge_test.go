package plugins_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tollway/tollway/plugins/fuel"
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

// program writes a random function twice: as it is, and with a count of the instructions that
// really run, kept in global 1. Branches depend on a generator of numbers in local 0; global 0
// bounds how often a loop is run again.
type program struct {
	random         *rand.Rand
	plain, counted []byte
	labels         []bool // the open blocks, true for a loop
	left           int    // statements to write
}

// straight writes instructions that run one after the other.
func (p *program) straight(code []byte, count int64) {
	p.counted = w.Cat(p.counted, w.GlobalGet(1), w.I64Const(count), w.Op(w.I64Add), w.GlobalSet(1), code)
	p.plain = append(p.plain, code...)
}

// both writes the same to both.
func (p *program) both(code ...byte) {
	p.plain = append(p.plain, code...)
	p.counted = append(p.counted, code...)
}

// condition leaves a random bit on the stack.
func (p *program) condition() {
	p.straight(w.Cat(
		w.LocalGet(0), w.I32Const(1_103_515_245), w.Op(w.I32Mul), w.I32Const(12_345), w.Op(w.I32Add), w.LocalTee(0),
		w.I32Const(65_536), w.Op(w.I32DivU), w.I32Const(1), w.Op(0x71), // and
	), 10)
}

func (p *program) statements() {
	for range 1 + p.random.IntN(4) {
		if p.left--; p.left < 0 {
			return
		}
		p.statement()
	}
}

func (p *program) statement() {
	switch p.random.IntN(9) {
	case 0, 1:
		n := 1 + p.random.IntN(9)
		nops := make([]byte, n)
		for k := range nops {
			nops[k] = w.Nop
		}
		p.straight(nops, int64(n))
	case 2:
		p.enclose(0x02, false)
	case 3, 8:
		p.enclose(0x03, true)
	case 4:
		p.condition()
		p.both(0x04, w.Void)
		p.labels = append(p.labels, false)
		p.statements()
		if p.random.IntN(2) == 0 {
			p.both(w.Else)
			p.statements()
		}
		p.close()
	case 5:
		p.branch()
	case 6:
		p.condition()
		p.both(0x04, w.Void)
		p.labels = append(p.labels, false)
		p.straight(w.Op(w.Return), 1)
		p.close()
	case 7:
		p.table()
	}
}

func (p *program) enclose(op byte, loop bool) {
	p.both(op, w.Void)
	p.labels = append(p.labels, loop)
	p.statements()
	if forward := p.forward(); loop && len(forward) > 0 && p.random.IntN(2) == 0 {
		// A loop that is left by branches only.
		p.straight(w.Br(forward[p.random.IntN(len(forward))]), 1)
	}
	p.close()
}

// forward are the open blocks that are no loops, as targets of a branch.
func (p *program) forward() []uint32 {
	var targets []uint32
	for level := range p.labels {
		if !p.labels[len(p.labels)-1-level] {
			targets = append(targets, uint32(level))
		}
	}
	return targets
}

func (p *program) close() {
	p.labels = p.labels[:len(p.labels)-1]
	p.both(w.End)
}

// branch branches to an open block: forward if a random bit says so, back while global 0 lasts.
func (p *program) branch() {
	level := p.random.IntN(len(p.labels))
	if p.labels[len(p.labels)-1-level] {
		p.straight(w.Cat(w.GlobalGet(0), w.I32Const(1), w.Op(w.I32Sub), w.GlobalSet(0), w.GlobalGet(0), w.I32Const(0), w.Op(0x4a)), 7) // gt_s
	} else {
		p.condition()
	}
	p.straight(w.BrIf(uint32(level)), 1)
}

// table branches forward by a table.
func (p *program) table() {
	targets := p.forward()
	pick := func() uint32 { return targets[p.random.IntN(len(targets))] }
	p.both(0x02, w.Void)
	p.condition()
	p.straight(w.Cat(w.Op(0x0e, 2), w.U32(0), w.U32(pick()+1), w.U32(pick()+1)), 1)
	p.both(w.End)
}

// TestFuelCoversWork runs random programs and holds that no fewer units were charged than
// instructions ran.
func TestFuelCoversWork(t *testing.T) {
	programs := 600
	if testing.Short() {
		programs = 40
	}
	budget := w.Global{Type: w.I32, Mutable: true, Init: w.Cat(w.I32Const(200), w.Op(w.End))}
	count := w.Global{Type: w.I64, Mutable: true, Init: w.Cat(w.I64Const(0), w.Op(w.End))}
	sink := w.Sig{Params: []byte{w.I32}}
	for seed := range uint64(programs) {
		p := &program{random: rand.New(rand.NewPCG(seed, 1)), labels: []bool{false}, left: 60}
		for p.left > 0 {
			p.statements()
		}
		module := func(code []byte) []byte {
			m := &w.Module{
				Funcs:   []w.Func{{Sig: sink, Code: w.Cat(code, w.Op(w.End))}},
				Globals: []w.Global{budget, count},
			}
			return rewritten(t, exported(m).Bytes())
		}
		run := func(code []byte, seed uint64) *instance {
			i := instantiate(t, engines["interpreter"], module(code))
			i.grant(1 << 40)
			if _, err := i.call("f0", seed); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			return i
		}
		for arg := range uint64(3) {
			charged := 1<<40 - run(p.plain, arg).get(fuel.GlobalFuel)
			ran := run(p.counted, arg).get("__g1")
			if charged < ran {
				t.Fatalf("seed %d, argument %d: %d units charged for %d instructions", seed, arg, charged, ran)
			}
		}
	}
}
