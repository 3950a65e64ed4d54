package author

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tollway/tollway/plugins"
)

// forbidden are packages that a tariff in Go has no use for: what they give is not the same each time, not exact, or
// not there.
var forbidden = map[string]string{
	"math":         "it computes in floating point: use billing.Decimal",
	"math/cmplx":   "it computes in floating point: use billing.Decimal",
	"math/rand":    "chance has no place in a price",
	"math/rand/v2": "chance has no place in a price",
	"crypto/rand":  "chance has no place in a price",
	"net":          "a tariff sees no network",
	"net/http":     "a tariff sees no network",
	"os":           "a tariff sees no files",
	"os/exec":      "a tariff sees no programs",
	"sync":         "a tariff runs alone",
	"unsafe":       "memory of others is not a tariff's",
}

// CheckSources looks through the Go files of a tariff's folder, tests left out, for what no run can show: numbers that
// are not exact, a clock, goroutines. An empty folder, or one without Go files, has nothing wrong.
//
// # Errors
//
// A file that cannot be read, or that is no Go.
func CheckSources(folder string) ([]Problem, error) {
	if folder == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		name := filepath.Join(folder, e.Name())
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		problems = append(problems, checkFile(name, file, positions)...)
	}
	return problems, nil
}

// goSDK is what the manifest of a tariff in Go says it was made with.
const goSDK = "tollway-go/"

// CheckModule looks through the code of a module for floating point, by the name
// of each function that computes with it. A module in Go has some in Go's own
// library, which no price goes through: there [CheckSources] looks instead.
//
// # Errors
//
// The bytes are not a module that the engine would take.
func CheckModule(name string, wasm []byte) ([]Problem, error) {
	about, err := plugins.Inspect(wasm)
	if err != nil {
		return nil, err
	}
	if about.Manifest != nil && strings.HasPrefix(about.Manifest.SDK, goSDK) {
		return nil, nil
	}
	functions, err := plugins.FloatFunctions(wasm)
	if err != nil {
		return nil, err
	}
	if len(functions) == 0 {
		return nil, nil
	}
	return []Problem{{File: name, Text: "the module computes in floating point, which is not exact: look for float, double, f32 and f64, " +
		"and use the SDK's decimals (" + strings.Join(functions, ", ") + ")"}}, nil
}

// checkFile looks through one file.
func checkFile(name string, file *ast.File, positions *token.FileSet) []Problem {
	var problems []Problem
	bad := func(at token.Pos, format string, args ...any) {
		problems = append(problems, Problem{name, positions.Position(at).Line, fmt.Sprintf(format, args...)})
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if reason := forbidden[imported]; err == nil && reason != "" {
			bad(spec.Pos(), "import of %s: %s", imported, reason)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if slices.Contains([]string{"float32", "float64", "complex64", "complex128"}, n.Name) {
				bad(n.Pos(), "%s is not exact: use billing.Decimal, billing.Amount or billing.Quantity", n.Name)
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT || n.Kind == token.IMAG {
				bad(n.Pos(), "%s is a floating point number: use billing.MustDecimal(%q)", n.Value, n.Value)
			}
		case *ast.GoStmt:
			bad(n.Pos(), "a goroutine does not outlive the call, and its order is chance")
		case *ast.SelectStmt:
			bad(n.Pos(), "select chooses by chance")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "Tick"}, n.Sel.Name) {
				bad(n.Pos(), "time.%s: a tariff has no clock; an event's time is Event.Time", n.Sel.Name)
			}
		}
		return true
	})
	return problems
}
