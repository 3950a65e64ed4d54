package export

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"unicode"
)

// FuzzSafeText writes any text as a cell and reads it back: no spreadsheet takes it
// for a formula, and the apostrophe comes off again.
func FuzzSafeText(f *testing.F) {
	for _, text := range []string{"", "a", "=1+1", "'=1", "''", " \u00a0@x", "\t", "\r", "\n-", "-5", "\ufeff=1", "＝1", "\u200b+", "a\"b,c\nd", `\.`, " x", "\u00a0x", "a\rb", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		safe := SafeText(text)
		if got := PlainText(safe); got != text {
			t.Fatalf("%q becomes %q and then %q", text, safe, got)
		}
		begins := strings.TrimLeftFunc(safe, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' })
		for _, formula := range []string{"=", "+", "-", "@", "＝", "＋", "－", "＠"} {
			if strings.HasPrefix(begins, formula) {
				t.Fatalf("%q becomes %q, which a spreadsheet may run", text, safe)
			}
		}
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		if err := w.Write([]string{"id", safe}); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		if ours := string(append(appendCell([]byte("id,"), safe), '\n')); ours != b.String() {
			t.Fatalf("%q is written as %q, encoding/csv writes %q", safe, ours, b.String())
		}
		row, err := csv.NewReader(&b).Read()
		if err != nil {
			t.Fatal(err)
		}
		// The reader makes one newline of the two characters, as spreadsheets do.
		if want := strings.ReplaceAll(safe, "\r\n", "\n"); row[1] != want {
			t.Fatalf("%q is read as %q", want, row[1])
		}
	})
}
