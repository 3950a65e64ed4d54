package sdk

import (
	"embed"
	"io/fs"
)

// goSources are those of the packages that a tariff in Go is made of.
//
//go:embed ABI.md abi/*.go billing/*.go tariff/*.go tariff/tarifftest/*.go
var goSources embed.FS

// GoSources returns the sources of the Go SDK, tests included, by their paths in this folder. `tollway plugin new` writes
// them into the projects that it begins, so that a tariff is built with the SDK of the engine at hand.
func GoSources() fs.FS { return goSources }
