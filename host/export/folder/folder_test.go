package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

// bill makes the invoices of n accounts, in order: some long, with two
// currencies, two zones, texts that look like formulas, and a rule's line.
func bill(t testing.TB, n int) []export.Invoice {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var out []export.Invoice
	for i := range n {
		zone := time.UTC
		if i%3 == 1 {
			zone = berlin
		}
		start := time.Date(2026, 10, 1, 0, 0, 0, 0, zone)
		head := export.Head{
			Account: billing.AccountID(fmt.Sprintf("acct %04d", i)), Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)}, Currency: "EUR",
			Seller: []byte(`{"address":{"city":"Köln"},"name":"Example Ltd"}`), AccountDetails: []byte(fmt.Sprintf(`{"name":"Customer %d"}`, i)),
		}
		if i%5 == 4 {
			head.Currency = "JPY"
		}
		var slots []export.Slot
		for g := range 1 + i%4*i%40 {
			slots = append(slots, export.Slot{
				Tariff: "api", Meter: "calls", Subscription: "main", Version: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Currency: head.Currency,
				Group: export.Group{{Key: "region", Text: fmt.Sprintf("=r%03d", g)}}, Rounding: billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp},
				Module: "sha256:00", Events: 1, Lines: []export.SlotLine{
					{ID: "tier_1", Description: "First\nthousand", Quantity: billing.Quantity(billing.DecimalFromInt(int64(i + 1))), Amount: amount(fmt.Sprintf("%d.%03d", i, g))},
					{ID: "flat_fee", Description: "+Fee", Amount: amount("1")},
				},
			})
		}
		draft, err := export.NewDraft(head, slots)
		if err == nil {
			err = draft.Add(export.Rule{
				Name: "loyalty", Rounding: billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}, Module: "sha256:01",
				Lines: []export.SlotLine{{ID: "discount", Description: "Discount", Amount: amount("-0.5")}},
			})
		}
		if err == nil && i%7 == 3 {
			september := billing.Period{Start: start.AddDate(0, -1, 0), End: start}
			err = draft.Adjust(export.Correction{
				Period: september, Events: []export.Cause{{Kind: "late", Source: "/shop", ID: "\"=1\"", Position: 7, Index: 2}}, More: 1,
			}, []export.Line{correction(september, export.InvoiceID(head.Account, september, head.Currency, 0))})
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, draft.Invoice())
	}
	return out
}

// correction is a line that corrects an invoice of a month.
func correction(month billing.Period, invoice string) export.Line {
	two, three := billing.Quantity(billing.DecimalFromInt(2)), billing.Quantity(billing.DecimalFromInt(3))
	return export.Line{
		Tariff: "api", Meter: "calls", Subscription: "main", Version: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ID: "tier_1", Description: "Late calls",
		Quantity: billing.Quantity(billing.DecimalFromInt(-1)), Amount: amount("-0.50"), AmountText: "-0.50", Unrounded: amount("-0.5"), Module: "sha256:00",
		Adjustment: &export.Adjustment{
			Invoice: invoice, Period: month, OldQuantity: three, NewQuantity: two, OldAmount: amount("3"), NewAmount: amount("2.5"),
		},
	}
}

func amount(s string) billing.Amount { return billing.Amount(billing.MustDecimal(s)) }

// lines are invoices as JSON Lines.
func lines(t testing.TB, invoices []export.Invoice) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := export.WriteJSONL(&b, invoices); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// engineOf gives what documents hold.
func engineOf(documents []byte) Engine {
	return func(fn func([]byte) error) error { return eachLine(bytes.NewReader(documents), fn) }
}

