package build

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// ErrNotNative is returned for a tariff in a language whose SDK does not run natively.
var ErrNotNative = errors.New("only tariffs in Go run natively")

// Native builds the tariff in the folder for this machine and writes the program to out. It answers -manifest and
// -serve, see sdk/tariff.
//
// # Errors
//
// [ErrNotNative], or what [Folder] returns.
func Native(ctx context.Context, folder, out string) error {
	language, err := Detect(folder)
	if err != nil {
		return err
	}
	if language.Name != golang().Name {
		return fmt.Errorf("%s is a tariff in %s: %w", folder, language.Title, ErrNotNative)
	}
	if err := language.Available(); err != nil {
		return fmt.Errorf("building a tariff in %s: %w", language.Title, err)
	}
	_, err = run(ctx, folder, []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH, "GOWORK=off"}, "go", "build", "-o", out, ".")
	if err != nil {
		return fmt.Errorf("%s does not build for this machine: %w", folder, err)
	}
	return nil
}
