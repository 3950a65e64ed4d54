package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// outputFlags choose how a command prints what it found.
type outputFlags struct {
	Output string `short:"o" enum:"table,json,csv" default:"table" help:"How to print: table, json or csv."`
}

// column is one column of a table.
type column struct {
	name  string
	right bool // numbers stand to the right
}

// grid is a table to be printed as people, spreadsheets or programs read it.
type grid struct {
	columns []column
	rows    [][]string
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

// print writes the grid as a table or CSV.
func (g *grid) print(w io.Writer, output string) error {
	if output == "csv" {
		return g.csv(w)
	}
	widths := make([]int, len(g.columns))
	for i, c := range g.columns {
		widths[i] = utf8.RuneCountInString(c.name)
		for _, row := range g.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	heads := make([]string, len(g.columns))
	for i, c := range g.columns {
		heads[i] = strings.ToUpper(c.name)
	}
	g.line(&b, widths, heads)
	for _, row := range g.rows {
		g.line(&b, widths, row)
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
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if g.columns[i].right {
			text.WriteString(pad + cell)
		} else {
			text.WriteString(cell + pad)
		}
	}
	b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
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
			safe[i] = cell
			if !g.columns[i].right {
				safe[i] = defuse(cell)
			}
		}
		if err := out.Write(safe); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// defuse keeps a spreadsheet from taking text for a formula.
func defuse(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", firstRune(cell)) {
		return "'" + cell
	}
	return cell
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// printJSON writes an answer of the server as JSON, the same bytes for the same
// answer.
func printJSON(w io.Writer, m proto.Message) error {
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
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
