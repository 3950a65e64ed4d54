package host_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the repository that a linter does not hold. What a rule allows stands in a table below; changing the
// table is how a rule is changed, and the review of that line is where it is talked about.

const modulePath = "github.com/tollway/tollway"

// direction is the direction of imports: for each package what it may import besides the standard library, as paths
// in this module or as module paths of others. A package that is not listed may not exist. A last element * stands
// for any one element. Tests may import more.
var direction = map[string][]string{
	// What a tariff's author sees.
	"sdk":                   {},
	"sdk/billing":           {},
	"sdk/abi":               {"sdk/billing"},
	"sdk/tariff":            {"sdk/abi", "sdk/billing"},
	"sdk/tariff/tarifftest": {"sdk/abi", "sdk/billing", "sdk/tariff"},
	"examples/tariffs/*":    {"sdk/billing", "sdk/tariff"},

	// What all SDKs must agree on.
	"sdk/c":                     {},
	"sdk/rust":                  {},
	"sdk/assemblyscript":        {},
	"sdk/conformance":           {},
	"sdk/conformance/generate":  {"sdk/conformance"},
	"sdk/conformance/guests/go": {"sdk/billing", "sdk/tariff"},

	// What runs tariffs; the only importer of wazero.
	"plugins/fuel":              {},
	"plugins":                   {"plugins/fuel", "sdk/abi", "sdk/billing", wazero, "golang.org/x/sys"},
	"plugins/builtin":           {},
	"plugins/build":             {"plugins", "sdk/abi", "sdk/c", "sdk/rust"},
	"plugins/builtin/pack":      {"plugins", "plugins/build"},
	"plugins/conformance":       {"plugins", "plugins/build", "sdk/billing", "sdk/conformance"},
	"plugins/author":            {"plugins", "sdk/abi", "sdk/billing", yaml, "github.com/santhosh-tekuri/jsonschema/v6"},
	"plugins/scaffold":          {"sdk", "sdk/abi", "sdk/assemblyscript", "sdk/c", "sdk/rust"},
	"plugins/languages":         {"plugins", "plugins/build", "sdk/billing"},
	"plugins/internal/wasmtest": {},
	"plugins/hostile":           {"plugins", "plugins/internal/wasmtest", "sdk/abi", "sdk/billing", "golang.org/x/sys"},
	"plugins/hostile/run":       {"plugins/hostile"},
	"plugins/sign":              {"aead.dev/minisign"},

	// The stages, in the order of an event's way; each foreign dependency has one importer.
	"host/stream":     {"host/internal/failpoint", "sdk/billing", "github.com/nats-io", "golang.org/x/sys"},
	"host/ingest":     {"sdk/billing", "github.com/go-json-experiment/json", "github.com/zeebo/xxh3", protobuf},
	"host/intake":     {"host/internal/failpoint", "host/ingest", "host/stream", "sdk/billing", "golang.org/x/sync"},
	"host/catalog":    {"sdk/billing", yaml},
	"host/rate":       {"host/catalog", "host/ingest", "host/internal/memory", "host/internal/stage", "plugins", "sdk/abi", "sdk/billing"},
	"host/accumulate": {"host/internal/memory", "host/rate", "sdk/billing", "github.com/zeebo/xxh3"},
	"host/checkpoint": {"host/internal/failpoint", "github.com/dgraph-io/badger/v4", "golang.org/x/sys", protobuf},
	"host/identity":   {"host/internal/failpoint", "host/checkpoint", "host/ingest", "host/internal/memory"},
	"host/query":      {"host/accumulate", "host/rate", "sdk/billing"},
	"host/export":     {"host/accumulate", "host/rate", "sdk/billing"},
	"host/deliver":    {"host/internal/failpoint", "host/query", "host/stream", "sdk/billing", "golang.org/x/sync"},

	// Copies of the state.
	"host/backup": {"host/query"},

	// What becomes of invoices outside.
	"host/export/folder":  {"host/export", "host/export/focus", "host/export/paper", "host/export/parquet", "sdk/billing", "golang.org/x/sync"},
	"host/export/focus":   {"host/export", "sdk/billing"},
	"host/export/paper":   {"host/export", "sdk/billing"},
	"host/export/parquet": {"host/export", "sdk/billing", "github.com/parquet-go/parquet-go"},

	// The wiring.
	"host": {
		"host/accumulate", "host/backfill", "host/catalog", "host/checkpoint", "host/deliver", "host/export", "host/identity", "host/ingest", "host/intake", "host/internal/failpoint", "host/query", "host/rate",
		"host/internal/memory", "host/internal/stage", "host/stream", "plugins", "plugins/builtin", "plugins/sign", "sdk/abi", "sdk/billing", "golang.org/x/sync",
	},
	"host/backfill": {"host/ingest", "sdk/billing"},
	"rpc": {
		"rpc/tollway/v1", "rpc/tollway/v1/tollwayv1connect", "host/catalog", "host/deliver", "host/export", "host/ingest", "host/query", "sdk/billing",
		"connectrpc.com", "golang.org/x/sync", protobuf,
	},
	"rpc/tollway/v1":                  {protobuf},
	"rpc/tollway/v1/tollwayv1connect": {"rpc/tollway/v1", "connectrpc.com/connect/v2"},
	"host/web":                        {},
	"host/serve":                      {"host", "host/deliver", "host/export", "host/intake", "host/query", "host/stream", "host/web", "rpc", "sdk/billing", "golang.org/x/sync"},
	"host/internal/memory":            {"golang.org/x/sys"},
	"host/internal/stage":             {},
	"host/internal/oracle":            {},
	"host/internal/sim": {
		"host", "host/accumulate", "host/catalog", "host/checkpoint", "host/export", "host/ingest", "host/internal/oracle", "host/query", "host/stream",
		"sdk/billing", "github.com/google/go-cmp",
	},
	"host/internal/sim/mutants": {},
	// What is done to the real program.
	"host/internal/failpoint":   {},
	"host/internal/chaos":       {"host/internal/chaos/natsd", "host/internal/failpoint", "host/internal/oracle", "plugins/builtin", "plugins/hostile", "rpc", "rpc/tollway/v1", "rpc/tollway/v1/tollwayv1connect", "sdk/abi", protobuf},
	"host/internal/chaos/natsd": {"github.com/nats-io"},
	"host/internal/chaos/run":   {"host/internal/chaos", "host/internal/chaos/natsd"},
	"host/internal/cloud":       {"sdk/billing"},
	"host/internal/faultfs":     {"github.com/hanwen/go-fuse/v2", "golang.org/x/sys"},
	"host/internal/powercut":    {},
	"host/internal/postgres":    {"github.com/jackc/pgx/v5"},
	"host/internal/trial": {
		"host", "host/catalog", "host/checkpoint", "host/identity", "host/ingest", "host/internal/bench", "host/internal/cloud", "host/internal/postgres", "host/internal/stage",
		"host/intake", "host/query", "host/serve", "host/stream", "rpc", "sdk/billing", "github.com/google/pprof", "golang.org/x/sync",
	},
	"host/internal/serving": {
		"host", "host/catalog", "host/export/folder", "host/ingest", "host/internal/cloud", "host/query", "host/serve", "host/stream", "rpc", "rpc/tollway/v1",
		"rpc/tollway/v1/tollwayv1connect", "sdk/billing", "golang.org/x/sync", protobuf,
	},
	"host/internal/telco":   {"sdk/billing"},
	"host/internal/vectors": {"plugins", "sdk/billing"},
	"host/internal/bench": {
		"host", "host/accumulate", "host/catalog", "host/checkpoint", "host/ingest", "host/query", "host/rate", "host/stream",
		"plugins", "plugins/builtin", "sdk/billing", "golang.org/x/sync",
	},
	"host/cmd/tollway": {anything},
}

