package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/tollway/tollway/plugins/fuel"
	"github.com/tollway/tollway/sdk/abi"
)

// Manifest is what a plugin says about itself, in the custom section tollway.manifest. It is read
// without running anything.
type Manifest struct {
	// Name names the plugin, [a-z][a-z0-9_]{0,62}.
	Name string `json:"name"`
	// Version is the author's, for people; the engine compares digests only.
	Version string `json:"version"`
	// ABI is the version of the contract the plugin was built for, such as "1.0".
	ABI string `json:"abi"`
	// Tariffs are the tariffs in the module, at least one.
	Tariffs []ManifestTariff `json:"tariffs"`
	// FuelPerEvent is the budget of one unit of work; 0 means abi.FuelPerEvent.
	FuelPerEvent int64 `json:"fuel_per_event,omitempty"`
	// FuelStart is the budget of its start, and of a configuration beside what its size brings; 0 means abi.FuelStart
	// and abi.FuelConfigure.
	FuelStart int64 `json:"fuel_start,omitempty"`
	// MemoryMaxBytes lowers the limit on the plugin's memory; 0 leaves it.
	MemoryMaxBytes int64 `json:"memory_max_bytes,omitempty"`
	// SDK says what the plugin was built with.
	SDK string `json:"sdk,omitempty"`
}

// ManifestTariff is one tariff of a module.
type ManifestTariff struct {
	// Name chooses the tariff when it is configured, [a-z][a-z0-9_]{0,62}.
	Name string `json:"name"`
	// Kind is [KindRule] for an invoice rule; [KindTariff], the default, is not written.
	Kind Kind `json:"kind,omitempty"`
	// Title is one line for people.
	Title string `json:"title"`
	// ParamsSchema is the JSON Schema (draft 2020-12) of the parameters.
	ParamsSchema json.RawMessage `json:"params_schema"`
}

// Kind says what the events of a tariff are, and so where a catalog may name it.
type Kind string

// The kinds.
const (
	KindTariff Kind = ""     // usage events
	KindRule   Kind = "rule" // the line items of an invoice
)

// String names the kind: "tariff" or "rule".
func (k Kind) String() string {
	if k == KindTariff {
		return "tariff"
	}
	return string(k)
}

// Tariff returns the tariff of the given name.
func (m *Manifest) Tariff(name string) (ManifestTariff, bool) {
	for _, t := range m.Tariffs {
		if t.Name == name {
			return t, true
		}
	}
	return ManifestTariff{}, false
}

// titleMax is the longest title and version in bytes.
const titleMax = 200

// Validate reports everything that is wrong with the manifest, joined.
func (m *Manifest) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !abi.ValidName(m.Name) {
		bad("name: %q is not of the form [a-z][a-z0-9_]{0,62}", m.Name)
	}
	if m.Version == "" || len(m.Version) > titleMax {
		bad("version: must have 1 to %d bytes", titleMax)
	}
	if err := checkABI(m.ABI); err != nil {
		problems = append(problems, err)
	}
	if len(m.Tariffs) == 0 || len(m.Tariffs) > abi.TariffsPerModule {
		bad("tariffs: must be 1 to %d, not %d", abi.TariffsPerModule, len(m.Tariffs))
	}
	seen := make(map[string]bool, len(m.Tariffs))
	for i, t := range m.Tariffs {
		if !abi.ValidName(t.Name) {
			bad("tariffs[%d].name: %q is not of the form [a-z][a-z0-9_]{0,62}", i, t.Name)
		}
		if seen[t.Name] {
			bad("tariffs[%d].name: %q is there twice", i, t.Name)
		}
		seen[t.Name] = true
		if t.Kind != KindTariff && t.Kind != KindRule {
			bad("tariffs[%d].kind: must be %q, or absent for a tariff, not %q", i, KindRule, string(t.Kind))
		}
		if len(t.Title) > titleMax {
			bad("tariffs[%d].title: is longer than %d bytes", i, titleMax)
		}
		if s := bytes.TrimSpace(t.ParamsSchema); len(s) == 0 || s[0] != '{' || !json.Valid(s) {
			bad("tariffs[%d].params_schema: must be a JSON object", i)
		}
	}
	if m.FuelPerEvent < 0 || m.FuelPerEvent > abi.FuelPerEventMax {
		bad("fuel_per_event: must be 0 to %d, not %d", abi.FuelPerEventMax, m.FuelPerEvent)
	}
	if m.FuelStart < 0 || m.FuelStart > abi.FuelStartMax {
		bad("fuel_start: must be 0 to %d, not %d", abi.FuelStartMax, m.FuelStart)
	}
	if m.MemoryMaxBytes < 0 || m.MemoryMaxBytes > math.MaxUint32 {
		bad("memory_max_bytes: must be 0 to %d, not %d", uint32(math.MaxUint32), m.MemoryMaxBytes)
	}
	return errors.Join(problems...)
}

