package main

import (
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/sdk/billing"
)

// running holds what each script has started.
var running = struct {
	sync.Mutex
	of map[*testscript.TestScript]*[]*exec.Cmd
}{of: map[*testscript.TestScript]*[]*exec.Cmd{}}

// ratedReport is what `tollway rate -o json` prints.
type ratedReport struct {
	Invoices []struct {
		Account string
		Lines   []struct {
			Group  map[string]string
			Amount billing.Amount
		}
	}
}

// compareTotals (totals REPORT EXPECTED.csv) adds up the lines of a report by
// account and service and compares each sum, to the last digit, with the column
// list_cost.
func compareTotals(ts *testscript.TestScript, _ bool, args []string) {
	var report ratedReport
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &report))
	got := map[string]billing.Amount{}
	for _, invoice := range report.Invoices {
		for _, line := range invoice.Lines {
			key := invoice.Account + " / " + line.Group["service"]
			sum, err := got[key].Add(line.Amount)
			ts.Check(err)
			got[key] = sum
		}
	}
	rows, err := csv.NewReader(strings.NewReader(ts.ReadFile(args[1]))).ReadAll()
	ts.Check(err)
	column := func(name string) int { return slices.Index(rows[0], name) }
	want := map[string]billing.Amount{}
	for _, row := range rows[1:] {
		amount, err := billing.ParseAmount(row[column("list_cost")])
		ts.Check(err)
		want[row[column("subject")]+" / "+row[column("service")]] = amount
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key].Cmp(want[key]) != 0 {
			ts.Fatalf("%s: got %s, want %s", key, got[key], want[key])
		}
		delete(got, key)
	}
	if len(got) > 0 {
		ts.Fatalf("nobody expects %v", got)
	}
	if len(want) == 0 {
		ts.Fatalf("%s expects nothing", args[1])
	}
	ts.Logf("%d totals are equal", len(want))
}

// extractRated (rated REPORT TO) writes the bytes of a report's invoices and
// dead letters: what must not depend on how usage was read.
func extractRated(ts *testscript.TestScript, _ bool, args []string) {
	var parts map[string]json.RawMessage
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &parts))
	text := slices.Concat(parts["invoices"], []byte("\n"), parts["dead_letters"], []byte("\n"))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}

// copyModule (module) makes the script's folder a module with the SDK, so that
// tariffs can be built in it as in a checkout.
func copyModule(ts *testscript.TestScript, _ bool, _ []string) {
	repository := ts.Getenv("REPOSITORY")
	for _, name := range []string{"go.mod", "go.sum"} {
		copyFile(ts, filepath.Join(repository, name), ts.MkAbs(name))
	}
	ts.Check(filepath.WalkDir(filepath.Join(repository, "sdk"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		name, err := filepath.Rel(repository, path)
		if err != nil {
			return err
		}
		copyFile(ts, path, ts.MkAbs(name))
		return nil
	}))
}

func copyFile(ts *testscript.TestScript, from, to string) {
	text, err := os.ReadFile(from)
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Dir(to), 0o700))
	ts.Check(os.WriteFile(to, text, 0o600))
}

// tutorialFile is how the README names a file that the reader has to save.
var tutorialFile = regexp.MustCompile("`(\\.build/tutorial/[^`]*\\.[a-z]+)`")

// followTutorial (tutorial README HEADING LOG) does what a section of the README
// says: it saves the files, and runs the commands in a shell, one after the
// other, on a server of its own where the README uses the usual address.
//
// A block with a language is a file: the one that the text before it names last.
// A block without is commands. Each is written to the log with what it printed.
func followTutorial(ts *testscript.TestScript, _ bool, args []string) {
	_, section, found := strings.Cut(ts.ReadFile(args[0]), "\n## "+args[1]+"\n")
	if !found {
		ts.Fatalf("%s has no section %q", args[0], args[1])
	}
	section, _, _ = strings.Cut(section, "\n## ")
	log, err := os.Create(ts.MkAbs(args[2]))
	ts.Check(err)
	defer func() { ts.Check(log.Close()) }()
	parts := strings.Split(section, "```")
	file := ""
	for i, part := range parts {
		if i%2 == 0 { // text
			if names := tutorialFile.FindAllStringSubmatch(part, -1); len(names) > 0 {
				file = names[len(names)-1][1]
			}
			continue
		}
		language, body, _ := strings.Cut(part, "\n")
		if language != "" {
			ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(file)), 0o700))
			ts.Check(os.WriteFile(ts.MkAbs(file), []byte(body), 0o600))
			continue
		}
		for line := range strings.Lines(body) {
			line = strings.TrimSpace(line)
			if serve, ok := strings.CutPrefix(line, ".build/tollway serve --data "); ok {
				serveOn(ts, serve)
				continue
			}
			if config, ok := strings.CutPrefix(line, ".build/tollway serve --config "); ok {
				ts.Setenv("TOLLWAY_SERVER", background(ts, serving, "tollway", "serve", "--config", config, "--listen", "127.0.0.1:0"))
				continue
			}
			command := program(ts, "sh", "-c", line)
			out, err := command.CombinedOutput()
			_, writeErr := log.WriteString("$ " + line + "\n" + string(out))
			ts.Check(writeErr)
			if err != nil {
				ts.Fatalf("$ %s\n%s%v", line, out, err)
			}
		}
	}
}