const (
	anything = "*"
	wazero   = "github.com/tetratelabs/wazero"
	protobuf = "google.golang.org/protobuf"
	yaml     = "go.yaml.in/yaml/v3"
)

// vocabularyImports is what sdk/billing may import of the standard library: it is compiled into every tariff.
var vocabularyImports = []string{"errors", "math/bits", "runtime", "strconv", "time", "unicode/utf8"}

// goroutines lists the files that start goroutines, by a go statement or by the Go method of a group, with what ends
// them. Elsewhere work runs in the caller's goroutine.
var goroutines = map[string]string{
	"host/memory.go":                      "setting aside room for the heap; it ends with the context",
	"host/host.go":                        "opening; partitions, outboxes, the closer and the watch on streams; Host.Open and Host.Run wait for all",
	"host/intake/lane.go":                 "a lane that is not at rest; it ends when nothing is left, Intake.Close waits for all",
	"host/cmd/tollway/serve_snapshots.go": "the snapshots of a host; serve waits for their end",
	"host/internal/chaos/program.go":      "the wait for a process's end; it ends with the process, which the site's close kills",
	"host/internal/chaos/points.go":       "the watch on the program; the tour waits for it",
	"host/internal/chaos/proxy.go":        "connections; Proxy.Close breaks them and waits for all",
	"host/internal/chaos/receiver.go":     "a server; it ends with Receiver.Close",
	"host/internal/chaos/kills.go":        "the feeder; the campaign waits for it",
	"host/internal/faultfs/mount.go":      "the answers to the kernel; Mount.Close waits for them",
	"host/internal/sim/process.go":        "one life of a host; its crash waits",
	"host/internal/sim/try.go":            "a client's call; the crash of its host waits",
	"host/internal/sim/world.go":          "a client's call; the crash of its host waits",
	"host/rate_files.go":                  "reader and rater of one file; the call waits for both",
	"rpc/sender.go":                       "the receiver of a stream's answers; it ends with the stream, which Sender.Close ends",
	"rpc/usage_stream.go":                 "the answers to a stream of usage; the call waits",
	"host/serve/run.go":                   "host and server; Run waits for both",
	"host/internal/bench/pipeline.go":     "a host and what drives or reads it for a round; the round waits for all",
	"host/checkpoint/flushes.go":          "Badger's own Close, which may never end; Store.Close waits for it as long as it may",
	"host/checkpoint/fold.go":             "the background fold; Store.Close stops it and waits",
	"host/export/folder/pipeline.go":      "reading, decoding and writing of an export; the call waits for all",
	"host/internal/postgres/cluster.go":   "the wait for the server's end; Cluster.Close waits for it",
	"host/internal/trial/worker.go":       "the wait for the end of the input; it ends with the process",
	"host/internal/trial/logs.go":         "a host and what drives it, and readers of partitions; the call waits for all",
	"host/internal/trial/latency.go":      "senders, and waits for what was sent; a level waits for all",
	"host/internal/trial/ingest.go":       "a server of the RPC interface; the call waits for its end",
	"host/internal/trial/maps.go":         "readers of partitions; the call waits for all",
	"host/internal/serving/serving.go":    "senders of what makes the keys; the call waits for all",
	"host/internal/serving/orders.go":     "the clients, where they are in this process; their leaving is waited for",
	"host/internal/serving/ask.go":        "calls of Get; the call waits for all",
	"host/internal/serving/month.go":      "the look at the memory of an export; the export waits",
	"host/internal/serving/clients.go":    "watches, probes and a stream of usage; the call waits for all",
	"host/internal/trial/database.go":     "connections to PostgreSQL; the call waits for all",
	"host/internal/trial/hosting.go":      "a host, what follows it, and comparing accounts; the call waits for all",
	"plugins/hostile/neighbour.go":        "the honest tariff at work; neighbour.stop waits for it",
	"host/shadow.go":                      "shadows and their parts; the run of the shadows, which Host.Run waits for, waits for all",
	"host/deliver/deliver.go":             "the sinks; Deliverer.Run, which Host.Run waits for, waits for all",
	"host/deliver/worker.go":              "a sink's reading, its loop and what is being handed over; the sink's run waits for all",
	"host/partition.go":                   "reading ahead, working and committing; the partition's run waits for all",
}

