//go:build !wasip1

package tariff

import (
	"encoding/json"
	"io"
	"os"

	"github.com/tollway/tollway/sdk/abi"
)

// sdkName is how the manifest calls this SDK.
const sdkName = "tollway-go/" + abi.Version

// Main answers the command line of a plugin that runs natively: -manifest prints the manifest
// that the build appends to the module, and -serve prices what stands on standard input, for
// `tollway plugin check` and `bench`, which compare the tariff with itself in the engine. It exits
// 2 on anything else and 1 on an error.
func (m *Module) Main() { os.Exit(m.main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func (m *Module) main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	say := func(text string) { _, _ = io.WriteString(stderr, m.Name+": "+text+"\n") }
	if len(args) == 1 && args[0] == "-serve" {
		if err := m.serve(stdin, stdout); err != nil {
			say(err.Error())
			return 1
		}
		return 0
	}
	if len(args) != 1 || args[0] != "-manifest" && args[0] != "--manifest" {
		say("this is a tariff plugin; build it with `tollway plugin build`, or run it with -manifest")
		return 2
	}
	manifest, err := m.Manifest()
	if err == nil {
		_, err = stdout.Write(append(manifest, '\n'))
	}
	if err != nil {
		say(err.Error())
		return 1
	}
	return 0
}

// manifest is the JSON form; fields stand in the order of their keys, as canonical JSON wants.
type manifest struct {
	ABI            string           `json:"abi"`
	FuelPerEvent   int64            `json:"fuel_per_event,omitempty"`
	FuelStart      int64            `json:"fuel_start,omitempty"`
	MemoryMaxBytes int64            `json:"memory_max_bytes,omitempty"`
	Name           string           `json:"name"`
	SDK            string           `json:"sdk"`
	Tariffs        []manifestTariff `json:"tariffs"`
	Version        string           `json:"version"`
}

type manifestTariff struct {
	Kind         Kind            `json:"kind,omitempty"`
	Name         string          `json:"name"`
	ParamsSchema json.RawMessage `json:"params_schema"`
	Title        string          `json:"title"`
}

// Manifest returns the module's manifest as canonical JSON: sorted keys, no white space, the
// same bytes every time.
//
// # Errors
//
// A tariff whose Configure panics while its parameters are described.
func (m *Module) Manifest() ([]byte, error) {
	form := manifest{
		ABI: abi.Version, FuelPerEvent: m.FuelPerEvent, FuelStart: m.FuelStart, MemoryMaxBytes: m.MemoryMaxBytes,
		Name: m.Name, SDK: sdkName, Version: m.Version,
	}
	for i := range m.Tariffs {
		schema, err := m.Tariffs[i].Schema()
		if err != nil {
			return nil, err
		}
		form.Tariffs = append(form.Tariffs, manifestTariff{m.Tariffs[i].Kind, m.Tariffs[i].Name, schema, m.Tariffs[i].Title})
	}
	return marshal(form)
}
