// Package tariff is what a tariff's author writes with. A tariff reads its parameters and claims
// lines, dimensions and state once, in Configure; after that it brings the lines of a slot up to
// date with every event:
//
//	parameters ──Configure──▶ Pricer ──Price(slot, event)──▶ cells and lines of the slot
//	                                 └─Finish(slot)────────▶ fees at the end of the period
//
// It sees no clock, no random number and no other account, and keeps nothing of its own between
// events. An error from Price rejects the event and leaves the slot as it was; so does a panic.
//
// The same code runs natively under go test (see tarifftest) and in the engine, as a WebAssembly
// module built with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared
//
// which `tollway plugin build` does reproducibly. sdk/ABI.md is the contract underneath. Money and
// quantities are those of package billing, exact; there is no floating point in this package.
package tariff
