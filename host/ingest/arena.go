package ingest

import (
	"strings"

	"github.com/tollway/tollway/sdk/billing"
)

// Sizes of the blocks that an arena allocates: large enough that an event costs a small part of one allocation, small
// enough that a kept event does not keep much else.
const (
	textBlockBytes   = 16 << 10
	fieldBlockFields = 256
)

// arena hands out strings and field lists cut from larger blocks. A block is written once and never reused, so what was
// handed out stays valid for as long as anybody holds it.
type arena struct {
	text   strings.Builder
	fields []billing.Field // unused rest of the current block
}

// copy returns b as a string.
func (a *arena) copy(b []byte) string {
	if a.text.Cap()-a.text.Len() < len(b) {
		a.text = strings.Builder{}
		a.text.Grow(max(textBlockBytes, len(b)))
	}
	start := a.text.Len()
	a.text.Write(b)
	return a.text.String()[start:]
}

// take returns n empty fields.
func (a *arena) take(n int) []billing.Field {
	if n == 0 {
		return nil
	}
	if len(a.fields) < n {
		a.fields = make([]billing.Field, max(fieldBlockFields, n))
	}
	taken := a.fields[:n:n]
	a.fields = a.fields[n:]
	return taken
}

// keep returns a copy of fields, or nil if there are none.
func (a *arena) keep(fields []billing.Field) []billing.Field {
	kept := a.take(len(fields))
	copy(kept, fields)
	return kept
}
