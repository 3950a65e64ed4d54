package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// File is the contents of one catalog file.
type File struct {
	Name string // as it shall stand in problems; ".json" at its end makes it JSON, anything else is YAML
	Data []byte
}

// FileMaxBytes bounds a catalog file.
const FileMaxBytes = 256 << 20

// ReadPath reads a catalog file, or the files of a folder that end in .yaml,
// .yml or .json, sorted by name. Folders within the folder are left alone.
func ReadPath(name string) ([]File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	names := []string{name}
	if info.IsDir() {
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fmt.Errorf("catalog: %w", err)
		}
		names = folderNames(name, entries)
		if len(names) == 0 {
			return nil, fmt.Errorf("catalog: folder %s has no file that ends in .yaml, .yml or .json", name)
		}
	}
	files := make([]File, 0, len(names))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("catalog: %w", err)
		}
		files = append(files, File{Name: filepath.ToSlash(name), Data: data})
	}
	return files, nil
}

// folderNames selects the catalog files among a folder's entries.
func folderNames(folder string, entries []fs.DirEntry) []string {
	var names []string
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".yaml", ".yml", ".json":
			if !e.IsDir() {
				names = append(names, filepath.Join(folder, e.Name()))
			}
		}
	}
	slices.Sort(names)
	return names
}

// sink takes what a reader finds at the top of a file, in source order. Lists
// come item by item, so that only one object at a time is held as nodes.
type sink interface {
	// section begins a top-level key and says whether its value is wanted item
	// by item; ok is false when the key is to be skipped.
	section(name string, line int) (list, ok bool)
	// item is one item of a section that is a list.
	item(name string, i int, n *node)
	// whole is the value of any other section, or of one that should be a list
	// and is not.
	whole(name string, n *node)
	// report takes a problem of the source text itself.
	report(line int, at *path, message string)
}

var errBinary = errors.New("is not UTF-8 text")

// checkText refuses what neither reader shall see.
func checkText(data []byte) error {
	if len(data) > FileMaxBytes {
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(data), FileMaxBytes)
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return errBinary
	}
	return nil
}
