package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// commandLine is a line of a page that a reader types.
var commandLine = regexp.MustCompile(`(?m)^(?:    )?(?:\.build/)?tollway ([a-z].*)$`)

// TestCommandsOfTheDocs: each command line in the documentation is one that the program
// understands. Most are run as well, by the scripts that name their page; what needs a
// lost disk, a second machine or a browser is only read.
func TestCommandsOfTheDocs(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, page := range append(pages, "../../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range commandLine.FindAllStringSubmatch(string(text), -1) {
			line := m[1]
			for _, end := range []string{" #", " | ", " > ", " && ", " & "} {
				line, _, _ = strings.Cut(line, end)
			}
			lines++
			if err := parses(t, line); err != nil {
				t.Errorf("%s: tollway %s: %v", filepath.Base(page), line, err)
			}
		}
	}
	if lines < 50 {
		t.Errorf("only %d command lines were found", lines)
	}
	if parses(t, "subtotals get emma --no-such-flag") == nil || parses(t, "subtotal get emma") == nil {
		t.Error("what is no command is taken")
	}
}

// parses parses a command line as a shell hands it over. Files that are not here are
// no fault of the line.
func parses(t *testing.T, line string) error {
	t.Helper()
	words, err := exec.Command("sh", "-c", "printf '%s\\n' "+line).Output()
	if err != nil {
		return err
	}
	parser, err := newParser(t.Context(), streams{strings.NewReader(""), io.Discard, io.Discard}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(strings.Split(strings.TrimSuffix(string(words), "\n"), "\n"))
	if err != nil && strings.Contains(err.Error(), "no such file or directory") {
		return nil
	}
	return err
}
