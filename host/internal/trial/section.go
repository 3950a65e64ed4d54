package trial

import (
	"fmt"
	"os"
	"strings"
)

// WriteSection writes tables into a Markdown file, in place of what stands
// between the lines
//
//	<!-- begin bench NAME -->
//	<!-- end bench NAME -->
func WriteSection(file, name string, tables []Table) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	written, err := replaceSection(string(text), name, markdown(tables))
	if err != nil {
		return fmt.Errorf("bench: %s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(written), 0o644); err != nil { //nolint:gosec // a page is for everybody
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

func replaceSection(text, name, section string) (string, error) {
	begin, end := "<!-- begin bench "+name+" -->\n", "<!-- end bench "+name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("there is no section between %q and %q", strings.TrimSpace(begin), end)
	}
	return before + begin + section + "\n" + end + after, nil
}
