package plugins

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/sys"

	"github.com/tollway/tollway/plugins/fuel"
	"github.com/tollway/tollway/sdk/abi"
)

// FaultError is a failure of a plugin that cannot be laid at the door of one event. Nothing of the
// batch counts.
type FaultError struct {
	// Plugin names the plugin for people: its name, version and digest.
	Plugin string
	// Slot is the slot of the batch that was being worked on, -1 when that is not known.
	Slot int
	// Event is the event of the batch that was being worked on, -1 when it was none.
	Event int
	// Text is what happened, as a sentence without its end.
	Text string
}

// Error says which plugin failed, where, and how.
func (e *FaultError) Error() string {
	where := ""
	switch {
	case e.Event >= 0:
		where = fmt.Sprintf(" at event %d of slot %d", e.Event, e.Slot)
	case e.Slot >= 0:
		where = fmt.Sprintf(" at the finish of slot %d", e.Slot)
	}
	return fmt.Sprintf("plugin %s failed%s: %s", e.Plugin, where, e.Text)
}

// ConfigError is the refusal of one configuration.
type ConfigError struct {
	// Request is the place of the request among those given.
	Request int
	// Tariff is the name of the tariff that was asked for.
	Tariff string
	// Message says what is wrong, beginning with the path of the parameter where there is one.
	Message string

	cause error // the *trap, if the plugin did not answer but trapped
}

// Unwrap returns what stopped the plugin, nil if it answered.
func (e *ConfigError) Unwrap() error { return e.cause }

// Error names the tariff and says what is wrong with its parameters.
func (e *ConfigError) Error() string { return fmt.Sprintf("tariff %s: %s", e.Tariff, e.Message) }

// trap is a call that did not return.
type trap struct {
	cause fuel.Cause
	text  string
}

func (t *trap) Error() string { return t.text }

// describe puts a trap into words, for the detail of a reject.
func (i *Instance) describe(cause fuel.Cause, err error) string {
	switch cause {
	case fuel.CauseFuel:
		return "it ran out of fuel: it does too much work, or never ends"
	case fuel.CauseDepth:
		return fmt.Sprintf("its calls are nested deeper than %d", abi.CallDepthMax)
	case fuel.CauseCursor:
		return "it called begin out of order"
	case fuel.CausePool:
		return "its batch ran out of fuel"
	case fuel.CauseGuest, fuel.CauseMemory:
	}
	text := crashText(err)
	if cause == fuel.CauseMemory {
		text = fmt.Sprintf("it needs more than its %d KiB of memory (%s)", uint64(i.module.rewritten.PagesMax)*pageSize>>10, text)
	}
	if line := firstLine(string(i.log)); line != "" {
		text += ": " + line
	}
	return text
}

// crashText turns an error of the runtime into a few words. The rest of it is a stack of
// addresses, which would say nothing to the reader of a dead letter.
func crashText(err error) string {
	var exit exitError
	var closed *sys.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.Error()
	case errors.As(err, &closed):
		return "its instance was closed"
	case errors.Is(err, errAborted):
		return errAborted.Error()
	}
	text := strings.TrimPrefix(firstLine(err.Error()), "wasm error: ")
	return "it crashed (" + text + ")"
}

// textLineMax is how much of a plugin's own words goes into a detail.
const textLineMax = 120

func firstLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	return strings.ToValidUTF8(abi.Cut(s, textLineMax), "\uFFFD")
}
