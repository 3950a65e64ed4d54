package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/tollway/tollway/host/export"
)

// outputFlags choose how a command prints what it found.
type outputFlags struct {
	Output string `short:"o" enum:"table,json,csv" default:"table" help:"How to print: table, json or csv."`
}

// followFlags choose how a command prints what it goes on to find.
type followFlags struct {
	Output string `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
}

// column is one column of a table.
type column struct {
	name  string
	right bool // numbers stand to the right
}

// none is a cell that has no value: a dash in a table, nothing in CSV. No text is
// it, so an account that is named "-" stays one.
const none = "\x00"

// orNone is a cell for a text that may not be there.
func orNone(text string) string {
	if text == "" {
		return none
	}
	return text
}

// grid is a table to be printed as people, spreadsheets or programs read it.
type grid struct {
	columns []column
	rows    [][]string
	nothing string // what people read in place of a table without rows
}

// columns names the columns of a grid; a leading > puts one to the right.
func columns(names ...string) *grid {
	g := &grid{}
	for _, n := range names {
		name, right := strings.CutPrefix(n, ">")
		g.columns = append(g.columns, column{name: name, right: right})
	}
	return g
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

// orSay says in place of a table without rows why there are none.
func (g *grid) orSay(format string, args ...any) *grid {
	g.nothing = fmt.Sprintf(format, args...)
	return g
}

// print writes the grid as a table or CSV.
func (g *grid) print(w io.Writer, output string) error {
	if output == "csv" {
		return g.csv(w)
	}
	if len(g.rows) == 0 && g.nothing != "" {
		_, err := fmt.Fprintln(w, g.nothing)
		return err
	}
	heads := make([]string, len(g.columns))
	for i, c := range g.columns {
		heads[i] = strings.ToUpper(strings.ReplaceAll(c.name, "_", " "))
	}
	lines := [][]string{heads}
	for _, row := range g.rows {
		line := make([]string, len(row))
		for i, cell := range row {
			line[i] = shown(cell)
		}
		lines = append(lines, line)
	}
	widths := make([]int, len(g.columns))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		g.line(&b, widths, line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line writes one row, padded.
func (g *grid) line(b *strings.Builder, widths []int, cells []string) {
	var text strings.Builder
	for i, cell := range cells {
		if i > 0 {
			text.WriteString("  ")
		}
		pad := strings.Repeat(" ", max(0, widths[i]-uniseg.StringWidth(cell)))
		if g.columns[i].right {
			text.WriteString(pad + cell)
		} else {
			text.WriteString(cell + pad)
		}
	}
	b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
}

// rolling is a table without an end: its rows stand below each other, and a column
// that has been wide stays so.
type rolling struct {
	columns []column
	rows    [][]string
	widths  []int
}

func (r *rolling) add(cells ...string) {
	for i, cell := range cells {
		cells[i] = shown(cell)
	}
	r.rows = append(r.rows, cells)
}

// print writes the rows that were added since it was called last.
func (r *rolling) print(w io.Writer) error {
	g := grid{columns: r.columns}
	if r.widths == nil {
		r.widths = make([]int, len(r.columns))
	}
	for _, row := range r.rows {
		for i, cell := range row {
			r.widths[i] = max(r.widths[i], uniseg.StringWidth(cell))
		}
	}
	var b strings.Builder
	for _, row := range r.rows {
		g.line(&b, r.widths, row)
	}
	r.rows = nil
	_, err := io.WriteString(w, b.String())
	return err
}

// csv writes the grid for spreadsheets.
func (g *grid) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	heads := make([]string, len(g.columns))
	for i, c := range g.columns {
		heads[i] = c.name
	}
	if err := out.Write(heads); err != nil {
		return err
	}
	for _, row := range g.rows {
		safe := make([]string, len(row))
		for i, cell := range row {
			switch {
			case cell == none:
			case g.columns[i].right:
				safe[i] = cell
			default:
				safe[i] = export.SafeText(cell)
			}
		}
		if err := out.Write(safe); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// shown is a cell as people see it. Accounts and sources are what producers wrote:
// what a terminal would take for a command, or for a new line, is written as Go
// does in a string.
func shown(cell string) string {
	if cell == none {
		return "-"
	}
	if strings.IndexFunc(cell, unprintable) < 0 {
		return cell
	}
	var b strings.Builder
	for _, r := range cell {
		if unprintable(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) }

// counted writes a number with what it counts: "1 invoice", "2 invoices".
func counted[N int | uint32 | uint64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// countedWere is counted with its verb: "1 event was", "2 events were".
func countedWere[N int | uint32 | uint64](n N, what string) string {
	if n == 1 {
		return counted(n, what) + " was"
	}
	return counted(n, what) + " were"
}

// printJSON writes an answer of the server as JSON with the members that it has
// over HTTP, the same bytes for the same answer.
func printJSON(w io.Writer, m proto.Message) error {
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return err
	}
	var compact any
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	if err := decoder.Decode(&compact); err != nil {
		return err
	}
	// protojson varies its spacing on purpose; encoding/json does not.
	b, err := json.MarshalIndent(compact, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}
