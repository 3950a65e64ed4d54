package trial

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Table is what a report prints: the same one on a terminal and in Markdown.
type Table struct {
	Title   string
	Columns []string // the first one is text, the others are numbers
	Rows    [][]string
	Note    string // below it; may be empty
}

// add adds a row.
func (t *Table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// WriteText writes tables for a terminal.
func WriteText(w io.Writer, tables []Table) error {
	var b strings.Builder
	for i, t := range tables {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(t.Title + "\n")
		t.text(&b)
		if t.Note != "" {
			b.WriteString(t.Note + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) text(b *strings.Builder) {
	rows := slices.Concat([][]string{t.Columns}, t.Rows)
	widths := make([]int, len(t.Columns))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
}

// markdown writes tables as Markdown.
func markdown(tables []Table) string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "\n**%s**\n\n", t.Title)
		b.WriteString("| " + strings.Join(t.Columns, " | ") + " |\n|---|" + strings.Repeat("---:|", len(t.Columns)-1) + "\n")
		for _, row := range t.Rows {
			b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		}
		if t.Note != "" {
			b.WriteString("\n" + t.Note + "\n")
		}
	}
	return b.String()
}

// thousands writes a number with commas.
func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// orDash writes a number, and a dash for one that was not measured.
func orDash(n int64) string {
	if n == 0 {
		return "–"
	}
	return thousands(n)
}

// mebibytes writes a size in MiB.
func mebibytes(n int64) string { return orDash(n >> 20) }

// millis writes a time in milliseconds with two places.
func millis(d time.Duration) string {
	return fmt.Sprintf("%d.%02d", d/time.Millisecond, d%time.Millisecond/(10*time.Microsecond))
}

// String names the machine in a line.
func (m Machine) String() string {
	memory := ""
	if m.Memory > 0 {
		memory = fmt.Sprintf(", %d GiB", (m.Memory+1<<29)>>30)
	}
	return fmt.Sprintf("%s, %d cores%s, %s, %s, %s", m.CPU, m.Cores, memory, m.Platform, m.Go, m.Date)
}