// checkABI holds a version of the contract against the engine's.
func checkABI(version string) error {
	major, minor, ok := strings.Cut(version, ".")
	a, errMajor := strconv.ParseUint(major, 10, 16)
	b, errMinor := strconv.ParseUint(minor, 10, 16)
	if !ok || errMajor != nil || errMinor != nil {
		return fmt.Errorf("abi: %q is not a version such as %q", version, abi.Version)
	}
	if a != abi.Major || b > abi.Minor {
		return fmt.Errorf("the plugin is built for ABI %d.%d, this engine speaks %s: use a newer engine, or build the plugin with an older SDK", a, b, abi.Version)
	}
	return nil
}

// Canonical returns the manifest as canonical JSON: sorted keys, no white space.
func (m *Manifest) Canonical() ([]byte, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return canonicalJSON(raw)
}

// canonicalJSON sorts the keys and drops the white space of a JSON text. Numbers stay as written.
func canonicalJSON(raw []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// ParseManifest reads a manifest and validates it. Unknown members and members given twice are
// errors, since they are mistakes that would otherwise be silent. A manifest for a newer ABI is
// reported as such, whatever else it holds.
func ParseManifest(raw []byte) (Manifest, error) {
	if len(raw) > abi.ManifestMaxBytes {
		return Manifest{}, fmt.Errorf("the manifest is %d bytes long, the limit is %d", len(raw), abi.ManifestMaxBytes)
	}
	var version struct {
		ABI string `json:"abi"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return Manifest{}, fmt.Errorf("the manifest cannot be read: %w", err)
	}
	if err := checkABI(version.ABI); err != nil {
		return Manifest{}, err
	}
	if err := checkDuplicates(raw); err != nil {
		return Manifest{}, fmt.Errorf("the manifest cannot be read: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var m Manifest
	if err := d.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("the manifest cannot be read: %w", err)
	}
	if err := m.Validate(); err != nil {
		return Manifest{}, fmt.Errorf("the manifest is not valid: %w", err)
	}
	return m, nil
}

// checkDuplicates refuses a JSON text with two members of one name in one object, of which
// encoding/json would silently take the last.
func checkDuplicates(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var open []map[string]bool // the keys seen of each open object; nil for a list
	key := false               // the next string is a key
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if name, ok := token.(string); ok && key {
			seen := open[len(open)-1]
			if seen[name] {
				return fmt.Errorf("member %q is there twice", name)
			}
			seen[name] = true
			key = false
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		key = len(open) > 0 && open[len(open)-1] != nil
	}
}

// AppendManifest returns the module with the manifest as its last section. It refuses a module
// that has a manifest already, and a manifest that is not valid. The bytes given stay as they are.
func AppendManifest(wasm []byte, m Manifest) ([]byte, error) {
	parsed, err := fuel.Parse(wasm)
	if err != nil {
		return nil, err
	}
	if _, found, err := manifestSection(parsed); err != nil || found {
		return nil, errors.Join(err, errors.New("the module has a manifest already"))
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("the manifest is not valid: %w", err)
	}
	data, err := m.Canonical()
	if err != nil {
		return nil, err
	}
	if len(data) > abi.ManifestMaxBytes {
		return nil, fmt.Errorf("the manifest is %d bytes long, the limit is %d", len(data), abi.ManifestMaxBytes)
	}
	return fuel.AppendCustomSection(wasm, abi.SectionManifest, data), nil
}

// ReadManifest reads the manifest of a module without running it.
func ReadManifest(wasm []byte) (Manifest, error) {
	parsed, err := fuel.Parse(wasm)
	if err != nil {
		return Manifest{}, err
	}
	return readManifest(parsed)
}

func readManifest(m *fuel.Module) (Manifest, error) {
	data, found, err := manifestSection(m)
	if err != nil {
		return Manifest{}, err
	}
	if !found {
		return Manifest{}, fmt.Errorf("the module has no manifest (custom section %s): build it with `tollway plugin build`", abi.SectionManifest)
	}
	return ParseManifest(data)
}

// manifestSection finds the manifest's section. Two of them are an error: which one counts must
// not be a matter of taste.
func manifestSection(m *fuel.Module) (data []byte, found bool, err error) {
	for _, s := range m.CustomSections() {
		if s.Name != abi.SectionManifest {
			continue
		}
		if found {
			return nil, false, errors.New("the module has two manifests")
		}
		data, found = s.Data, true
	}
	return data, found, nil
}
