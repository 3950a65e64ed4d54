// Package rust is the SDK for tariffs in Rust, a crate, for programs that build such tariffs or begin new ones. What
// it can do stands in README.md and in the crate's own documentation.
package rust

import "embed"

// CrateName is the name of the crate, as Cargo.toml has it.
const CrateName = "tollway-tariff"

// Files are Cargo.toml and src/*.rs.
//
//go:embed Cargo.toml src/*.rs
var Files embed.FS
