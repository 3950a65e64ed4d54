package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/plugins/scaffold"
)

// pluginNewCommand begins a tariff.
type pluginNewCommand struct {
	Name    string `arg:"" help:"Name of the tariff, [a-z][a-z0-9_]*, and of the folder that is made; its last part, if it is a path."`
	Lang    string `default:"go" help:"Language: ${languages}."`
	SDKOnly bool   `name:"sdk-only" help:"Write only the SDK into a project that there is, in place of the one it has."`
}

// Run writes the project.
func (c *pluginNewCommand) Run(s streams) error {
	if c.SDKOnly {
		return c.refresh(s)
	}
	folder := filepath.Clean(c.Name)
	files, err := scaffold.Project(filepath.Base(folder), c.Lang)
	if err != nil {
		return usageError{err}
	}
	if err := scaffold.Write(folder, files); errors.Is(err, scaffold.ErrExists) {
		return usageError{fmt.Errorf("%w; --sdk-only brings only its SDK up to date", err)}
	} else if err != nil {
		return err
	}
	var b strings.Builder
	for _, l := range build.Languages() {
		if l.Name != c.Lang {
			continue
		}
		fmt.Fprintf(&b, "%s is a tariff in %s, with its SDK.\n", folder, l.Title)
		if missing := l.Available(); missing != nil {
			fmt.Fprintf(&b, "Before it can be built: %v.\n", missing)
		}
	}
	fmt.Fprintf(&b, "Next:\n  cd %s\n  tollway plugin test\n  tollway plugin check\n", folder)
	_, err = fmt.Fprint(s.out, b.String())
	return err
}

// refresh writes the SDK of a project anew.
func (c *pluginNewCommand) refresh(s streams) error {
	language, err := build.Detect(c.Name)
	if err != nil {
		return err
	}
	place, err := scaffold.WriteSDK(c.Name, language.Name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s is the SDK of this engine now\n", place)
	return err
}
