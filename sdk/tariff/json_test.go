package tariff

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// plain turns a document into what encoding/json would decode with UseNumber.
func (d *document) plain(n int32) any {
	switch x := d.nodes[n]; x.kind {
	case jsonBool:
		return x.text == "true"
	case jsonNumber:
		return json.Number(x.text)
	case jsonString:
		return x.text
	case jsonList:
		list := []any{}
		for c := x.first; c != none; c = d.nodes[c].next {
			list = append(list, d.plain(c))
		}
		return list
	case jsonObject:
		object := map[string]any{}
		for c := x.first; c != none; c = d.nodes[c].next {
			object[d.nodes[c].key] = d.plain(c)
		}
		return object
	}
	return nil
}

// encoded is a value in encoding/json's canonical form, for comparing.
func encoded(t *testing.T, value any) string {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReadJSONReadsWhatEncodingJSONReads(t *testing.T) {
	for _, text := range []string{
		`null`, ` true `, `false`, `0`, `-0.5e+10`, `12E3`, `""`, `"a b"`, `"\"\\\/\b\f\n\r\t"`, `"\u00e9\ud83d\ude00"`,
		`[]`, `[1,[2,[]],{}]`, `{}`, `{"a":{"b":[1,"x",null]},"":0}`, "\t{ \"a\" :\r\n 1 }", `"é"`,
	} {
		d, err := readJSON(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var want any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := encoded(t, d.plain(0)); got != encoded(t, want) {
			t.Errorf("%s: read as %s", text, got)
		}
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                                  "at byte 0: a value is missing",
		` `:                                 "at byte 1: a value is missing",
		`nul`:                               "at byte 0: not a value",
		`nulls`:                             "at byte 4: text behind the value",
		`01`:                                "at byte 1: text behind the value",
		`-`:                                 "at byte 1: a digit is missing",
		`1.`:                                "at byte 2: a digit is missing",
		`1e`:                                "at byte 2: a digit is missing",
		`+1`:                                "at byte 0: not a value",
		`"a`:                                "at byte 2: a string does not end",
		`"a\`:                               "at byte 3: a string does not end",
		`"\x"`:                              "at byte 3: unknown escape",
		`"\u12"`:                            "at byte 3: four hexadecimal digits are missing",
		`"\u+123"`:                          "at byte 3: four hexadecimal digits are missing",
		`"\ud800"`:                          "at byte 7: half of a surrogate pair",
		`"\udc00\ud800"`:                    "at byte 7: half of a surrogate pair",
		`"\ud800\u0041"`:                    "at byte 13: half of a surrogate pair",
		"\"\n\"":                            "at byte 1: control character in a string",
		"\"\\n\x01\"":                       "at byte 4: control character in a string",
		"\"\xff\"":                          "at byte 0: not UTF-8",
		`[1 2]`:                             "at byte 3: a comma or ] is missing",
		`[1,]`:                              "at byte 3: not a value",
		`[`:                                 "at byte 1: a value is missing",
		`{"a" 1}`:                           "at byte 5: a colon is missing",
		`{"a":1,}`:                          "at byte 7: a key is missing",
		`{a:1}`:                             "at byte 1: a key is missing",
		`{"a":1 "b":2}`:                     "at byte 7: a comma or } is missing",
		`{"a":1,"a":2}`:                     `at byte 13: key "a" is there twice`,
		manyKeys(20) + `,"k3":0}`:           `at byte 167: key "k3" is there twice`,
		strings.Repeat("[", 33):             "at byte 32: nested too deep",
		strings.Repeat(`{"a":`, 33) + "1":   "at byte 160: nested too deep",
		`{"a":{"b":1,"c":{"d":1,"d":2}}}`:   `at byte 29: key "d" is there twice`,
		strings.Repeat("[", 32) + "]" + "x": "at byte 33: a comma or ] is missing",
	} {
		_, err := readJSON(text)
		if err == nil || !errors.Is(err, errJSON) || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// manyKeys is an object of n members, not closed.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(",\"k" + string(rune('0'+i/10)) + string(rune('0'+i%10)) + `":1`)
	}
	return strings.ReplaceAll("{"+b.String()[1:], `"k03"`, `"k3"`)
}

func TestPathNamesNodes(t *testing.T) {
	d, err := readJSON(`{"params":{"tiers":[{},{"up_to":1,"per GB":[[7]]}]}}`)
	if err != nil {
		t.Fatal(err)
	}
	seven := int32(len(d.nodes) - 1)
	if got := string(d.appendPath([]byte("at"), seven, 0)); got != `at.params.tiers[1]["per GB"][0][0]` {
		t.Errorf("path %s", got)
	}
	if got := string(d.appendPath(nil, 0, 0)); got != "" {
		t.Errorf("path of the whole: %q", got)
	}
}

func TestAppendJSONString(t *testing.T) {
	for _, text := range []string{"", "plain", "\"\\\n\x00é😀", "bad\xffbyte"} {
		var got string
		if err := json.Unmarshal(appendJSONString(nil, text), &got); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got != strings.ToValidUTF8(text, "\uFFFD") {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// FuzzReadJSON: what this reader takes, encoding/json takes as the same value; and what it
// refuses beyond that, it refuses for one of the reasons given at its top.
func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{
		`{"tiers":[{"up_to":"10","unit_price":"0.1"},{"up_to":null}]}`, `"\ud83d\ude00\n"`, `[1e5,-0.1,true]`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := readJSON(string(text))
		if err != nil {
			stricter := !utf8.Valid(text) || strings.Contains(err.Error(), "twice") ||
				strings.Contains(err.Error(), "surrogate") || strings.Contains(err.Error(), "deep")
			if json.Valid(text) && !stricter {
				t.Fatalf("encoding/json takes %q: %v", text, err)
			}
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var want any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", text, err)
		}
		if got := encoded(t, d.plain(0)); got != encoded(t, want) {
			t.Fatalf("%q read as %s", text, got)
		}
	})
}