// large lists the files of more than a mebibyte.
var large = map[string]string{}

// topLevel lists what may stand at the top of the repository.
var topLevel = []string{
	".ci", ".gitattributes", ".githooks", ".gitignore", ".golangci.yml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile",
	"RATIONALE.md", "README.md", "buf.gen.yaml", "buf.yaml", "docs", "examples", "go.mod", "go.sum", "host", "plugins", "rpc", "sdk",
}

const (
	functionLinesMax = 70
	fileBytesMax     = 1 << 20
)

// source is one Go file, parsed.
type source struct {
	path      string // from the top, with slashes
	file      *ast.File
	positions *token.FileSet
	generated bool
}

func (s source) folder() string { return path.Dir(s.path) }
func (s source) isTest() bool   { return strings.HasSuffix(s.path, "_test.go") }
func (s source) at(p token.Pos) string {
	return s.path + ":" + strconv.Itoa(s.positions.Position(p).Line)
}

// repository walks the files that belong to the repository: everything but what .gitignore names.
func repository(t *testing.T, visit func(name string, entry fs.DirEntry)) {
	t.Helper()
	madeByMake := []string{".git", ".build", ".tmp", "plugins/builtin/standard.wasm", "plugins/builtin/metered.wasm", "plugins/builtin/rules.wasm"}
	madeByGo := []string{".test", ".prof", ".out"}
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(file, ".."+string(filepath.Separator)))
		switch {
		case (slices.Contains(madeByMake, name) || entry.Name() == "node_modules") && entry.IsDir():
			return filepath.SkipDir
		case name == "..", slices.Contains(madeByMake, name), slices.Contains(madeByGo, path.Ext(name)):
			return nil
		}
		visit(name, entry)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources parses every Go file, of any operating system, outside testdata.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	repository(t, func(name string, entry fs.DirEntry) {
		if entry.IsDir() || path.Ext(name) != ".go" || strings.Contains(name, "/testdata/") {
			return
		}
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, filepath.Join("..", name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{name, file, positions, ast.IsGenerated(file)})
	})
	return all
}

