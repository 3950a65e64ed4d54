// Package c is the SDK for tariffs in C, one header, for programs that build such tariffs or begin new ones. What it
// can do stands in the header and in README.md.
package c

import _ "embed"

// HeaderName is the name of the header.
const HeaderName = "tollway_tariff.h"

// Header is the SDK.
//
//go:embed tollway_tariff.h
var Header []byte
