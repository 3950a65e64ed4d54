package export

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/sdk/billing"
)

// odd is an invoice with all that a reader may stumble over, but corrections.
func odd(t testing.TB) Invoice {
	t.Helper()
	all := slots()
	all[0].Lines[0].Description = "tab\t \"quoted\" \\ <&> \u2028 ü 😀 \x01 \u007f"
	all[1].Group = Group{{Key: "a\"b", Text: "\\"}, {Key: "region", Text: "ü"}, {Key: "z", Text: ""}}
	h := head(t)
	h.AccountDetails = json.RawMessage(`{"a":{"b":["}",{"c":"\"}"}]},"name":"\\"}`)
	h.Seller = nil
	d, err := NewDraft(h, all)
	if err == nil {
		err = d.Add(Rule{Name: "off", Rounding: cents, Module: "sha256:bb", Lines: []SlotLine{{ID: "off", Amount: amount("-0.125"), Quantity: quantity("1")}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.Invoice()
}

// sameDecoded holds the reader of canonical documents against encoding/json: what the
// one reads, the other reads alike.
func sameDecoded(t testing.TB, document []byte) (read bool) {
	t.Helper()
	c := canonical{text: string(document)}
	got, ok := c.invoice()
	want, err := decodeAny(document)
	switch {
	case !ok:
		return false
	case err != nil:
		t.Fatalf("read without an error, which should be: %v\n%s", err, document)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("read in another way (-encoding/json +ours):\n%s\n%s", diff, document)
	}
	first, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	second, err := got.Encode()
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("encoded in another way: %v\n%s\n%s", err, first, second)
	}
	return true
}

// TestDecodeCanonical: what this program writes is read by the fast way, to the same
// invoice.
func TestDecodeCanonical(t *testing.T) {
	empty := odd(t)
	empty.Lines, empty.Total, empty.TotalText = nil, billing.Amount{}, "0"
	plain, err := NewInvoice(head(t), slots())
	if err != nil {
		t.Fatal(err)
	}
	for name, inv := range map[string]Invoice{"odd": odd(t), "empty": empty, "plain": plain} {
		document, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !sameDecoded(t, document) {
			t.Errorf("%s: left to encoding/json", name)
		}
		begins := Invoice{ID: inv.ID, Account: inv.Account, Period: inv.Period, Currency: inv.Currency}
		c := canonical{text: string(document[:min(len(document), headBytes)])}
		if got, ok := c.head(); !ok || got.Period.ID() != begins.Period.ID() || got.ID != begins.ID || got.Account != begins.Account || got.Currency != begins.Currency {
			t.Errorf("%s: it begins with %+v, %t", name, got, ok)
		}
	}
}

// TestDecodeHead: the beginning of a document is read also where it is a long one, or in
// another form.
func TestDecodeHead(t *testing.T) {
	inv := odd(t)
	inv.Account = billing.AccountID(strings.Repeat("long ", headBytes/4))
	document, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, document, "", " "); err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{document, indented.Bytes()} {
		if got, err := DecodeHead(text); err != nil || got.ID != inv.ID || got.Account != inv.Account || got.Currency != inv.Currency || got.Period.ID() != inv.Period.ID() {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if _, err := DecodeHead(document[:len(document)/2]); err == nil {
		t.Error("half a document is read")
	}
}

// TestDecodeOtherForms: what is the same in JSON and not to the byte is read all the
// same, by encoding/json, and so is an invoice that adjusts.
func TestDecodeOtherForms(t *testing.T) {
	inv := odd(t)
	document, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, document, "", " "); err != nil {
		t.Fatal(err)
	}
	adjusting := inv
	adjusting.Lines = append(adjusting.Lines[:len(adjusting.Lines):len(adjusting.Lines)], Line{
		Tariff: "t", ID: "l", AmountText: "0",
		Adjustment: &Adjustment{Invoice: "x", Period: inv.Period, OldAmount: amount("1"), NewAmount: amount("1")},
	})
	adjusting.Corrections = []Correction{{Period: inv.Period, Events: []Cause{{Kind: "late", ID: "1"}}, More: 2}}
	other, err := adjusting.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{
		indented.Bytes(), append(document[:len(document):len(document)], '\n'), other,
		bytes.Replace(document, []byte(`"seller":null}`), []byte(`"seller":null,"later":1}`), 1),
	} {
		if sameDecoded(t, text) {
			t.Errorf("it is not canonical, and read as if it were: %s", text)
		}
		if _, err := DecodeInvoice(text); err != nil {
			t.Errorf("%v: %s", err, text)
		}
	}
	back, err := DecodeInvoice(other)
	if err != nil || back.Lines[len(back.Lines)-1].Adjustment == nil || len(back.Corrections) != 1 || back.Corrections[0].More != 2 {
		t.Errorf("an adjusting one: %+v, %v", back, err)
	}
}

// FuzzDecodeCanonical changes documents in any way.
func FuzzDecodeCanonical(f *testing.F) {
	golden, err := os.ReadFile("testdata/invoice.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimSpace(golden))
	inv := odd(f)
	document, err := inv.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(document)
	for _, change := range [][2]string{
		{`"id"`, `"ID"`},
		{"\"\\\"", `"`},
		{"2026", "026"},
		{`"0"`, `"1e-3"`},
		{"ü", "\xff"},
		{`"group":{`, `"group":{"z":"1",`},
		{"null", "1"},
		{"null", `"x"`},
		{`"period":{"id":"2`, `"period":{"id":"1`},
	} {
		f.Add([]byte(strings.Replace(string(document), change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, document []byte) { sameDecoded(t, document) })
}

func BenchmarkDecodeInvoice(b *testing.B) {
	all := slots()[:1]
	for i := range 9 {
		s := all[0]
		s.Version = s.Version.Add(time.Duration(i+1) * time.Hour)
		all = append(all, s)
	}
	inv, err := NewInvoice(head(b), all)
	if err != nil {
		b.Fatal(err)
	}
	document, err := inv.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(document)))
	for b.Loop() {
		if _, err := DecodeInvoice(document); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(inv.Lines)), "lines")
}

// A Decoder gives what DecodeInvoice does, whatever it has read before.
func TestDecoder(t *testing.T) {
	inv := odd(t)
	first, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := NewInvoice(head(t), slots())
	if err != nil {
		t.Fatal(err)
	}
	second, err := plain.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, first, "", " "); err != nil {
		t.Fatal(err)
	}
	documents := [][]byte{first, second, indented.Bytes(), []byte("no invoice"), second, first[:len(first)/2], first}
	var d Decoder
	for range 3 {
		d.Reset()
		var read []Invoice // all of them stand until Reset
		var want []Invoice
		for _, document := range documents {
			got, gotErr := d.Decode(document)
			alone, aloneErr := DecodeInvoice(document)
			if (gotErr == nil) != (aloneErr == nil) {
				t.Errorf("%s: %v, alone %v", document, gotErr, aloneErr)
			}
			read, want = append(read, got), append(want, alone)
		}
		if diff := cmp.Diff(want, read); diff != "" {
			t.Errorf("read in another way (-alone +here):\n%s", diff)
		}
	}
	plain.Lines = slices.Repeat(plain.Lines[len(plain.Lines)-1:], 400)
	long, err := plain.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const most = 50 // for what an invoice has beside its lines, and what the race detector adds
	if n := testing.AllocsPerRun(20, func() {
		d.Reset()
		if _, err := d.Decode(long); err != nil {
			t.Error(err)
		}
	}); n > most {
		t.Errorf("%v allocations for an invoice of %d lines, at most %d are meant", n, len(plain.Lines), most)
	}
}

// Cells without the text of numbers and times are the same otherwise.
func TestTypedCells(t *testing.T) {
	inv := odd(t)
	var whole [][]Cell
	if err := NewRows().Each(&inv, func(_ *Line, cells []Cell) error {
		whole = append(whole, slices.Clone(cells))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rows := NewRows()
	i := 0
	if err := rows.Typed(&inv, func(_ *Line, cells []Cell) error {
		for j, c := range cells {
			column := rows.Columns()[j]
			w := whole[i][j]
			if c.Number != w.Number || !c.Time.Equal(w.Time) || c.Missing != w.Missing || column.Kind == KindText && c.Text != w.Text {
				t.Errorf("line %d, %s: %+v, and with its text %+v", i, column.Name, c, w)
			}
		}
		i++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
