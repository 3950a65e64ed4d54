package plugins

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tollway/tollway/plugins/fuel"
	"github.com/tollway/tollway/sdk/abi"
)

// exportRule says how a function export must look.
type exportRule struct {
	name, signature string
	required        bool
}

var exportRules = []exportRule{
	{abi.ExportMarker, "() -> (i32)", true},
	{abi.ExportInitialize, "() -> ()", false},
	{abi.ExportArena, "(i32) -> (i32)", true},
	{abi.ExportConfigure, "(i32, i32) -> (i32)", true},
	{abi.ExportPrice, "(i32) -> (i32)", true},
}

// validate holds a module's imports and exports against the contract and reports everything that
// is wrong, joined.
func validate(m *fuel.Module) error {
	return errors.Join(validateImports(m), validateExports(m))
}

// validateImports names every import that a tariff may not have.
func validateImports(m *fuel.Module) error {
	var foreign, wrong []string
	begins := false
	for _, i := range m.Imports() {
		name := i.Module + "." + i.Name
		signature, ok := allowedImport(i.Module, i.Name)
		switch {
		case !ok || i.Kind != fuel.KindFunction:
			foreign = append(foreign, name)
		case i.Type.String() != signature:
			wrong = append(wrong, fmt.Sprintf("%s is imported as %s, must be %s", name, i.Type, signature))
		case i.Module == abi.ImportModule && i.Name == abi.ImportBegin:
			begins = true
		}
	}
	var problems []error
	if len(foreign) > 0 {
		problems = append(problems, fmt.Errorf("it imports what a tariff may not use: %s", strings.Join(foreign, ", ")))
	}
	for _, w := range wrong {
		problems = append(problems, errors.New(w))
	}
	if !begins {
		problems = append(problems, fmt.Errorf("it does not import %s.%s, which a tariff calls before each event", abi.ImportModule, abi.ImportBegin))
	}
	return errors.Join(problems...)
}

// allowedImport returns the signature of an import that a tariff may have.
func allowedImport(module, name string) (signature string, ok bool) {
	switch {
	case module == abi.ImportModule && name == abi.ImportBegin:
		return "(i32) -> ()", true
	case module == abi.ImportModule && name == abi.ImportBeginMany:
		return "(i32, i32) -> ()", true
	case module == abi.ImportEnv && name == abi.ImportEnvAbort:
		return "(i32, i32, i32, i32) -> ()", true
	case module == abi.ImportWASI:
		i := slices.IndexFunc(wasiFunctions, func(f wasiFunction) bool { return f.name == name })
		if i >= 0 {
			return wasiFunctions[i].signature(), true
		}
	}
	return "", false
}

func validateExports(m *fuel.Module) error {
	var problems []error
	if _, ok := m.Export(abi.ExportMarker); !ok {
		if major, ok := otherMajor(m); ok {
			return fmt.Errorf("the plugin is built for ABI %d, this engine speaks %s", major, abi.Version)
		}
	}
	if e, ok := m.Export(abi.ExportMemory); !ok || e.Kind != fuel.KindMemory {
		problems = append(problems, fmt.Errorf("it does not export its memory as %q", abi.ExportMemory))
	}
	for _, rule := range exportRules {
		e, ok := m.Export(rule.name)
		switch {
		case !ok && rule.required:
			problems = append(problems, fmt.Errorf("it does not export %s %s: is it a tariff?", rule.name, rule.signature))
		case ok && (e.Kind != fuel.KindFunction || e.Type.String() != rule.signature):
			problems = append(problems, fmt.Errorf("it exports %s as %s, must be %s", rule.name, exportType(e), rule.signature))
		}
	}
	return errors.Join(problems...)
}

func exportType(e fuel.Export) string {
	if e.Kind != fuel.KindFunction {
		return "a " + e.Kind.String()
	}
	return e.Type.String()
}

// otherMajor looks for the marker of another major version of the contract.
func otherMajor(m *fuel.Module) (int, bool) {
	for _, e := range m.Exports() {
		if v, ok := strings.CutPrefix(e.Name, "tariff_abi_v"); ok {
			if n, err := strconv.Atoi(v); err == nil {
				return n, true
			}
		}
	}
	return 0, false
}