// allowedImports returns the row of the direction table that is a folder's.
func allowedImports(folder string) (allowed []string, listed bool) {
	if allowed, listed = direction[folder]; listed {
		return allowed, true
	}
	allowed, listed = direction[path.Dir(folder)+"/*"]
	return allowed, listed
}

func TestDirectionOfImports(t *testing.T) {
	packages := make(map[string]bool)
	for _, s := range sources(t) {
		allowed, listed := allowedImports(s.folder())
		if !listed && !packages[s.folder()] {
			t.Errorf("%s: the package is not in the direction table of host/tidy_test.go", s.folder())
		}
		packages[s.folder()] = true
		if !listed || s.isTest() {
			continue
		}
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !mayImport(s.folder(), allowed, imported) {
				t.Errorf("%s: %s may not import %s", s.at(spec.Pos()), s.folder(), imported)
			}
		}
	}
	for folder := range direction {
		if !packages[folder] && !strings.HasSuffix(folder, "/*") {
			t.Errorf("%s: is in the direction table, but not in the repository", folder)
		}
	}
}

// mayImport reports whether a package with these allowed imports may import the given path.
func mayImport(folder string, allowed []string, imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return folder != "sdk/billing" || slices.Contains(vocabularyImports, imported)
	}
	if slices.Contains(allowed, anything) {
		return true
	}
	if ours, ok := strings.CutPrefix(imported, modulePath+"/"); ok {
		return slices.Contains(allowed, ours)
	}
	return slices.ContainsFunc(allowed, func(module string) bool {
		return imported == module || strings.HasPrefix(imported, module+"/")
	})
}

