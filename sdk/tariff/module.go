package tariff

import (
	"strconv"

	"github.com/tollway/tollway/sdk/abi"
)

// Module is a plugin: one or more tariffs in one WebAssembly file.
type Module struct {
	// Name of the plugin, [a-z][a-z0-9_]{0,62}.
	Name string
	// Version is the author's, for people; what counts is the digest of the file.
	Version string
	// Tariffs that a catalog can name, each once.
	Tariffs []Tariff
	// FuelPerEvent is the budget of work for one event or one finish; 0 = the engine's default,
	// which is ten times what the tariffs of this SDK use.
	FuelPerEvent int64
	// FuelStart is the budget of work for the start of the module, and for a configuration beside what the size of its
	// parameters brings; 0 = the engine's defaults. A module in Go
	// starts with half of its own. An engine may refuse more.
	FuelStart int64
	// MemoryMaxBytes is the most memory an instance may have; 0 = the engine's default.
	MemoryMaxBytes int64
}

// Tariff is one way of pricing, before its parameters are known.
type Tariff struct {
	// Name is what a catalog calls it, [a-z][a-z0-9_]{0,62}.
	Name string
	// Title is a short sentence for people.
	Title string
	// Kind says what its events are: usage, unless it is an invoice rule.
	Kind Kind
	// Configure reads the parameters, claims lines and state, and returns what prices with
	// them. It notes problems through [Params] and then may return anything.
	Configure func(c *Config) Pricer
}

// Kind says what the events of a tariff are. A catalog names tariffs and invoice rules in different places, and the
// engine refuses one in the place of the other.
type Kind string

// The kinds.
const (
	KindTariff Kind = ""     // the events are usage
	KindRule   Kind = "rule" // an invoice rule: the events are the line items of an invoice
)

// String names the kind as requests and manifests do.
func (k Kind) String() string {
	if k == KindTariff {
		return "tariff"
	}
	return string(k)
}

// Pricer prices the events of a slot, with one set of parameters. A Pricer keeps nothing of its
// own between calls: what must last is in cells and lines, because the engine puts the module's
// memory back before every batch.
type Pricer interface {
	// Price brings the slot's cells and lines up to date with one event. An error rejects the
	// event: the slot is then as it was before. Price may depend on the slot, the event and
	// the parameters only.
	Price(s *Slot, e *Event) error
}

// Finisher is a Pricer that does something when a period ends, such as charging a fee that is
// due without usage.
type Finisher interface {
	// Finish is called once for a slot, after its last event. There is no event to reject: an
	// error stops the closing of the period until the tariff is mended.
	Finish(s *Slot) error
}

// registered is the module that the exports serve. A package-level variable of package main
// sets it while the program starts, natively and in the engine alike.
var registered *Module

// Register makes a module known and returns it. Call it from a package-level variable, and the
// result's Main from main:
//
//	var module = tariff.Register(tariff.Module{Name: "acme", Tariffs: []tariff.Tariff{night}})
//
//	func main() { module.Main() }
//
// In the engine only the variable is initialised, main does not run; natively main answers
// -manifest. Register panics when a name is malformed or there twice.
func Register(m Module) *Module {
	if problem := m.problem(); problem != "" {
		panic("tariff: " + problem)
	}
	registered = &m
	return &m
}

// problem says what is wrong with a module, "" when nothing is.
func (m *Module) problem() string {
	if !abi.ValidName(m.Name) {
		return "module name " + strconv.Quote(m.Name) + " is not of the form [a-z][a-z0-9_]{0,62}"
	}
	if len(m.Tariffs) == 0 || len(m.Tariffs) > abi.TariffsPerModule {
		return "a module has 1 to " + strconv.Itoa(abi.TariffsPerModule) + " tariffs"
	}
	if m.FuelStart < 0 || m.FuelStart > abi.FuelStartMax {
		return "fuel of the start must be 0 to " + strconv.Itoa(abi.FuelStartMax)
	}
	if m.FuelPerEvent < 0 || m.FuelPerEvent > abi.FuelPerEventMax {
		return "fuel per event must be 0 to " + strconv.Itoa(abi.FuelPerEventMax)
	}
	if m.MemoryMaxBytes < 0 || m.MemoryMaxBytes > abi.MemoryMaxBytes {
		return "memory must be 0 to " + strconv.Itoa(abi.MemoryMaxBytes) + " bytes"
	}
	for i, t := range m.Tariffs {
		if !abi.ValidName(t.Name) {
			return "tariff name " + strconv.Quote(t.Name) + " is not of the form [a-z][a-z0-9_]{0,62}"
		}
		if t.Kind != KindTariff && t.Kind != KindRule {
			return "tariff " + t.Name + " is of the unknown kind " + strconv.Quote(string(t.Kind))
		}
		if t.Configure == nil {
			return "tariff " + t.Name + " has no Configure"
		}
		for _, other := range m.Tariffs[:i] {
			if other.Name == t.Name {
				return "tariff " + t.Name + " is there twice"
			}
		}
	}
	return ""
}

// tariff returns the tariff of that name, or nil.
func (m *Module) tariff(name string) *Tariff {
	for i := range m.Tariffs {
		if m.Tariffs[i].Name == name {
			return &m.Tariffs[i]
		}
	}
	return nil
}

// names lists the tariffs.
func (m *Module) names() string {
	list := ""
	for i, t := range m.Tariffs {
		if i > 0 {
			list += ", "
		}
		list += t.Name
	}
	return list
}
