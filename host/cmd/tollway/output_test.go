package main

import (
	"bytes"
	"strings"
	"testing"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// TestTable: columns line up for people whatever the letters are, numbers stand to
// the right, and what producers wrote moves no cursor and begins no line.
func TestTable(t *testing.T) {
	g := columns("account", ">so_far", "state")
	g.add("emma", "9.00", "open")
	g.add("日本", "1200.50", none)
	g.add("evil\x1b[2J\nx", "-3.00", "-")
	var out bytes.Buffer
	if err := g.print(&out, "table"); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"ACCOUNT          SO FAR  STATE\n" +
		"emma               9.00  open\n" +
		"日本            1200.50  -\n" +
		`evil\x1b[2J\nx    -3.00  -` + "\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

// TestTableAsCSV: a cell without a value is empty, and a text that a spreadsheet
// would run has an apostrophe in front, as in an export.
func TestTableAsCSV(t *testing.T) {
	g := columns("account", ">so_far", "state").orSay("nothing")
	var out bytes.Buffer
	if err := g.print(&out, "csv"); err != nil {
		t.Fatal(err)
	}
	g.add("-", "-3.00", none)
	g.add("'a", none, "=1+1")
	if err := g.print(&out, "csv"); err != nil {
		t.Fatal(err)
	}
	if want := "account,so_far,state\naccount,so_far,state\n'-,-3.00,\n''a,,'=1+1\n"; out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

// TestTableOfNothing: where there is nothing, people read why.
func TestTableOfNothing(t *testing.T) {
	var out bytes.Buffer
	g := columns("account").orSay("%s", noUsage("emm", subtotalFlags{Period: "2026-10", Currency: "EUR"}))
	if err := g.print(&out, "table"); err != nil {
		t.Fatal(err)
	}
	if want := `no usage is priced of account "emm", period 2026-10, currency EUR: `; !strings.HasPrefix(out.String(), want) {
		t.Errorf("printed %s, want %s…", out.String(), want)
	}
}

// TestRollingTable: what comes later stands below what came first.
func TestRollingTable(t *testing.T) {
	r := &rolling{columns: []column{{}, {right: true}, {}}}
	var out bytes.Buffer
	for _, row := range [][]string{{"emma", "10.00", "EUR"}, {"al", "9.00", "EUR"}} {
		r.add(row...)
		if err := r.print(&out); err != nil {
			t.Fatal(err)
		}
	}
	if want := "emma  10.00  EUR\nal     9.00  EUR\n"; out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

// TestJSONHasAllMembers: a member that is zero is there, as over HTTP, and the same
// answer is the same bytes.
func TestJSONHasAllMembers(t *testing.T) {
	var out bytes.Buffer
	answer := &tollwayv1.SubtotalServiceGetResponse{Account: "emma", Subtotals: []*tollwayv1.Subtotal{}}
	if err := printJSON(&out, answer); err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{`"final": false`, `"subtotals": []`, `"account": "emma"`} {
		if !strings.Contains(out.String(), member) {
			t.Errorf("%s is not in\n%s", member, out.String())
		}
	}
}

// TestCounted: one is one.
func TestCounted(t *testing.T) {
	for n, want := range []string{"0 events were", "1 event was", "2 events were"} {
		if got := countedWere(n, "event"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestDifferenceText: what is billed less has no sign that says more.
func TestDifferenceText(t *testing.T) {
	text := differenceText(nil, nil, []*tollwayv1.BackfillTotal{
		{Currency: "EUR", Difference: "-0.60", Old: "1.00", New: "0.40"}, {Currency: "JPY", Difference: "5", Old: "0", New: "5"},
	})
	if want := "0.60 EUR would be billed less: 0.40 instead of 1.00\n5 JPY would be billed more: 5 instead of 0\n"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
}
