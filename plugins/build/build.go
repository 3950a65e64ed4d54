// Package build makes plugins out of tariffs that are written with one of the SDKs. For each language it knows how a
// folder of it looks, how its toolchain is found, and the one recipe by which it is built; `make tariffs`,
// `tollway plugin build` and `make conformance` all do this and nothing else.
//
// Go compiles a tariff twice: once for WebAssembly, and once for this machine, to ask the tariff for its manifest.
// AssemblyScript is asked likewise, in Node.js. In the other languages the manifest stands beside the sources, in
// manifest.json.
package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tollway/tollway/plugins"
)

// Language is a language that tariffs can be written in.
type Language struct {
	// Name is what --lang calls it.
	Name string
	// Title is what people call it.
	Title string
	// Sign is how a folder of the language is told, for people: "Cargo.toml or lib.rs".
	Sign string
	// Install is the command line for a shell that installs the toolchain on Debian, for one who may; empty when
	// there is none.
	Install string

	// recognise tells whether a folder holds a tariff in this language.
	recognise func(folder string) bool
	// find returns what is missing of the toolchain, nil when it is there.
	find func() error
	// compile returns the module of a folder, and its manifest.
	compile func(ctx context.Context, folder string) (module []byte, manifest plugins.Manifest, err error)
}

// Available returns nil when the language's toolchain is there, else an error that says what is missing and how it
// is installed.
func (l Language) Available() error {
	err := l.find()
	if err != nil && l.Install != "" {
		return fmt.Errorf("%w (%s)", err, l.Install)
	}
	return err
}

// Languages returns the languages that tariffs can be written in, the first-class one first.
func Languages() []Language {
	return []Language{golang(), assemblyscript(), c(), rust()}
}

// Detect returns the language of the tariff in a folder.
//
// # Errors
//
// The folder holds none of the languages, or more than one.
func Detect(folder string) (Language, error) {
	if _, err := os.Stat(folder); err != nil {
		return Language{}, err
	}
	var found []Language
	var signs []string
	for _, l := range Languages() {
		signs = append(signs, l.Sign+" ("+l.Title+")")
		if l.recognise(folder) {
			found = append(found, l)
		}
	}
	switch len(found) {
	case 0:
		return Language{}, fmt.Errorf("%s holds no tariff: expected %s", folder, strings.Join(signs, ", "))
	case 1:
		return found[0], nil
	}
	return Language{}, fmt.Errorf("%s holds a tariff in %s and one in %s: put them into folders of their own", folder, found[0].Title, found[1].Title)
}

// Folder builds the tariff in the folder and returns the plugin's bytes. They depend on the sources and the version of
// the toolchain alone, not on the machine, the folder's place or the time, so neither does the plugin's digest.
//
// # Errors
//
// The folder holds no tariff, the toolchain is missing (the error says how it is installed), the sources do not
// compile (it holds the compiler's words), the module is no tariff, or its manifest is not valid.
func Folder(ctx context.Context, folder string) ([]byte, error) {
	language, err := Detect(folder)
	if err != nil {
		return nil, err
	}
	if err := language.Available(); err != nil {
		return nil, fmt.Errorf("building a tariff in %s: %w", language.Title, err)
	}
	module, manifest, err := language.compile(ctx, folder)
	if err != nil {
		return nil, err
	}
	return plugins.AppendManifest(module, manifest)
}

// run runs a command in the folder and returns what it printed; what it complained of is the error.
func run(ctx context.Context, folder string, environment []string, name string, arguments ...string) ([]byte, error) {
	var out, complaints bytes.Buffer
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		text := strings.TrimSpace(complaints.String())
		if text == "" {
			text = strings.TrimSpace(out.String()) // some compilers complain where they should print
		}
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), arguments[0], err, text)
	}
	return out.Bytes(), nil
}

// temporarily calls f with a folder that is gone afterwards.
func temporarily(f func(folder string) error) (err error) {
	folder, err := os.MkdirTemp("", "tollway-build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	return f(folder)
}
