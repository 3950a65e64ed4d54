package hostile

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/tollway/tollway/plugins"
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

// Outcome is how an attempt must end.
type Outcome string

// The outcomes.
const (
	Refused    Outcome = "refused at load"
	Unusable   Outcome = "configuration refused"
	Rejected   Outcome = "event rejected"
	Unfinished Outcome = "finish refused"
	Harmless   Outcome = "harmless"
)

// Trigger is the time of the event at which a module of the corpus does what it is there for.
const Trigger = -1_000

// Case is one hostile module.
type Case struct {
	// Name names the case in the report, in words.
	Name string
	// Group is what is attacked.
	Group string
	// Want is how it must end, with Reason that of the rejected event, and Text a part of what the operator reads.
	Want         Outcome
	Reason, Text string
	// Adds is what the amount of the triggering event's line has beyond the usual, where it is harmless.
	Adds uint64
	// All says that every event is rejected, and Free that the amount of the triggering event's line may be
	// anything, so long as it is the same each time.
	All, Free bool

	wasm    func() ([]byte, error)
	tariff  string // "" = hostile
	trigger int64  // 0 = Trigger
}

// Wasm makes the module.
func (c *Case) Wasm() ([]byte, error) { return c.wasm() }

// Tariff is the name of the tariff in the module.
func (c *Case) Tariff() string {
	if c.tariff == "" {
		return "hostile"
	}
	return c.tariff
}

// At is the time of the event at which the module misbehaves.
func (c *Case) At() int64 {
	if c.trigger == 0 {
		return Trigger
	}
	return c.trigger
}

// Corpus returns all cases.
func Corpus() []Case {
	return slices.Concat(formCases(), contractCases(), sizeCases(), manifestCases(), startCases(), configureCases(),
		trapCases(), costlyCases(), announceCases(), answerCases(), harmlessCases(), worldCases(), guestCases())
}

// Find returns a case by its name; it panics when there is none, which is a mistake in the program.
func Find(name string) *Case {
	for _, c := range Corpus() {
		if c.Name == name {
			return &c
		}
	}
	panic("hostile: no case " + name) //nolint:forbidigo // a mistake in the program, see above
}

// manifest is what the modules of the corpus say about themselves.
func manifest(fuel int64) plugins.Manifest {
	return plugins.Manifest{
		Name: "hostile", Version: "6.6.6", ABI: "1.0", FuelPerEvent: fuel,
		Tariffs: []plugins.ManifestTariff{{Name: "hostile", Title: "Hostile", ParamsSchema: json.RawMessage(`{}`)}},
	}
}

// packed gives bytes a manifest as their last section, without looking at either.
func packed(wasm []byte, fuel int64) ([]byte, error) {
	m := manifest(fuel)
	text, err := m.Canonical()
	if err != nil {
		return nil, err
	}
	return withManifest(wasm, string(text)), nil
}

func withManifest(wasm []byte, text string) []byte {
	const name = "tollway.manifest"
	return w.Cat(wasm, w.Section(0, w.Cat(w.U32(uint32(len(name))), []byte(name), []byte(text))))
}

// raw is a case of bytes as they are.
func raw(group, name, text string, wasm []byte) Case {
	return Case{Name: name, Group: group, Want: Refused, Text: text, wasm: func() ([]byte, error) { return wasm, nil }}
}

// changed is the honest module with a change, in its manifest too if that returns one.
func changed(group, name string, want Outcome, text string, change func(m *w.Module)) Case {
	return Case{Name: name, Group: group, Want: want, Text: text, wasm: func() ([]byte, error) {
		m := tariff{}.module()
		change(m)
		return packed(m.Bytes(), 0)
	}}
}

// patched is the packed honest module with a change of its bytes.
func patched(group, name, text string, patch func(wasm []byte) []byte) Case {
	return Case{Name: name, Group: group, Want: Refused, Text: text, wasm: func() ([]byte, error) {
		wasm, err := packed(tariff{}.module().Bytes(), 0)
		if err != nil {
			return nil, err
		}
		return patch(wasm), nil
	}}
}

// before puts a section in front of the first of the given kind.
func before(wasm []byte, kind byte, section []byte) []byte {
	at := 8
	for at < len(wasm) && wasm[at] != kind {
		size, n := uvarint(wasm[at+1:])
		at += 1 + n + size
	}
	return slices.Concat(wasm[:at], section, wasm[at:])
}

// replaced puts another section in the place of that of the given kind.
func replaced(wasm []byte, kind byte, section []byte) []byte {
	at := 8
	for at < len(wasm) && wasm[at] != kind {
		size, n := uvarint(wasm[at+1:])
		at += 1 + n + size
	}
	size, n := uvarint(wasm[at+1:])
	return slices.Concat(wasm[:at], section, wasm[at+1+n+size:])
}

func uvarint(b []byte) (value, length int) {
	for shift := 0; ; shift += 7 {
		value |= int(b[length]&0x7f) << shift
		length++
		if b[length-1] < 0x80 {
			return value, length
		}
	}
}

func repeat(n int, parts ...[]byte) []byte { return bytes.Repeat(w.Cat(parts...), n) }
