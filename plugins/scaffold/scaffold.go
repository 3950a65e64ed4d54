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
	Path string // with slashes, from the project's folder
	Data []byte
	// Executable files are for people to run.
	Executable bool
}

// Languages lists the languages that there are templates for, as --lang calls them.
func Languages() []string {
	var names []string
	for _, l := range languages() {
		names = append(names, l.name)
	}
	return names
}

// language is what a project in a language consists of.
type language struct {
	name string
	sdk  func() ([]File, error)
}

func languages() []language {
	return []language{{"go", goSDK}, {"assemblyscript", assemblyscriptSDK}}
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
	files, err := SDK(lang)
	if err != nil {
		return nil, err
	}
	root := path.Join("templates", lang)
	replace := strings.NewReplacer("{{name}}", name, "{{Name}}", title(name), "{{crate}}", strings.ReplaceAll(name, "_", "-"))
	err = fs.WalkDir(templates, root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := templates.ReadFile(file)
		if err != nil {
			return err
		}
		place := strings.TrimSuffix(strings.TrimPrefix(file, root+"/"), ".tmpl")
		if path.Base(place) == "gitignore" {
			place = path.Join(path.Dir(place), ".gitignore")
		}
		files = append(files, File{Path: replace.Replace(place), Data: []byte(replace.Replace(string(data)))})
		return nil
	})
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}

// title is a name as a sentence begins with it.
func title(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// SDK returns the files of a language's SDK, as a project has them.
func SDK(lang string) ([]File, error) {
	for _, l := range languages() {
		if l.name == lang {
			return l.sdk()
		}
	}
	return nil, fmt.Errorf("there is no SDK for %q; there is one for %s", lang, strings.Join(Languages(), ", "))
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
	files := []File{{Path: SDKFolder + "/go.mod", Data: []byte(goModule)}}
	sources := sdk.GoSources()
	err := fs.WalkDir(sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, "_test.go") {
			return err
		}
		data, err := fs.ReadFile(sources, name)
		files = append(files, File{Path: path.Join(SDKFolder, "sdk", name), Data: data})
		return err
	})
	return files, err
}

// assemblyscriptSDK is the npm package of the SDK for AssemblyScript.
func assemblyscriptSDK() ([]File, error) {
	var files []File
	err := fs.WalkDir(assemblyscript.Sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := assemblyscript.Sources.ReadFile(name)
		files = append(files, File{Path: path.Join(SDKFolder, name), Data: data, Executable: strings.HasSuffix(name, ".mjs")})
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

// WriteSDK puts an SDK into the folder of a project, in place of the one that is there.
func WriteSDK(folder string, files []File) error {
	if err := os.RemoveAll(filepath.Join(folder, SDKFolder)); err != nil {
		return err
	}
	return write(folder, files)
}

func write(folder string, files []File) error {
	for _, f := range files {
		name := filepath.Join(folder, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if f.Executable {
			mode = 0o755
		}
		if err := os.WriteFile(name, f.Data, mode); err != nil {
			return err
		}
	}
	return nil
}
