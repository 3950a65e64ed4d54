package build_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/author"
	"github.com/tollway/tollway/plugins/build"
)

// TestExamplesBuildTheSameBytesAnywhere builds the example of each language in its place and in a copy of its folder.
func TestExamplesBuildTheSameBytesAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs compilers")
	}
	for _, language := range build.Languages() {
		if language.Name != "c" && language.Name != "rust" {
			continue // tests of their own
		}
		folder := "../../sdk/" + language.Name + "/examples/graduated"
		t.Run(language.Name, func(t *testing.T) {
			if err := language.Available(); err != nil {
				t.Skip(err)
			}
			if detected, err := build.Detect(folder); err != nil || detected.Name != language.Name {
				t.Fatalf("it is taken for %s, %v", detected.Name, err)
			}
			here, err := build.Folder(t.Context(), folder)
			if err != nil {
				t.Fatal(err)
			}
			elsewhere := filepath.Join(t.TempDir(), "a folder of another name")
			if err := os.CopyFS(elsewhere, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", t.TempDir())
			there, err := build.Folder(t.Context(), elsewhere)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(here, there) {
				t.Errorf("built twice, %s and %s", plugins.Digest(here), plugins.Digest(there))
			}
			inspection, err := plugins.Inspect(here)
			if err != nil || len(inspection.Problems) > 0 {
				t.Fatalf("%v, %v", err, inspection.Problems)
			}
			if _, found := inspection.Manifest.Tariff("graduated"); !found || !strings.HasPrefix(inspection.Manifest.SDK, "tollway-"+language.Name) {
				t.Errorf("the manifest is %+v", inspection.Manifest)
			}
			t.Logf("%d bytes", len(here))
		})
	}
}

// TestPagesForAuthors builds the tariffs that the pages of the SDKs show, as they stand there.
func TestPagesForAuthors(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs compilers")
	}
	for language, file := range map[string]string{"c": "tariff.c", "rust": "lib.rs"} {
		t.Run(language, func(t *testing.T) {
			folder := t.TempDir()
			write(t, filepath.Join(folder, file), block(t, "../../sdk/"+language+"/README.md", language))
			write(t, filepath.Join(folder, "manifest.json"), block(t, "../../sdk/c/README.md", "json"))
			detected, err := build.Detect(folder)
			if err != nil {
				t.Fatal(err)
			}
			if err := detected.Available(); err != nil {
				t.Skip(err)
			}
			wasm, err := build.Folder(t.Context(), folder)
			if err != nil {
				t.Fatal(err)
			}
			hold(t, wasm, `cases:
  - name: simple
    params: {unit_price: "0.25"}
    events: [{quantity: "3"}, {quantity: "170141183460469231731"}, {quantity: "-1.5"}]
    want:
      lines: {usage: {quantity: "1.5", amount: "0.375"}}
      rejects: {2: overflow}
`)
		})
	}
}

// rules is what the pages' invoice rule makes of line items: the same in every language.
const rules = `cases:
  - name: fee
    params: {percent: "2.5", rounding: {scale: 2, mode: half_up}}
    events: [{quantity: "3", amount: "10"}, {amount: "0.60"}, {quantity: "1", amount: "-5.60"}]
    want:
      lines: {service_fee: {quantity: "0", amount: "0.13"}}
  - name: exact
    params: {percent: "0.1"}
    events: [{amount: "0.01"}]
    want:
      lines: {service_fee: {quantity: "0", amount: "0.00001"}}
  - name: nothing
    params: {percent: "2.5"}
    want:
      lines: {service_fee: {quantity: "0", amount: "0"}}
`

// The compilers of Rust and AssemblyScript take half a minute for each module.
var slowPages = flag.Bool("pages", false, "build the invoice rules of the pages for Rust and AssemblyScript too")

// TestPagesHaveARule builds the invoice rules that the pages of the SDKs show, as they stand there.
func TestPagesHaveARule(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs compilers")
	}
	for language, file := range map[string]string{"c": "rule.c", "rust": "lib.rs"} {
		t.Run(language, func(t *testing.T) {
			if language == "rust" && !*slowPages {
				t.Skip("slow: -pages")
			}
			folder := t.TempDir()
			write(t, filepath.Join(folder, file), behind(t, "../../sdk/"+language+"/README.md", language))
			write(t, filepath.Join(folder, "manifest.json"), behind(t, "../../sdk/c/README.md", "json"))
			holdRule(t, folder)
		})
	}
	t.Run("assemblyscript", func(t *testing.T) {
		if !*slowPages {
			t.Skip("slow: -pages")
		}
		folder := t.TempDir()
		example := "../../sdk/assemblyscript/examples/graduated"
		for _, name := range []string{"package.json", "package-lock.json"} {
			text, err := os.ReadFile(filepath.Join(example, name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(folder, name), string(text))
		}
		packages, err := filepath.Abs(filepath.Join(example, "node_modules"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(packages); err != nil {
			t.Skip("npm has not installed the compiler")
		}
		if err := errors.Join(os.Mkdir(filepath.Join(folder, "assembly"), 0o700), os.Symlink(packages, filepath.Join(folder, "node_modules"))); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, "assembly", "index.ts"), behind(t, "../../sdk/assemblyscript/README.md", "ts"))
		holdRule(t, folder)
	})
}

