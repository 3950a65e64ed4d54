package ingest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/sdk/billing"
)

// readAll reads a file to its end and returns, in order, the ids with their lines and the errors of single lines.
func readAll(t *testing.T, name, text string) (got []string, err error) {
	t.Helper()
	for _, in := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		var again []string
		r, failed := NewReader(name, in)
		for failed == nil {
			var e billing.UsageEvent
			var line *LineError
			switch e, failed = r.Next(); {
			case failed == nil:
				again = append(again, e.ID+"@"+itoa(r.Line()))
			case errors.As(failed, &line):
				if line.Line != r.Line() {
					t.Errorf("%v is said to be on line %d", failed, r.Line())
				}
				again = append(again, failed.Error())
				failed = nil
			}
		}
		if errors.Is(failed, io.EOF) {
			failed = nil
		}
		if got != nil && !cmp.Equal(got, again) || err != nil && (failed == nil || failed.Error() != err.Error()) {
			t.Errorf("%s read byte by byte: %q %v, else %q %v", name, again, failed, got, err)
		}
		got, err = again, failed
	}
	return got, err
}

func itoa(n int) string {
	return strings.TrimLeft(string([]byte{byte('0' + n/10), byte('0' + n%10)}), "0")
}

func TestReadFiles(t *testing.T) {
	one := goodJSON
	two := change(`"e1"`, `"e2"`)
	spread := strings.ReplaceAll(two, ",", ",\n")
	const head = "id,source,type,subject,time,calls,region\n"
	for name, c := range map[string]struct {
		file, text string
		want       []string
		err        string
	}{
		"lines":              {"a.jsonl", one + "\n\n \r\n" + two + "\r\n", []string{"e1@1", "e2@4"}, ""},
		"lines, no last end": {"a.jsonl", one + "\n" + two, []string{"e1@1", "e2@2"}, ""},
		"blank lines first":  {"a.jsonl", "\n\r\n  \n" + one + "\n", []string{"e1@4"}, ""},
		"byte order mark":    {"a.jsonl", "\ufeff" + one, []string{"e1@1"}, ""},
		"empty":              {"a.jsonl", "", nil, ""},
		"only blank":         {"a.json", " \n\n", nil, ""},
		"bad lines": {
			"events.jsonl", one + "\n" + strings.Replace(one, "12:00:00.5+02:00", "noon", 1) + "\nnil\n" + two + "\n{\n",
			[]string{
				"e1@1", `events.jsonl:2: time: "2026-10-01Tnoon" is not an RFC 3339 time with a zone, such as 2026-10-01T12:00:00Z`,
				"events.jsonl:3: message: invalid character 'i' in literal null (expecting 'u') after offset 1", "e2@4",
				"events.jsonl:5: message: unexpected EOF after offset 1",
			},
			"",
		},
		"a long line": {
			"a.jsonl", one + "\n" + strings.Repeat("x", BodyBytesMax+1) + "\n" + two,
			[]string{"e1@1", "a.jsonl:2: event: is longer than 8388608 bytes", "e2@3"},
			"",
		},
		"a long last line":         {"a.jsonl", strings.Repeat("x", BodyBytesMax+70000), []string{"a.jsonl:1: event: is longer than 8388608 bytes"}, ""},
		"a line just short enough": {"a.jsonl", one + strings.Repeat(" ", BodyBytesMax-len(one)) + "\n" + two, []string{"e1@1", "e2@2"}, ""},

		"array":          {"a.json", "\n [\n" + one + ",\n" + spread + "\n,{\n}\n, 7, " + two + "]\n", []string{"e1@3", "e2@4", "a.json:14: specversion: is missing", "a.json:16: event: must be a JSON object, is a number", "e2@16"}, ""},
		"array twice":    {"a.json", "[" + one + ",\n" + strings.Replace(one, `"id"`, `"id":"x","id"`, 1) + ",\n" + two + "]", []string{"e1@1", `a.json:2: event: duplicate object member name "id"`, "e2@3"}, ""},
		"empty array":    {"a.json", "[]", nil, ""},
		"array broken":   {"a.json", "[" + one + ",\n" + two + "\n" + one + "]", []string{"e1@1", "e2@2"}, `a.json:3: invalid character '{' after array element (expecting ',' or ']') after offset 374`},
		"array cut":      {"a.json", "[" + one + ",\n", []string{"e1@1"}, "a.json:2: unexpected EOF after offset 188"},
		"array and more": {"a.json", "[" + one + "]\n[]", []string{"e1@1"}, "a.json: more than one JSON value; send several events as an array"},

		"csv": {
			"a.csv", head + "e1,s,t,emma,2026-10-01T12:00:00Z,1.50,\ne2,s,t,emma,2026-10-01T12:00:00Z,,\"a,\nb\"\n\ne3,s,t,emma,2026-10-01T12:00:00Z,1,x",
			[]string{"e1@2", "e2@3", "e3@6"},
			"",
		},
		"csv, other order": {"A.CSV", "time,subject,id,type,source\n2026-10-01T12:00:00Z,emma,e1,t,s\n", []string{"e1@2"}, ""},
		"csv, bad rows": {
			"a.csv", head + "e1,s,t,emma,noon,1,x\n,s,t,emma,noon,1,x\ne3,s,t,emma\ne4,s,t,\"em\"ma,2026-10-01T12:00:00Z,1,x\ne5,s,t,emma,2026-10-01T12:00:00Z,1,x\ne6,s,t,emma,,1,x\n",
			[]string{
				`a.csv:2: time: "noon" is not an RFC 3339 time with a zone, such as 2026-10-01T12:00:00Z`, "a.csv:3: id: is missing",
				"a.csv:4: has 4 cells, the header has 7", `a.csv:5: column 11: extraneous or missing " in quoted-field`, "e5@6", "a.csv:7: time: is missing",
			},
			"",
		},
		"csv, not closed":  {"a.csv", head + "e1,\"" + strings.Repeat("x", 2*BodyBytesMax), nil, "a.csv: a row is longer than 8388608 bytes: is a quotation mark not closed?"},
		"csv, empty":       {"a.csv", "", []string{}, "a.csv:1: is empty: the first line must name the columns id, source, type, subject, time, and those of the data"},
		"csv, no time":     {"a.csv", "id,source,type,subject\n", []string{}, `a.csv:1: the header has no column "time"; every file has id, source, type, subject, time`},
		"csv, twice":       {"a.csv", "id,source,type,subject,time,x,x\n", []string{}, `a.csv:1: the header has the column "x" twice`},
		"csv, only header": {"a.csv", head, nil, ""},
	} {
		got, err := readAll(t, c.file, c.text)
		if len(got) == 0 && len(c.want) == 0 {
			got, c.want = nil, nil
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
}

func TestReadCSVData(t *testing.T) {
	r, err := NewReader("a.csv", strings.NewReader("region,id,source,type,subject,time,calls\neu,e1,gate/7,api.request,emma,2026-10-01T12:00:00.5+02:00,1.50\n"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := billing.UsageEvent{
		Source: "gate/7", ID: "e1", Type: "api.request", Account: "emma",
		Time: time.Date(2026, 10, 1, 10, 0, 0, 5e8, time.UTC),
		Data: []billing.Field{{Key: "region", Text: "eu"}, {Key: "calls", Text: "1.50"}},
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
}

func TestReadFailures(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, name := range []string{"a.jsonl", "a.json", "a.csv"} {
		text := "id,source,type,subject,time\n"
		if name != "a.csv" {
			text = map[string]string{"a.json": "[", "a.jsonl": ""}[name] + goodJSON
		}
		r, err := NewReader(name, io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)))
		for err == nil {
			_, err = r.Next()
		}
		var line *LineError
		if !errors.Is(err, broken) || errors.As(err, &line) || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewReader("a.jsonl", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("at once: %v", err)
	}
}

func TestFormatJSON(t *testing.T) {
	if _, err := AppendJSON(nil, &billing.UsageEvent{ID: "\xff"}); err == nil {
		t.Error("an invalid event was written")
	}
	got := string(FormatJSON(billing.UsageEvent{ID: "\xff", Time: goodEvent.Time}))
	const want = `{"specversion":"1.0","id":"` + "\ufffd" + `","source":"","type":"","subject":"","time":"2026-10-01T10:00:00.5Z"}`
	if got != want {
		t.Errorf("got %s", got)
	}
}
