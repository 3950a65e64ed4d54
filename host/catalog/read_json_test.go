package catalog

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReadJSON(t *testing.T) {
	for text, want := range map[string]string{
		`"a\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00"`:          "\"a\\\"\\\\/\\u0008\\u000c\\n\\r\\tü😀\"",
		" {\"b\" : [ 1.50 , -0, 1E2 ] , \"a\" : { } }\n": `{"a":{},"b":[1.5,0,100]}`,
		`[]`: `[]`, `null`: `null`, `false`: `false`, `""`: `""`, `0.000000000000000001`: `0.000000000000000001`,
	} {
		n, err := readJSONNode([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := string(n.canonical(nil, nil, func(_ *node, _ *path, m string) { t.Error(m) })); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		``: "end comes too early", `{`: "end comes too early", `[1,`: "end comes too early", `"a`: "end comes too early", `"\`: "end comes too early", `"\u12`: "end comes too early",
		`[1 2]`: `'2' where ','`, `{"a" 1}`: `'1' where ':'`, `{a: 1}`: `'a' where '"'`, `[1,]`: `']' where a value`, `{"a":1,}`: `'}' where '"'`,
		`01`: `"01" where a value`, `nul`: `"nul" where`, `+1`: `"+1" where`, `.5`: `".5" where`, `NaN`: `"NaN" where`,
		"\"a\nb\"": "control character", `"\x"`: "unknown escape", `"\u00zz"`: "unknown escape", "\"\\n\n\"": "control character",
		`"\ud83d"`: "surrogate", `"\ud83dx"`: "surrogate", `"\ud83d\u0041"`: "surrogate", `"\ude00"`: "surrogate",
		`1 2`: "nothing after it", "1\x00": "nothing after it", "\"\xff\"": "UTF-8", `{"a":1,"a":2}`: "a: is given twice",
		strings.Repeat("[", 100): "nested more than",
	} {
		if _, err := readJSONNode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzReadJSON reads what encoding/json reads, as the same value.
func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,-2.5e3,"\u00fc\ud83d\ude00",{"b":null,"c":true}],"":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := readJSONNode(data)
		if err != nil {
			text := err.Error()
			if json.Valid(data) && utf8.Valid(data) && !strings.Contains(text, "surrogate") && !strings.Contains(text, "twice") && !strings.Contains(text, "nested") {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatalf("%q was read", data)
		}
		clean := true
		once := n.canonical(nil, nil, func(*node, *path, string) { clean = false })
		if !clean {
			return
		}
		again, err := readJSONNode(once)
		if err != nil {
			t.Fatal(err)
		}
		if twice := again.canonical(nil, nil, func(_ *node, _ *path, m string) { t.Fatal(m) }); string(once) != string(twice) {
			t.Fatalf("%q becomes %q", once, twice)
		}
		var a, b any
		if err := json.Unmarshal(data, &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(once, &b); err != nil {
			t.Fatal(err)
		}
	})
}
