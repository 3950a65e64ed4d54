// Package assemblyscript holds the sources of the SDK for AssemblyScript, for programs that begin tariffs in it. What
// it can do stands in README.md.
package assemblyscript

import "embed"

// Sources are the files of the npm package @tollway/tariff, as they stand in this folder.
//
//go:embed package.json README.md index.ts exports.ts manifest.ts assembly/*.ts bin/*.mjs
var Sources embed.FS