// made exports documents to a folder in one go.
func made(t testing.TB, dir string, r Request, documents []byte) *Manifest {
	t.Helper()
	e, err := Begin(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Last(documents, "end", nil); err != nil {
		t.Fatal(err)
	}
	m, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// contents are the files of a folder by name.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func request(format string) Request {
	return Request{Period: "2026-10", Format: format, Provider: "Example Ltd"}
}

// problems are what Verify and Compare find.
func problems(t testing.TB, dir string, documents []byte) []string {
	t.Helper()
	var found []string
	report := func(p string) { found = append(found, p) }
	m, err := Verify(dir, report)
	if err == nil && documents != nil {
		err = Compare(dir, m, engineOf(documents), 20, report)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestCutAnywhere cuts what an export has written so far at random places, as a
// crash does, and goes on from the cursor that is left, again and again: the
// folder is the same to the byte.
func TestCutAnywhere(t *testing.T) {
	documents := lines(t, bill(t, 60))
	for _, format := range Formats() {
		whole := t.TempDir() + "/whole"
		made(t, whole, request(format), documents)
		want := contents(t, whole)
		if found := problems(t, whole, documents); len(found) > 0 {
			t.Errorf("%s: %q", format, found)
		}
		random := rand.New(rand.NewPCG(3, 4))
		for round := range 10 {
			dir := fmt.Sprint(t.TempDir(), "/", round)
			cutAndGoOn(t, dir, request(format), documents, random)
			if got := contents(t, dir); !sameFiles(got, want) {
				t.Fatalf("%s, round %d: other bytes", format, round)
			}
		}
	}
}

func sameFiles(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, text := range a {
		if b[name] != text {
			return false
		}
	}
	return true
}

// cutAndGoOn exports documents in chunks of any size; the cursor is the number of
// bytes sent.
func cutAndGoOn(t *testing.T, dir string, r Request, documents []byte, random *rand.Rand) {
	t.Helper()
	for cuts := 0; ; {
		e, err := Begin(dir, r)
		if err != nil {
			t.Fatal(err)
		}
		var at int
		if c := e.Cursor(); c != "" {
			if _, err := fmt.Sscan(c, &at); err != nil {
				t.Fatal(err)
			}
		}
		if int64(at) != e.Bytes() {
			t.Fatalf("the cursor is %d, there are %d bytes", at, e.Bytes())
		}
		for range random.IntN(6) {
			if e.Complete() {
				break
			}
			n := min(random.IntN(5000), len(documents)-at)
			chunk := documents[at : at+n]
			if at += n; at == len(documents) {
				err = e.Last(chunk, fmt.Sprint(at), nil)
			} else {
				err = e.Append(chunk, fmt.Sprint(at))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if e.Complete() {
			if _, err := e.Finish(); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if cuts++; cuts < 30 {
			cutFile(t, filepath.Join(dir, unfinished, "spool.jsonl"), random)
			cutFile(t, filepath.Join(dir, unfinished, "journal.jsonl"), random)
		}
	}
}

// cutFile shortens a file a little, or turns what was its end into zeros, as
// power cuts do.
func cutFile(t *testing.T, path string, random *rand.Rand) {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return // nothing had come
	}
	if err != nil {
		t.Fatal(err)
	}
	lost := min(random.IntN(400), len(b))
	switch random.IntN(3) {
	case 0:
		b = b[:len(b)-lost]
	case 1:
		clear(b[len(b)-lost:])
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCutWhileFinishing leaves a folder with some of its files in place and no
// manifest: it is not finished, and goes on.
func TestCutWhileFinishing(t *testing.T) {
	documents := lines(t, bill(t, 9))
	dir := t.TempDir() + "/x"
	e, err := Begin(dir, request("csv"))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Last(documents, "end", nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lines.csv"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadManifest(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the manifest: %v", err)
	}
	if e, err = Begin(dir, request("csv")); err != nil || !e.Complete() {
		t.Fatalf("%v, %v", e, err)
	}
	if _, err := e.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if found := problems(t, dir, documents); len(found) > 0 {
		t.Errorf("%q", found)
	}
}

func TestBeginRefuses(t *testing.T) {
	dir := t.TempDir() + "/x"
	e, err := Begin(dir, request("csv"))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Append([]byte("{"), "1"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(dir, request("jsonl")); !errors.Is(err, ErrOtherRequest) {
		t.Errorf("another request: %v", err)
	}
	if _, err := Begin(t.TempDir(), request("xml")); err == nil {
		t.Error("an unknown format is taken")
	}
	foreign := t.TempDir()
	if err := os.WriteFile(foreign+"/a", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(foreign, request("csv")); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a folder of somebody else's: %v", err)
	}
	finished := t.TempDir() + "/x"
	made(t, finished, request("csv"), lines(t, bill(t, 1)))
	if _, err := Begin(finished, request("csv")); !errors.Is(err, ErrFinished) {
		t.Errorf("a finished one: %v", err)
	}
	// Nothing came: nothing is left.
	empty := t.TempDir() + "/x"
	if e, err = Begin(empty, request("csv")); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(empty); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder is left: %v", err)
	}
}

// TestFinishRefuses: a spool that is no whole export never becomes a folder.
func TestFinishRefuses(t *testing.T) {
	invoices := bill(t, 3)
	document := lines(t, invoices[:1])
	wrongSum := bytes.Replace(document, []byte(`"total":"`), []byte(`"total":"9`), 1)
	for name, documents := range map[string][]byte{
		"cut": document[:len(document)-2], "twice": append(slices.Clone(document), document...),
		"order": append(lines(t, invoices[1:2]), document...), "sum": wrongSum, "garbage": []byte("garbage\n"),
	} {
		e, err := Begin(t.TempDir()+"/x", request("csv"))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Last(documents, "end", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Finish(); err == nil {
			t.Errorf("%s: it was finished", name)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyFinds damages a folder in all kinds of ways: each is found, and said.
func TestVerifyFinds(t *testing.T) {
	invoices := bill(t, 12)
	documents := lines(t, invoices)
	replace := func(from, to string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, from) {
				t.Fatalf("there is no %q", from)
			}
			return strings.Replace(text, from, to, 1)
		}
	}
	for _, c := range []struct {
		format, file string
		change       func(string) string
		want         []string
	}{
		{"csv", "lines.csv", replace("=r000", "=r001"), []string{"lines.csv has", `, line 1: group is`}},
		{"csv", "lines.csv", replace(",1.00,1,", ",2.00,1,"), []string{"in EUR the files come to", `amount is "2.00" in the folder, "1.00" in the engine`}},
		{"csv", "lines.csv", replace(",EUR,", ",USD,"), []string{"has a line in USD"}},
		{"csv", "lines.csv", replace("quantity", "qty"), []string{"the columns are"}},
		{"csv", "lines.csv", replace("acct=200003.", "acct=200004."), []string{"acct=200003.2026-10-01.EUR.0 stands behind"}},
		{"jsonl", "invoices.jsonl", replace(`"amount":"1.00"`, `"amount":"1.01"`), []string{"invoices.jsonl has", `amount is "1.01" in the folder`}},
		{"jsonl", "invoices.jsonl", replace(`"description":"Discount"`, `"description":"Present"`), []string{`description is "Present" in the folder, "Discount" in the engine`}},
		{"jsonl", ManifestName, replace(`"lines": `, `"lines": 1`), []string{"manifest.json says 12 invoices", "the files hold 12 invoices with"}},
		{"jsonl", ManifestName, replace(`"documents_sha256": "`, `"documents_sha256": "0`), []string{"documents_sha256 is not", "the engine's invoices have"}},
		{"parquet", "lines.parquet", func(text string) string { return text[:len(text)-1] + "X" }, []string{"lines.parquet has", "parquet: "}},
		{"focus", "focus.csv", replace(",Usage,", ",Use,"), []string{`ChargeCategory is "Use", not one of`, `ChargeCategory is "Use" in the folder, "Usage" in the engine`}},
		{"focus", "focus_metadata.json", replace("1.2", "1.3"), []string{"focus_metadata.json has"}},
		{"csv", ManifestName, replace(`"name": "lines.csv"`, `"name": "../lines.csv"`), []string{"which cannot be"}},
		{"csv", "lines.csv", replace(",acct=200003.2026-09-01.EUR.0,2026-09-01,3,2,3,2.5", ",acct=200003.2026-09-01.EUR.0,2026-09-01,3,2,3,2.4"), []string{`new_amount is "2.4" in the folder, "2.5" in the engine`}},
		{"csv", "lines.csv", replace(`""kind"":""late""`, `""kind"":""void""`), []string{"adjustment_events is", `\"kind\":\"late\"`}},
		{"focus", "focus.csv", replace(`""kind"":""late""`, `""kind"":""void""`), []string{"x_AdjustmentEvents is", `\"kind\":\"late\"`}},
		{"csv", "extra.csv", func(string) string { return "x" }, []string{"extra.csv is not in manifest.json"}},
	} {
		dir := t.TempDir() + "/x"
		made(t, dir, request(c.format), documents)
		path := filepath.Join(dir, c.file)
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.change(string(b))), 0o600); err != nil {
			t.Fatal(err)
		}
		found := strings.Join(problems(t, dir, documents), "\n")
		for _, want := range c.want {
			if !strings.Contains(found, want) {
				t.Errorf("%s %s: %q is not in\n%s", c.format, c.file, want, found)
			}
		}
	}
	dir := t.TempDir() + "/x"
	made(t, dir, request("csv"), documents)
	if err := os.Remove(filepath.Join(dir, "lines.csv")); err != nil {
		t.Fatal(err)
	}
	var found []string
	if _, err := Verify(dir, func(p string) { found = append(found, p) }); err != nil || !slices.Contains(found, "lines.csv is missing") {
		t.Errorf("%v, %q", err, found)
	}
}

// TestCompareFinds compares a whole folder with an engine that has something else.
func TestCompareFinds(t *testing.T) {
	invoices := bill(t, 12)
	dir := t.TempDir() + "/x"
	made(t, dir, request("csv"), lines(t, invoices[1:]))
	found := strings.Join(problems(t, dir, lines(t, invoices[:11])), "\n")
	for _, want := range []string{
		"acct=200000.2026-10-01.EUR.0 is in the engine, not in the folder",
		"acct=200011.2026-10-01.EUR.0 is in the folder, not in the engine", "lines.csv has",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not in\n%s", want, found)
		}
	}
}

// TestSumsAgree draws invoices: the manifest's sums are those of the invoices'
// totals and of the lines, and a folder of any format agrees with itself.
func TestSumsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		month := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
		tally := export.NewTally()
		want := map[billing.Currency]billing.Amount{}
		lines := 0
		for i := range rapid.IntRange(0, 8).Draw(t, "invoices") {
			currency := rapid.SampledFrom([]billing.Currency{"EUR", "JPY"}).Draw(t, "currency")
			scale := rapid.IntRange(0, 6).Draw(t, "scale")
			slot := export.Slot{Tariff: "t", Currency: currency, Events: 1, Rounding: billing.Rounding{Scale: scale, Mode: billing.RoundHalfEven}}
			for j := range rapid.IntRange(1, 5).Draw(t, "lines") {
				cents := billing.DecimalFromInt(rapid.Int64Range(-1e12, 1e12).Draw(t, "amount"))
				value, err := cents.Quo(billing.DecimalFromInt(1e7), billing.Rounding{Scale: 18, Mode: billing.RoundFloor})
				if err != nil {
					t.Fatal(err)
				}
				slot.Lines = append(slot.Lines, export.SlotLine{ID: fmt.Sprint(j), Amount: billing.Amount(value), Quantity: billing.Quantity(billing.DecimalFromInt(1))})
			}
			inv, err := export.NewInvoice(export.Head{
				Account: billing.AccountID(fmt.Sprint("a", i)), Period: billing.Period{Start: month, End: month.AddDate(0, 1, 0)}, Currency: currency,
			}, []export.Slot{slot})
			if err == nil {
				err = tally.Add(&inv)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range inv.Lines {
				if want[currency], err = want[currency].Add(l.Amount); err != nil {
					t.Fatal(err)
				}
				lines++
			}
		}
		s := tally.Summary()
		if s.Lines != uint64(lines) || len(s.Totals) != len(want) {
			t.Fatalf("got %+v", s)
		}
		for _, total := range s.Totals {
			if got, err := billing.ParseAmount(total.Amount); err != nil || got != want[total.Currency] {
				t.Errorf("%s: got %s, want %s", total.Currency, total.Amount, want[total.Currency])
			}
		}
	})
}

func TestEachLine(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	for text, want := range map[string]int{"": 0, "a\n": 1, "a\n\nb\n": 3, long + "\nb\n": 2, long + "\n" + long + "\n": 2} {
		n, size := 0, 0
		err := eachLine(strings.NewReader(text), func(line []byte) error {
			n++
			size += len(line) + 1
			return nil
		})
		if err != nil || n != want || size != len(text) {
			t.Errorf("%d bytes: %d lines of %d, %v", len(text), n, size, err)
		}
	}
	if err := eachLine(strings.NewReader("a\nb"), func([]byte) error { return nil }); err == nil {
		t.Error("a line without an end is taken")
	}
	if err := eachLine(strings.NewReader("a\n"), func([]byte) error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("the error of the function: %v", err)
	}
}
