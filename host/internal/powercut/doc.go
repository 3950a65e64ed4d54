// Package powercut holds tests of a real host, with a real log and a real store, on
// a disk that loses its power, fails or fills ([faultfs]). The host is a life of its
// own: this package's test binary, started as a child, whose lines say what it has
// promised. The tests kill it, take from the disk what was not synced, start the
// next life, and hold its answers against the promises and against sums known
// without any pricing code.
package powercut
