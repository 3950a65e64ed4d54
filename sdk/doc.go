// Package sdk is what the author of a tariff sees of Tollway. Its parts are
//
//   - [github.com/tollway/tollway/sdk/billing]: the vocabulary, exact decimals first of all;
//   - [github.com/tollway/tollway/sdk/tariff]: write a tariff in Go, test it with go test, build it to WebAssembly;
//   - [github.com/tollway/tollway/sdk/abi]: the byte layout that host and tariff exchange, for SDKs in other languages.
//
// ABI.md describes the interface of a tariff in full. The packages here import nothing of the engine and nothing
// outside the standard library. The package itself holds their sources, for projects outside this module.
package sdk
