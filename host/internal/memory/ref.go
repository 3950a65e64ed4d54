package memory

import "unsafe"

// Ref is a pointer that the garbage collector does not see. What it points to must be
// kept by other means as long as anybody may follow it: a pointer of the same object
// that the collector does see, which leads there, is the one to have.
//
// A collection reads every pointer of every object that lives. Millions of objects that
// point at each other take it a tenth of a second; with Refs in place of their pointers
// it need not look into them at all. Go's heap moves nothing, so that an address stays
// what it is.
type Ref[T any] struct{ address uintptr }

// RefTo returns a Ref to what is on the heap: p must not point to a variable of a
// function that may return.
func RefTo[T any](p *T) Ref[T] { return Ref[T]{uintptr(unsafe.Pointer(p))} }

// Get returns the pointer; nil for the zero Ref.
func (r *Ref[T]) Get() *T { return *(**T)(unsafe.Pointer(&r.address)) }
