package author_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins/author"
)

// differences writes what a test found, one a line.
func differences(results []*author.Result) string {
	var b strings.Builder
	for _, r := range results {
		for _, d := range r.Differences {
			b.WriteString(r.Case.Name + "|" + d.Path + "|" + d.Want + "|" + d.Got + "\n")
		}
		if r.Err != nil {
			b.WriteString(r.Case.Name + "|error|" + r.Err.Error() + "\n")
		}
	}
	return b.String()
}

// unexpected has one of each kind of expectation that is wrong, comments at every place, and values in every style.
const unexpected = `# about the file
tariff: leaks
cases:
  # about the first
  - name: first
    events:
      - {id: one, quantity: "2", dimensions: {kind: good}}
      - {quantity: "1", dimensions: {kind: bad}}
    # about what is wanted
    want:
      lines:
        # about the line
        sum: {quantity: '2', amount: 11}   # one event
        other: {amount: "3"}
      rejects: {one: bad}
      total: "10.00"

  - name: second
    want:
      lines: {sum: "0"}
      # the end of the second
    events: []
  - name: third
    events:
    - {quantity: "1"}

  # about the fourth
  - name: fourth
    period: 2026-01
    events: [{quantity: "1"}]
    want: {lines: {sum: "10"}}   # right as it is
    then:
      - events: [{quantity: "0.5"}]
  - {name: fifth, params: {unknown: 1}, want: {refused: "no"}}
# the end
`

// TestTestAndUpdate holds what differs, that an update writes just that, and that it is then right.
func TestTestAndUpdate(t *testing.T) {
	w := workshop(t)
	name := filepath.Join(t.TempDir(), "cases.yaml")
	// The fifth is in one line, for which a file is written anew as a whole: it has a file of its own.
	text, fifth, _ := strings.Cut(unexpected, "  - {name: fifth")
	text += "# the end\n"
	flow := filepath.Join(t.TempDir(), "flow.yaml")
	for file, text := range map[string]string{name: text, flow: "tariff: leaks\ncases:\n  - {name: fifth" + fifth} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	test := func() []*author.Result {
		t.Helper()
		cases, err := author.ReadCases(name, flow)
		if err != nil {
			t.Fatal(err)
		}
		results, err := w.Test(t.Context(), cases)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	results := test()
	want := `first|lines.sum.amount|11|10
first|lines.other.amount|3|0
first|rejects.one|bad|
first|rejects.2||bad: of a bad kind
third|want||sum 1 10
fourth|want||sum 0.5 10
fifth|refused|no|params.unknown: unknown parameter; known here: none
`
	if got := differences(results); got != want {
		t.Errorf("differences\n%swant\n%s", got, want)
	}
	changed, err := author.Update(results)
	if err != nil || len(changed) != 2 {
		t.Fatalf("%v changed, %v", changed, err)
	}
	if got := differences(test()); got != "" {
		t.Errorf("after the update:\n%s", got)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	updated := `# about the file
tariff: leaks
cases:
  # about the first
  - name: first
    events:
      - {id: one, quantity: "2", dimensions: {kind: good}}
      - {quantity: "1", dimensions: {kind: bad}}
    # about what is wanted
    want:
      lines:
        # about the line
        sum: {quantity: '2', amount: 10} # one event
      rejects: {2: "bad: of a bad kind"}
      total: "10.00"

  - name: second
    want:
      lines: {sum: "0"}
      # the end of the second
    events: []
  - name: third
    events:
    - {quantity: "1"}
    want:
      lines:
        sum: {quantity: "1", amount: "10"}
      invoice:
        sum: "10.00"
      total: "10.00"

  # about the fourth
  - name: fourth
    period: 2026-01
    events: [{quantity: "1"}]
    want: {lines: {sum: "10"}}   # right as it is
    then:
      - events: [{quantity: "0.5"}]
        want:
          lines:
            sum: {quantity: "0.5", amount: "10"}
          invoice:
            sum: "10.00"
          total: "10.00"
# the end
`
	if string(got) != updated {
		t.Errorf("updated to\n%swant\n%s", got, updated)
	}
}

// TestProblemsAreNamed holds that what is wrong with a file is told with its line, all at once.
func TestProblemsAreNamed(t *testing.T) {
	_, problems := author.ParseCases("c.yaml", []byte(`
currency: XXQ
cases:
  - name: one
    events:
      - {quantity: much, color: red}
      - {time: yesterday, repeat: 0}
    want: {lines: {sum: {price: 1}}, rejects: {7: bad}}
  - name: one
    period: "2026-13"
    carry: xyz
`))
	var all strings.Builder
	for _, p := range problems {
		all.WriteString(p.String() + "\n")
	}
	for _, want := range []string{
		"c.yaml:2: currency", "c.yaml:6: quantity", `c.yaml:6: an event has no key "color"`, `c.yaml:7: "yesterday" is no time`, "c.yaml:7: repeat must be",
		`c.yaml:8: line sum has no key "price"`, `c.yaml:8: there is no event "7"`, `c.yaml:9: case "one" is there already, in line 4`, "c.yaml:10: ", "c.yaml:11: carry must be",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not told:\n%s", want, all.String())
		}
	}
	for _, text := range []string{"", "a: [", "cases: []", "- 1"} {
		if _, problems := author.ParseCases("c.yaml", []byte(text)); len(problems) == 0 {
			t.Errorf("%q has no problem", text)
		}
	}
}

// FuzzParseCases holds that no text stops the reader.
func FuzzParseCases(f *testing.F) {
	f.Add([]byte(unexpected))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("cases: [{name: x, params: &p {a: *p, b: *p}}]"))
	f.Fuzz(func(_ *testing.T, data []byte) { author.ParseCases("c.yaml", data) })
}
