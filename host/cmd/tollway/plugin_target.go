package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/term"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/author"
	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/plugins/builtin"
)

// caseFlags say which tariff is tried, with which cases.
type caseFlags struct {
	Plugin string   `arg:"" default:"." help:"Folder of a tariff, which is built first; or a .wasm file; or the name of a built-in tariff."`
	Cases  []string `placeholder:"PATH" help:"Files of cases, or folders of them. Default: the folder cases beside the tariff."`
	Run    string   `placeholder:"REGEX" help:"Only the cases whose name matches."`
}

// target is a plugin to be tried, with its cases.
type target struct {
	*author.Workshop
	cases  []*author.Case
	folder string // of the tariff's sources; empty for a module
	wasm   []byte
}

// open loads the plugin and reads its cases. The target must be closed.
func (f *caseFlags) open(ctx context.Context, native bool) (t *target, err error) {
	pattern, err := regexp.Compile(f.Run)
	if err != nil {
		return nil, usageError{fmt.Errorf("--run: %w", err)}
	}
	p, err := loadPlugin(ctx, f.Plugin)
	if err != nil {
		return nil, err
	}
	cases, err := f.read(p)
	if err != nil {
		return nil, err
	}
	t = &target{folder: p.folder, wasm: p.wasm}
	for _, c := range cases {
		if c.Tariff == "" {
			c.Tariff = p.tariff
		}
		if pattern.MatchString(c.Name) {
			t.cases = append(t.cases, c)
		}
	}
	if len(t.cases) == 0 {
		return nil, usageError{fmt.Errorf("none of %d cases has a name that matches %q", len(cases), f.Run)}
	}
	if t.Workshop, err = author.Open(ctx, p.wasm, host.UserPluginCache()); err != nil {
		return nil, err
	}
	if native && p.folder != "" {
		if err := t.makeNative(ctx); err != nil {
			return nil, errors.Join(err, t.close(ctx))
		}
	}
	return t, nil
}

// read reads the cases of a plugin.
func (f *caseFlags) read(p *plugin) ([]*author.Case, error) {
	places, files := f.Cases, []string{}
	if len(places) == 0 {
		found, err := author.FindCases(p.beside)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, usageError{fmt.Errorf("there are no cases: write %s, or name some with --cases", filepath.Join(p.beside, "cases", "NAME.yaml"))}
		}
		files = found
	}
	for _, place := range places {
		info, err := os.Stat(place)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, place)
			continue
		}
		for _, ending := range []string{"*.yaml", "*.yml"} {
			found, err := filepath.Glob(filepath.Join(place, ending))
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
	}
	return author.ReadCases(files...)
}

// makeNative builds the tariff for this machine as well, where its language can.
func (t *target) makeNative(ctx context.Context) error {
	program, err := os.CreateTemp("", "tollway-native-")
	if err != nil {
		return err
	}
	if err := program.Close(); err != nil {
		return err
	}
	switch err := build.Native(ctx, t.folder, program.Name()); {
	case errors.Is(err, build.ErrNotNative):
		return os.Remove(program.Name())
	case err != nil:
		return errors.Join(err, os.Remove(program.Name()))
	}
	t.UseNative(program.Name())
	return nil
}

// close ends what was started, and removes what was made for it.
func (t *target) close(ctx context.Context) error {
	err := t.Close(context.WithoutCancel(ctx))
	if program := t.NativeProgram(); program != "" {
		err = errors.Join(err, os.Remove(program))
	}
	return err
}

// plugin is a module, and what is known of where it comes from.
type plugin struct {
	name   string // what the command line called it
	wasm   []byte
	folder string // of its sources; empty when it was not built
	beside string // where its cases would be
	tariff string // a tariff that was named; empty when none was
}

// loadPlugin finds a plugin by what a command line calls it: a folder, which is built; a file; the name of a built-in
// tariff. Behind # stands the name of a tariff in it.
func loadPlugin(ctx context.Context, name string) (*plugin, error) {
	place, tariff, _ := strings.Cut(name, "#")
	p := &plugin{name: name, tariff: tariff, beside: filepath.Dir(place)}
	info, err := os.Stat(place)
	switch {
	case err == nil && info.IsDir():
		p.folder, p.beside = place, place
		p.wasm, err = build.Folder(ctx, place)
		return p, err
	case err == nil:
		p.wasm, err = os.ReadFile(place)
		return p, err
	case strings.ContainsAny(place, `./\`):
		return nil, err
	}
	modules, err := builtin.Modules()
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		manifest, err := plugins.ReadManifest(m.Wasm)
		if err != nil {
			return nil, err
		}
		if _, found := manifest.Tariff(place); found || m.Name == place {
			p.wasm, p.beside = m.Wasm, "."
			if found {
				p.tariff = place
			}
			return p, nil
		}
	}
	return nil, usageError{fmt.Errorf("%s is no folder, no file and no built-in tariff (see `tollway plugin list`)", place)}
}

// paint colours text where the output is a terminal, and the user has nothing against it.
type paint struct{ on bool }

func newPaint(w io.Writer) paint {
	file, ok := w.(*os.File)
	return paint{ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p paint) code(n, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + n + "m" + text + "\x1b[0m"
}

func (p paint) good(text string) string  { return p.code("32", text) }
func (p paint) bad(text string) string   { return p.code("31", text) }
func (p paint) quiet(text string) string { return p.code("2", text) }

// errFound is the end of a command that has printed what is wrong.
var errFound = errors.New("")
