// Package memory has what Go does not offer of the processor's and the system's
// memory: reading ahead into the caches, and large pages.
//
// Both change nothing but how long something takes.
package memory
