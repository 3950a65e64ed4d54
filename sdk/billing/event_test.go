package billing_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

func validEvent() billing.UsageEvent {
	return billing.UsageEvent{
		Source: "gateway-7", ID: "1", Type: "api.request", Account: "emma",
		Time: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC),
		Data: []billing.Field{{Key: "calls", Text: "3"}, {Key: "region", Text: ""}},
	}
}

func TestEventValidate(t *testing.T) {
	e := validEvent()
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[error]func(*billing.UsageEvent){
		billing.ErrEventSource:  func(e *billing.UsageEvent) { e.Source = "" },
		billing.ErrEventID:      func(e *billing.UsageEvent) { e.ID = "" },
		billing.ErrEventType:    func(e *billing.UsageEvent) { e.Type = "" },
		billing.ErrAccountEmpty: func(e *billing.UsageEvent) { e.Account = "" },
		billing.ErrEventTime:    func(e *billing.UsageEvent) { e.Time = time.Time{} },
		billing.ErrEventText:    func(e *billing.UsageEvent) { e.ID = "\xff" },
		billing.ErrEventField:   func(e *billing.UsageEvent) { e.Data = append(e.Data, e.Data[0]) },
	} {
		e := validEvent()
		spoil(&e)
		if err := e.Validate(); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	var empty billing.UsageEvent
	err := empty.Validate()
	for _, want := range []error{
		billing.ErrEventSource, billing.ErrEventID, billing.ErrEventType, billing.ErrAccountEmpty, billing.ErrEventTime,
	} {
		if !errors.Is(err, want) {
			t.Errorf("%v does not name %v", err, want)
		}
	}
}

func TestEventValue(t *testing.T) {
	e := validEvent()
	for key, want := range map[string]struct {
		text    string
		present bool
	}{"calls": {"3", true}, "region": {"", true}, "absent": {"", false}} {
		if text, present := e.Value(key); text != want.text || present != want.present {
			t.Errorf("%s is %q, %t", key, text, present)
		}
	}
}