// holdRule builds the invoice rule in a folder and holds it against rules.
func holdRule(t *testing.T, folder string) {
	t.Helper()
	detected, err := build.Detect(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := detected.Available(); err != nil {
		t.Skip(err)
	}
	wasm, err := build.Folder(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := plugins.ReadManifest(wasm)
	if err != nil {
		t.Fatal(err)
	}
	if rule, _ := manifest.Tariff("service_fee"); rule.Kind != plugins.KindRule {
		t.Errorf("the manifest is %+v", manifest)
	}
	hold(t, wasm, rules)
}

// hold holds a module against the properties that the engine relies on, and against what cases expect.
func hold(t *testing.T, wasm []byte, cases string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cases.yaml")
	write(t, file, cases)
	list, err := author.ReadCases(file)
	if err != nil {
		t.Fatal(err)
	}
	w, err := author.Open(t.Context(), wasm, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	results, err := w.Test(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Passed() {
			t.Errorf("%s: %v %v", r.Case.Name, r.Differences, r.Err)
		}
	}
	checked, err := w.Check(t.Context(), list, author.CheckOptions{Seed: 1, Samples: 5, HeadroomPercent: 25})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range checked.Properties {
		for _, failure := range f.Failures {
			t.Errorf("%s: not %s: %s", failure.Case.Name, f.Property.About, failure.Text)
		}
	}
}

// block returns the first block of code in a language on a page.
func block(t *testing.T, page, language string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	code, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("%s has no block in %s", page, language)
	}
	return code
}

// behind returns the first block behind the heading of invoice rules.
func behind(t *testing.T, page, language string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "## An invoice rule\n")
	if !found {
		t.Fatalf("%s has no invoice rule", page)
	}
	file := filepath.Join(t.TempDir(), "page.md")
	write(t, file, rest)
	return block(t, file, language)
}

const manifest = `{"name":"x","version":"1","tariffs":[{"name":"x","title":"X","params_schema":{}}]}`

func TestDetectSaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing":         {nil, "holds no tariff: expected *.go (Go)"},
		"two languages":   {map[string]string{"main.go": "package main", "t.c": ""}, "holds a tariff in Go and one in C"},
		"no manifest":     {map[string]string{"t.c": ""}, "manifest.json is missing"},
		"broken manifest": {map[string]string{"t.c": "", "manifest.json": "{"}, "manifest.json: unexpected end"},
		"named twice":     {map[string]string{"t.c": "", "manifest.json": `{"abi":"1.0","abi":"1.0",` + manifest[1:]}, `member "abi" is there twice`},
		"broken C":        {map[string]string{"t.c": "nonsense", "manifest.json": manifest}, "does not build for WebAssembly"},
		"a dropped error": {map[string]string{"t.c": "#include \"tollway_tariff.h\"\nvoid f(void);\nvoid f(void) { tw_decimal d; tw_add(TW_ONE, TW_ONE, &d); }\n", "manifest.json": manifest}, "unused-result"},
		"broken Rust":     {map[string]string{"lib.rs": "nonsense", "manifest.json": manifest}, "does not build for WebAssembly"},
		"dependencies":    {map[string]string{"src/lib.rs": "", "Cargo.toml": "[dependencies]\ntollway-tariff = \"1\"\nserde = \"1\"\n", "manifest.json": manifest}, "depends on serde"},
		"a dependency":    {map[string]string{"src/lib.rs": "", "Cargo.toml": "[dependencies.serde]\nversion = \"1\"\n", "manifest.json": manifest}, "depends on serde"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for file, text := range test.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(folder, file), text)
			}
			if detected, err := build.Detect(folder); err == nil {
				if err := detected.Available(); err != nil {
					t.Skip(err)
				}
			}
			_, err := build.Folder(t.Context(), folder)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	if _, err := build.Detect(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a folder that there is not has a language")
	}
}

// TestWithoutToolchains holds that each language says how its toolchain is installed.
func TestWithoutToolchains(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, language := range build.Languages() {
		err := language.Available()
		if err == nil {
			continue // it is found where Debian puts it
		}
		if language.Install != "" && !strings.Contains(err.Error(), language.Install) {
			t.Errorf("%s: %v", language.Name, err)
		}
	}
}
