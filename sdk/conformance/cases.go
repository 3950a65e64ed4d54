package conformance

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

//go:embed decimals.jsonl
var decimals []byte

// Config is what an operation is configured with.
type Config struct {
	Operation string `json:"op"`
	Scale     int    `json:"scale,omitempty"`
	Mode      string `json:"mode,omitempty"` // empty = none
	N         int64  `json:"n,omitempty"`
}

// Params are the parameters of the tariff conformance, as JSON.
func (c Config) Params() json.RawMessage {
	mode := c.Mode
	if mode == "" {
		mode = "none"
	}
	return json.RawMessage(fmt.Sprintf(`{"mode":%q,"n":%d,"operation":%q,"scale":%d}`, mode, c.N, c.Operation, c.Scale))
}

// Step is one event and what becomes of it.
type Step struct {
	// A and B are the operands as decimal texts; empty = 0.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
	// Text is what parse reads.
	Text string `json:"text,omitempty"`
	// Want is the result as a decimal text; of format, the text itself. Empty when there is an Error.
	Want string `json:"want,omitempty"`
	// Error is the reason for which the event is rejected.
	Error string `json:"error,omitempty"`
}

// Case is an operation on one event, or on several of one slot.
type Case struct {
	Config
	Step
	// Steps are there instead of the step where the slot remembers: of sum.
	Steps []Step `json:"steps,omitempty"`
}

// All are the steps of the case.
func (c *Case) All() []Step {
	if c.Steps != nil {
		return c.Steps
	}
	return []Step{c.Step}
}

// Decimals reads the shared file.
//
// # Errors
//
// A line that is no case.
func Decimals() ([]Case, error) {
	d := json.NewDecoder(bytes.NewReader(decimals))
	d.DisallowUnknownFields()
	var cases []Case
	for {
		var c Case
		switch err := d.Decode(&c); {
		case errors.Is(err, io.EOF):
			return cases, nil
		case err != nil:
			return nil, fmt.Errorf("decimals.jsonl, case %d: %w", len(cases)+1, err)
		}
		cases = append(cases, c)
	}
}
