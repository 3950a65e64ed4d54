package main

import (
	"bytes"
	"os"
	"testing"
)

// TestCommittedCasesAreCurrent makes the shared file again.
func TestCommittedCasesAreCurrent(t *testing.T) {
	var made bytes.Buffer
	if err := write(&made); err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("../decimals.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.Bytes(), committed) {
		t.Error("decimals.jsonl is not what this program writes: go run ./sdk/conformance/generate > sdk/conformance/decimals.jsonl")
	}
}

// TestTexts holds the writer and the reader of numbers against each other, and against what a person would write.
func TestTexts(t *testing.T) {
	for text, units := range map[string]string{
		"0": "0", "1": "1000000000000000000", "-0.5": "-500000000000000000", "1.25e-3": "1250000000000000",
		"170141183460469231731.687303715884105727": "170141183460469231731687303715884105727",
	} {
		if n, problem := read(text); problem != "" || n.String() != units {
			t.Errorf("%s is %v, %s", text, n, problem)
		}
	}
	for text, want := range map[string]string{"": "syntax", "1e": "syntax", "1e-19": "too_precise", "1e21": "overflow", "170141183460469231731.687303715884105728": "overflow"} {
		if n, problem := read(text); problem != want {
			t.Errorf("%s is %v, %s", text, n, problem)
		}
	}
	if got := fixed(least(), 2) + " " + fixed(power(10, 17), 2); got != "-170141183460469231731.687303715884105728 0.10" {
		t.Error(got)
	}
}