func TestMayImport(t *testing.T) {
	for _, test := range []struct {
		folder, imported string
		want             bool
	}{
		{"sdk/billing", "strconv", true},
		{"sdk/billing", "fmt", false},
		{"sdk/billing", modulePath + "/sdk/abi", false},
		{"sdk/abi", "fmt", true},
		{"sdk/abi", modulePath + "/sdk/billing", true},
		{"examples/tariffs/standard", modulePath + "/sdk/tariff", true},
		{"examples/tariffs/standard", modulePath + "/plugins", false},
		{"host/rate", "github.com/nats-io/nats.go", false},
		{"host/stream", "github.com/nats-io/nats.go/jetstream", true},
		{"plugins", "github.com/tetratelabs/wazeroo", false},
		{"host/cmd/tollway", "example.com/anything", true},
	} {
		allowed, listed := allowedImports(test.folder)
		if got := mayImport(test.folder, allowed, test.imported); !listed || got != test.want {
			t.Errorf("%s imports %s: %t, want %t", test.folder, test.imported, got, test.want)
		}
	}
	if _, listed := allowedImports("host/unheard"); listed {
		t.Error("a package that nobody listed is listed")
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	comments := make(map[string][]string)
	for _, s := range sources(t) {
		if s.isTest() || s.generated {
			continue
		}
		found := comments[s.folder()]
		if s.file.Doc != nil {
			found = append(found, s.path)
			start := "Package " + s.file.Name.Name + " "
			if s.file.Name.Name != "main" && !strings.HasPrefix(s.file.Doc.Text(), start) {
				t.Errorf("%s: the package comment does not start with %q", s.path, start)
			}
		}
		comments[s.folder()] = found
	}
	for folder, found := range comments {
		if len(found) != 1 {
			t.Errorf("%s has %d package comments, not one: %v", folder, len(found), found)
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || s.generated {
			continue
		}
		for _, declaration := range s.file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			first, last := s.positions.Position(function.Pos()).Line, s.positions.Position(function.End()).Line
			if lines := last - first + 1; lines > functionLinesMax {
				t.Errorf("%s: %s has %d lines, more than %d", s.at(function.Pos()), function.Name.Name, lines, functionLinesMax)
			}
		}
	}
}

// TestNoFloats: money and quantities are decimals. A float that is not money still invites one that is.
func TestNoFloats(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || s.generated {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if n.Name == "float32" || n.Name == "float64" {
					t.Errorf("%s: %s", s.at(n.Pos()), n.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.FLOAT {
					t.Errorf("%s: the floating-point constant %s", s.at(n.Pos()), n.Value)
				}
			}
			return true
		})
	}
}

func TestGoroutinesStartWhereListed(t *testing.T) {
	starts := make(map[string]bool)
	for _, s := range sources(t) {
		if s.isTest() || s.generated {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if startsGoroutine(n) {
				starts[s.path] = true
				if goroutines[s.path] == "" {
					t.Errorf("%s: starts a goroutine, which host/tidy_test.go does not list", s.at(n.Pos()))
				}
			}
			return true
		})
	}
	for file := range goroutines {
		if !starts[file] {
			t.Errorf("%s: is listed as starting goroutines, and does not", file)
		}
	}
}

// startsGoroutine reports whether n is a go statement or a call of a method named Go (errgroup.Group, sync.WaitGroup).
func startsGoroutine(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.CallExpr:
		selector, ok := n.Fun.(*ast.SelectorExpr)
		return ok && selector.Sel.Name == "Go"
	default:
		return false
	}
}

// TestNothingIsLeftOpen: what is not done is an issue, not a mark in the code.
func TestNothingIsLeftOpen(t *testing.T) {
	marks := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK)\b`)
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			for _, comment := range group.List {
				if mark := marks.FindString(comment.Text); mark != "" && !s.generated {
					t.Errorf("%s: %s", s.at(comment.Pos()), mark)
				}
			}
		}
	}
	texts := []string{".md", ".proto", ".yaml", ".yml", ".sh", ""}
	repository(t, func(name string, entry fs.DirEntry) {
		if entry.IsDir() || !slices.Contains(texts, path.Ext(name)) || strings.Contains(name, "/testdata/") {
			return
		}
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if mark := marks.Find(line); mark != nil {
				t.Errorf("%s:%d: %s", name, i+1, mark)
			}
		}
	})
}

func TestNoLargeFiles(t *testing.T) {
	left := maps.Clone(large)
	repository(t, func(name string, entry fs.DirEntry) {
		if entry.IsDir() {
			return
		}
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() <= fileBytesMax {
			return
		}
		if large[name] == "" {
			t.Errorf("%s has %d bytes, more than %d", name, info.Size(), fileBytesMax)
		}
		delete(left, name)
	})
	for name := range left {
		t.Errorf("%s: is listed as large, and is not", name)
	}
}

func TestTopLevel(t *testing.T) {
	repository(t, func(name string, _ fs.DirEntry) {
		if !strings.Contains(name, "/") && !slices.Contains(topLevel, name) {
			t.Errorf("%s: nothing else stands at the top of the repository", name)
		}
	})
}
