package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tollway/tollway/host/catalog"
)

// replacePlugin returns the files of a catalog in which the versions of one tariff name other plugins, as replace says
// of each. Nothing else of the text changes.
//
// # Errors
//
// The catalog has no such tariff, or a file that cannot be read.
func replacePlugin(files []catalog.File, tariff string, replace func(reference string) (string, error)) ([]catalog.File, error) {
	replaced := slices.Clone(files)
	found := 0
	for k, f := range files {
		decoder := yaml.NewDecoder(bytes.NewReader(f.Data))
		var places []*yaml.Node
		for {
			var document yaml.Node
			err := decoder.Decode(&document)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			places = append(places, pluginsOf(&document, tariff)...)
		}
		found += len(places)
		data, err := replaceScalars(f.Data, places, replace)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		replaced[k].Data = data
	}
	if found == 0 {
		return nil, usageError{fmt.Errorf("the catalog has no tariff %q with versions", tariff)}
	}
	return replaced, nil
}

// pluginsOf finds the values of plugin in the versions of a tariff.
func pluginsOf(document *yaml.Node, tariff string) []*yaml.Node {
	if len(document.Content) == 0 {
		return nil
	}
	var places []*yaml.Node
	for _, t := range sequence(member(document.Content[0], "tariffs")) {
		if name := member(t, "name"); name == nil || name.Value != tariff {
			continue
		}
		for _, v := range sequence(member(t, "versions")) {
			if p := member(v, "plugin"); p != nil && p.Kind == yaml.ScalarNode {
				places = append(places, p)
			}
		}
	}
	return places
}

// member returns a value of a mapping, nil when there is none.
func member(n *yaml.Node, name string) *yaml.Node {
	n = unalias(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return unalias(n.Content[i+1])
		}
	}
	return nil
}

func sequence(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func unalias(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// replaceScalars writes other values, quoted as JSON and YAML both read them, in the place of scalars.
func replaceScalars(data []byte, places []*yaml.Node, replace func(string) (string, error)) ([]byte, error) {
	lines := strings.SplitAfter(string(data), "\n")
	slices.SortFunc(places, func(a, b *yaml.Node) int {
		if a.Line != b.Line {
			return b.Line - a.Line
		}
		return b.Column - a.Column
	})
	for k, n := range places {
		if k > 0 && places[k-1] == n { // one place, reached through two aliases
			continue
		}
		value, err := replace(n.Value)
		if err != nil {
			return nil, err
		}
		quoted, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		line := lines[n.Line-1]
		at := offset(line, n.Column)
		length := scalarLength(line[at:], n)
		if length < 0 {
			return nil, fmt.Errorf("line %d: write the plugin's name in one line", n.Line)
		}
		lines[n.Line-1] = line[:at] + string(quoted) + line[at+length:]
	}
	return []byte(strings.Join(lines, "")), nil
}

// offset is where a column of a line, which counts characters from 1, begins.
func offset(line string, column int) int {
	for at := range line {
		if column--; column == 0 {
			return at
		}
	}
	return len(line)
}

// scalarLength is how long a scalar is as it is written; -1 when it goes over lines.
func scalarLength(text string, n *yaml.Node) int {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for k := 1; k < len(text); k++ {
			switch text[k] {
			case '\\':
				k++
			case '"':
				return k + 1
			}
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		for k := 1; k < len(text); k++ {
			if text[k] == '\'' {
				if k+1 < len(text) && text[k+1] == '\'' {
					k++
					continue
				}
				return k + 1
			}
		}
	case strings.HasPrefix(text, n.Value):
		return len(n.Value)
	}
	return -1
}
