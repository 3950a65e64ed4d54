package oracle

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What is compared with the engine is worth as much as it is easy to see through: the
// rater has at most 300 lines of code, without blank lines and comments. The other files
// read, look up and compare, and say so.
func TestRaterIsSmall(t *testing.T) {
	const most = 300
	rater := []string{"price.go", "rate.go"}
	beside := []string{"catalog.go", "doc.go", "lines.go", "log.go", "lookup.go", "params.go"}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, file := range files {
		switch {
		case strings.HasSuffix(file, "_test.go"), slices.Contains(beside, file):
		case slices.Contains(rater, file):
			lines += codeLines(t, file)
		default:
			t.Errorf("%s is neither among the files of the rater nor among those beside it", file)
		}
	}
	if lines == 0 || lines > most {
		t.Errorf("the rater has %d lines of code, at most %d are allowed", lines, most)
	}
}

// codeLines counts the lines of a file that are neither blank nor a comment.
func codeLines(t *testing.T, file string) (lines int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	return lines
}
