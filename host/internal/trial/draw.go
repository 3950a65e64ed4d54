package trial

import (
	"bytes"
	"fmt"
	"html"
	"slices"
)

// panel is one curve over sizes that grow by a constant factor, and so stand at
// equal distances.
type panel struct {
	title  string
	names  []string // of the sizes
	values []int64
}

// The measures of a drawing, in pixels.
const (
	panelWidth, panelHeight           = 420, 260
	plotLeft, plotRight               = 60, 20
	plotTop, plotBottom               = 40, 40
	plotWidth, plotHeight             = panelWidth - plotLeft - plotRight, panelHeight - plotTop - plotBottom
	gridLines                         = 4
	panelsInRow                       = 2
	drawingFont                       = "font-family=\"sans-serif\" font-size=\"12\""
	colorCurve, colorGrid, colorLabel = "#0b62c4", "#d0d0d0", "#404040"
)

// draw makes a picture of panels, two in a row. Scales begin at 0.
func draw(panels []panel) []byte {
	rows := (len(panels) + panelsInRow - 1) / panelsInRow
	width, height := panelWidth*min(len(panels), panelsInRow), panelHeight*rows
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" %s>`+"\n", width, height, width, height, drawingFont)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%panelsInRow*panelWidth, i/panelsInRow*panelHeight)
		p.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (p *panel) draw(b *bytes.Buffer) {
	text := func(x, y int, anchor, s string) {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, colorLabel, html.EscapeString(s))
	}
	text(panelWidth/2, plotTop/2+4, "middle", p.title)
	top := roundUp(slices.Max(p.values))
	for i := range gridLines + 1 {
		y := plotTop + plotHeight - plotHeight*i/gridLines
		fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s"/>`+"\n", plotLeft, y, plotLeft+plotWidth, y, colorGrid)
		text(plotLeft-6, y+4, "end", thousands(top*int64(i)/gridLines))
	}
	line := ""
	for i, v := range p.values {
		x := plotLeft + plotWidth*(2*i+1)/(2*len(p.values))
		y := plotTop + plotHeight - int(int64(plotHeight)*v/top)
		line += fmt.Sprintf("%d,%d ", x, y)
		fmt.Fprintf(b, `<circle cx="%d" cy="%d" r="3" fill="%s"/>`+"\n", x, y, colorCurve)
		text(x, y-8, "middle", thousands(v))
		text(x, plotTop+plotHeight+18, "middle", p.names[i])
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", line, colorCurve)
}

// roundUp returns the next number with one leading digit other than 0 that four
// lines divide well: 4, 8, 12, 20, 40, 80 and so on.
func roundUp(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, step := range []int64{4, 8, 12, 20} {
			if n < step*unit {
				return step * unit
			}
		}
	}
}
