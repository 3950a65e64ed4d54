// Package scaffold begins tariffs: it writes a project that builds and passes its tests and checks as it is, in one of
// the languages that have an SDK. The SDK's sources are a part of the binary and are written into the project, so
// nothing has to be fetched, and a tariff is built with the SDK that belongs to the engine at hand.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tollway/tollway/sdk"
	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/assemblyscript"
	"github.com/tollway/tollway/sdk/c"
	"github.com/tollway/tollway/sdk/rust"
)

// templates hold a folder for each language. Their files end with .tmpl, so that no tool takes them for sources of
// this module.
//
//go:embed all:templates
var templates embed.FS

// SDKFolder is the folder of a project that holds the SDK.
const SDKFolder = "tollway-sdk"

// File is a file of a project.
type File struct {
	// Path has slashes and begins in the project's folder.
	Path string
	Data []byte
}

// Languages lists the languages that there are templates for, as --lang calls them.
func Languages() []string {
	var names []string
	for _, l := range languages() {
		names = append(names, l.name)
	}
	return names
}

// language is what a project in a language consists of, beside its template and what is common to all.
type language struct {
	name, title string
	files       string // rows of the README's table of files
	native      string // what the loop begins with, where a tariff runs natively
	sdk         func() ([]File, error)
	folder      string // of the SDK in a project, or its one file
}

func languages() []language {
	return []language{
		{
			name: "go", title: "Go", sdk: goSDK, folder: SDKFolder,
			files:  "| `main.go` | the tariff |\n| `main_test.go` | its native tests: `go test` |\n",
			native: "go test                         # natively: fast, with a debugger and coverage\n",
		},
		{
			name: "assemblyscript", title: "AssemblyScript", sdk: assemblyscriptSDK, folder: SDKFolder,
			files: "| `assembly/index.ts` | the tariff |\n| `package-lock.json` | pins the compiler, which npm installs with the first build |\n",
		},
		{
			name: "rust", title: "Rust", sdk: rustSDK, folder: rust.CrateName,
			files: "| `src/lib.rs` | the tariff |\n| `manifest.json` | its name, version and parameters |\n",
		},
		{
			name: "c", title: "C", sdk: cSDK, folder: c.HeaderName,
			files: "| `{{name}}.c` | the tariff |\n| `manifest.json` | its name, version and parameters |\n",
		},
	}
}

// find returns the language of a name.
func find(name string) (language, error) {
	for _, l := range languages() {
		if l.name == name {
			return l, nil
		}
	}
	return language{}, fmt.Errorf("there is no SDK for %q; there is one for %s", name, strings.Join(Languages(), ", "))
}

// Project returns the files of a new project.
//
// # Errors
//
// The name is no name of a plugin, or there is no such language.
func Project(name, lang string) ([]File, error) {
	if !abi.ValidName(name) {
		return nil, fmt.Errorf("%q is no name for a tariff: it must be of the form [a-z][a-z0-9_]{0,62}", name)
	}
	l, err := find(lang)
	if err != nil {
		return nil, err
	}
	files, err := l.sdk()
	if err != nil {
		return nil, err
	}
	readme := l.files + "| `" + l.folder + "` | the SDK of the engine that began this project; `tollway plugin new --sdk-only .` writes it anew |\n"
	words := strings.NewReplacer("{{language}}", l.title, "{{files}}", readme, "{{native}}", l.native)
	names := strings.NewReplacer("{{name}}", name, "{{Name}}", title(name), "{{crate}}", strings.ReplaceAll(name, "_", "-"))
	for _, root := range []string{"templates/common", path.Join("templates", lang)} {
		err := fs.WalkDir(templates, root, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := templates.ReadFile(file)
			if err != nil {
				return err
			}
			place := strings.TrimSuffix(strings.TrimPrefix(file, root+"/"), ".tmpl")
			if place == "gitignore" {
				place = ".gitignore"
			}
			files = append(files, File{Path: names.Replace(place), Data: []byte(names.Replace(words.Replace(string(data))))})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// title is a name as a sentence begins with it.
func title(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// SDK returns the files of a language's SDK, as a project has them.
func SDK(lang string) ([]File, error) {
	l, err := find(lang)
	if err != nil {
		return nil, err
	}
	return l.sdk()
}

// goModule is the go.mod of the SDK's folder: the module has the engine's name, so that sources move between a project
// and the engine as they are.
const goModule = `// The Tollway SDK for Go, as the engine has it that wrote this folder. It needs nothing but the standard library.
// Change nothing here: tollway plugin new --sdk-only writes it anew.
module github.com/tollway/tollway

go 1.26.0
`

// goSDK are the sources of the Go SDK, without its tests.
func goSDK() ([]File, error) {
	files, err := copied(sdk.GoSources(), ".", SDKFolder+"/sdk")
	return append(files, File{Path: SDKFolder + "/go.mod", Data: []byte(goModule)}), err
}

// assemblyscriptSDK is the npm package that package.json names by its folder.
func assemblyscriptSDK() ([]File, error) {
	return copied(assemblyscript.Sources, ".", SDKFolder)
}

// rustSDK is the crate, in the folder in which the build looks for it.
func rustSDK() ([]File, error) { return copied(rust.Files, ".", rust.CrateName) }

// cSDK is the header, beside the tariff.
func cSDK() ([]File, error) { return []File{{Path: c.HeaderName, Data: c.Header}}, nil }

// copied returns the files below a folder, tests left out, for another folder.
func copied(sources fs.FS, from, to string) ([]File, error) {
	var files []File
	err := fs.WalkDir(sources, from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, "_test.go") {
			return err
		}
		data, err := fs.ReadFile(sources, name)
		files = append(files, File{Path: path.Join(to, strings.TrimPrefix(name, from+"/")), Data: data})
		return err
	})
	return files, err
}

// ErrExists is returned for a folder that has something in it already.
var ErrExists = errors.New("there is something in the folder already")

// Write writes a new project into a folder, which it makes.
//
// # Errors
//
// [ErrExists] when the folder is not empty; a file cannot be written.
func Write(folder string, files []File) error {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s: %w", folder, ErrExists)
	}
	return write(folder, files)
}

// WriteSDK puts a language's SDK into the folder of a project, in place of the one that is there, and returns where.
func WriteSDK(folder, lang string) (string, error) {
	l, err := find(lang)
	if err != nil {
		return "", err
	}
	files, err := l.sdk()
	if err != nil {
		return "", err
	}
	place := filepath.Join(folder, l.folder)
	if err := os.RemoveAll(place); err != nil {
		return "", err
	}
	return place, write(folder, files)
}

func write(folder string, files []File) error {
	for _, f := range files {
		name := filepath.Join(folder, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