// runPage (page FILE [HEADING] [OLD=NEW...]) runs the commands of a page of the
// documentation, or of one of its sections, in a shell, one after the other: the lines,
// indented or fenced, that begin with tollway, curl or cp, and with buf where that is. Of
// paths and names that are not those of the script the old one is replaced by the new.
// `tollway serve` becomes the script's server.
func runPage(ts *testscript.TestScript, _ bool, args []string) {
	text, args := ts.ReadFile(args[0]), args[1:]
	if len(args) > 0 && !strings.Contains(args[0], "=") {
		text = sectionOf(ts, text, args[0])
		args = args[1:]
	}
	_, noBuf := exec.LookPath("buf")
	replace := replacer(args)
	runLines(ts, pageCommand, text, func(line string) bool {
		if strings.HasPrefix(line, "buf ") && noBuf != nil {
			return false
		}
		line = replace.Replace(line)
		if serve, ok := strings.CutPrefix(line, "tollway serve "); ok {
			ts.Setenv("TOLLWAY_SERVER", background(ts, serving, "tollway", append([]string{"serve", "--listen", "127.0.0.1:0"}, strings.Fields(serve)...)...))
			return true
		}
		out, err := program(ts, "sh", "-c", line).CombinedOutput()
		ts.Logf("$ %s\n%s", line, out)
		ts.Check(err)
		return true
	})
}

// pageCommand is a line of a page that is a command.
var pageCommand = regexp.MustCompile("(?m)^(?:    )?((?:tollway|curl|cp|buf) .*)$")

// spanCommand is a command in the text of a page.
var spanCommand = regexp.MustCompile("`(tollway [a-z][^`]*)`")

// runSpans (spans FILE HEADING [OLD=NEW...]) runs the commands that stand in the text of
// a section, as runPage does. What is a part of a command, with nothing to replace
// its capitals by, is left out.
func runSpans(ts *testscript.TestScript, _ bool, args []string) {
	replace := replacer(args[2:])
	placeholder := regexp.MustCompile(`\b[A-Z]{2,}\b`)
	text := strings.ReplaceAll(sectionOf(ts, ts.ReadFile(args[0]), args[1]), "\n", " ")
	runLines(ts, spanCommand, text, func(line string) bool {
		line = replace.Replace(line)
		if placeholder.MatchString(line) {
			return false
		}
		out, err := program(ts, "sh", "-c", line).CombinedOutput()
		ts.Logf("$ %s\n%s", line, out)
		ts.Check(err)
		return true
	})
}

// runLines hands each command to run, of which at least one must be run.
func runLines(ts *testscript.TestScript, command *regexp.Regexp, text string, run func(line string) bool) {
	ran := 0
	for _, m := range command.FindAllStringSubmatch(text, -1) {
		if run(m[1]) {
			ran++
		}
	}
	if ran == 0 {
		ts.Fatalf("there are no commands in\n%s", text)
	}
}

// sectionOf returns a section of a page.
func sectionOf(ts *testscript.TestScript, text, heading string) string {
	_, section, found := strings.Cut(text, "\n## "+heading+"\n")
	if !found {
		ts.Fatalf("there is no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// replacer replaces what OLD=NEW... says.
func replacer(pairs []string) *strings.Replacer {
	var list []string
	for _, pair := range pairs {
		from, to, _ := strings.Cut(pair, "=")
		list = append(list, from, to)
	}
	return strings.NewReplacer(list...)
}

// saveYAML (yaml FILE TO) saves the first block of YAML of a page of the documentation.
func saveYAML(ts *testscript.TestScript, _ bool, args []string) {
	_, block, found := strings.Cut(ts.ReadFile(args[0]), "```yaml\n")
	if !found {
		ts.Fatalf("%s has no YAML", args[0])
	}
	block, _, _ = strings.Cut(block, "```")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(block), 0o600))
}

// authorTariff (author LANGUAGE) begins a tariff in the folder made_LANGUAGE, tests, checks and builds it twice, in two
// folders, to the same bytes. Without the language's toolchain it says what is missing, and does nothing.
func authorTariff(ts *testscript.TestScript, _ bool, args []string) {
	name := "made_" + args[0]
	for _, l := range build.Languages() {
		if l.Name != args[0] {
			continue
		}
		if err := l.Available(); err != nil {
			ts.Logf("SKIPPED: a tariff in %s: %v", l.Title, err)
			return
		}
		run := func(arguments ...string) string {
			out, err := program(ts, "tollway", append([]string{"plugin"}, arguments...)...).CombinedOutput()
			ts.Logf("tollway plugin %s\n%s", strings.Join(arguments, " "), out)
			ts.Check(err)
			return string(out)
		}
		run("new", name, "--lang", args[0])
		run("test", name)
		run("check", name, "--samples", "3")
		ts.Check(os.CopyFS(ts.MkAbs("moved/"+name), os.DirFS(ts.MkAbs(name))))
		run("build", name, "-f", "here.wasm")
		run("build", "moved/"+name, "-f", "there.wasm")
		if ts.ReadFile("here.wasm") != ts.ReadFile("there.wasm") {
			ts.Fatalf("built in two folders, the module is not the same")
		}
		return
	}
	ts.Fatalf("there is no language %q", args[0])
}
