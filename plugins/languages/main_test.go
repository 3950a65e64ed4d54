package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
)

func TestTable(t *testing.T) {
	met := &row{guest: guests[0], bytes: 2_000_001, fuel: 700, result: result{[2]figure{{120_000, 1950}, {130_000, 2100}}}}
	missed := &row{guest: guests[1], result: result{[2]figure{{31_000, 610}, {12_000, 200}}}}
	absent := &row{guest: guests[2], skipped: errors.New("needs clang")}
	for _, markdown := range []bool{false, true} {
		var out bytes.Buffer
		o := &options{markdown: markdown}
		if err := o.print(&out, []*row{met, missed, absent}, result{[2]figure{{6_120, 100}, {7_000, 100}}}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"110 ns or 20 x: met", "30 ns or 6 x: missed", "c is skipped: needs clang", "2001 kB", "6.1 ", " 20 "} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("markdown %v: no %q in\n%s", markdown, want, &out)
			}
		}
	}
}

func TestCommandLine(t *testing.T) {
	var out bytes.Buffer
	for _, arguments := range [][]string{{"cobol"}, {"-rounds", "0"}, {"-fast"}} {
		if code := compare(t.Context(), arguments, &out, &out); code != 2 {
			t.Errorf("%v: exit code %d", arguments, code)
		}
	}
}

// TestGoAgreesWithPlainGo measures one round of the Go tariff: what it comes to is checked there.
func TestGoAgreesWithPlainGo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a plugin")
	}

	wasm, err := build.Folder(t.Context(), "../../"+guests[0].folder)
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := plugins.NewRuntime(t.Context(), plugins.Config{})
	if err != nil {
		t.Fatal(err)
	}
	module, err := runtime.Load(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	r := &row{guest: guests[0]}
	for k, perSlot := range eventsPerSlot {
		if r.benches[k], err = newBench(t.Context(), module, batchEvents/perSlot); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := measure(t.Context(), []*row{r}, 1); err != nil {
		t.Fatal(err)
	}
	r.benches[0].batch.Slots[0].Lines[16]++ // one unit too much on the amount of a line
	if err := r.check(0, newNative(batchEvents/eventsPerSlot[0])); err == nil {
		t.Error("a wrong amount is not found")
	}
	if err := runtime.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
