package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a catalog.
type Problem struct {
	File    string // name as given to Parse; empty for an object that is already stored
	Line    int    // from 1; 0 when it concerns the file as a whole
	Path    string // "tariffs[api_standard].versions[1].effective_from"
	Message string // for people: what is wrong and what would be right
}

// String is "FILE:LINE: PATH: MESSAGE", without what is unknown.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			b.WriteString(":" + strconv.Itoa(p.Line))
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Message
}

// ProblemsMax is how many problems are reported; one more tells how many are
// left out.
const ProblemsMax = 1_000

// SortProblems sorts problems by file, line, path and message, and drops
// repetitions. Problems of Parse and of Resolve may be put together.
func SortProblems(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			strings.Compare(a.Path, b.Path),
			strings.Compare(a.Message, b.Message),
		)
	})
	problems = slices.Compact(problems)
	if left := len(problems) - ProblemsMax; left > 0 {
		problems = append(problems[:ProblemsMax:ProblemsMax], Problem{Message: fmt.Sprintf("%d more problems are not shown", left)})
	}
	return problems
}

// path is a place within a file, made text only when a problem needs it.
type path struct {
	parent *path
	step   string // "versions", "[emma]"
	item   int    // instead of a step, when isItem
	isItem bool
}

func (p *path) key(name string) *path { return &path{parent: p, step: name} }

func (p *path) at(i int) *path { return &path{parent: p, item: i, isItem: true} }

func (p *path) named(name string) *path { return &path{parent: p, step: "[" + name + "]"} }

func (p *path) String() string {
	if p == nil {
		return ""
	}
	above := p.parent.String()
	if p.isItem {
		return above + "[" + strconv.Itoa(p.item) + "]"
	}
	if above != "" && !strings.HasPrefix(p.step, "[") {
		above += "."
	}
	return above + p.step
}

// nearest finds the candidate that was probably meant by word; "" when none is
// near. Of equally near ones it takes the first.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if diff := len(c) - len(word); diff >= bestDistance || -diff >= bestDistance {
			continue
		}
		if d := distance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// didYouMean is the end of a message about an unknown word: a suggestion, or
// the words that are known when these are few.
func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	const listMax = 12
	if len(known) == 0 || len(known) > listMax {
		return ""
	}
	return "; known are " + strings.Join(known, ", ")
}
