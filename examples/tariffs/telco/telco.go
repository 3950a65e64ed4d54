// Package telco is the catalog of a small phone company, as the demo runs it.
package telco

import _ "embed"

// Catalog is catalog.yaml.
//
//go:embed catalog.yaml
var Catalog []byte
