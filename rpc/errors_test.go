package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/tollway/tollway/host/query"
)

func TestWireErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   connect.Code
		reason string
	}{
		{refuse(ReasonNotFound, "", "no"), connect.CodeNotFound, "not_found"},
		{fmt.Errorf("apply: %w", refuse(ReasonReachesBack, "", "no")), connect.CodeFailedPrecondition, "reaches_back"},
		{refuse("a_reason_of_tomorrow", "", "no"), connect.CodeFailedPrecondition, "a_reason_of_tomorrow"},
		{refuse(ReasonConflict, "", "no"), connect.CodeAborted, "conflict"},
		{refuse(ReasonParked, "", "no"), connect.CodeUnavailable, "parked"},
		{refuse(ReasonDataLoss, "", "no"), connect.CodeDataLoss, "data_loss"},
		{fmt.Errorf("%w: period", query.ErrInvalid), connect.CodeInvalidArgument, "invalid_request"},
		{context.Canceled, connect.CodeCanceled, "canceled"},
		{fmt.Errorf("query: %w", context.DeadlineExceeded), connect.CodeDeadlineExceeded, "deadline_exceeded"},
		{errors.New("disk on fire"), connect.CodeInternal, "internal"},
		{connect.NewError(connect.CodeInvalidArgument, "unmarshal"), connect.CodeInvalidArgument, "malformed_request"},
		{connect.NewError(connect.CodeResourceExhausted, "big"), connect.CodeResourceExhausted, "request_too_large"},
		{connect.NewError(connect.CodeUnimplemented, "what"), connect.CodeUnimplemented, "malformed_request"},
		{connect.NewError(connect.CodeUnknown, "?"), connect.CodeUnknown, "internal"},
	} {
		wire := wireError(c.err)
		f := (&Clients{}).Explain(wire)
		if wire.Code() != c.code || f.Reason != c.reason || f.Message == "" {
			t.Errorf("%v: got %v %+v", c.err, wire, f)
		}
		if again := wireError(wire); again != wire {
			t.Errorf("%v: mapped twice it is %v", c.err, again)
		}
	}
}

func TestExplain(t *testing.T) {
	clients, err := NewClients("http://127.0.0.1:1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	_, err = clients.Subtotals.Get(t.Context(), nil)
	f := clients.Explain(err)
	if f == nil || f.Code != "unavailable" || f.Message[:len("no server answers at http://127.0.0.1:1")] != "no server answers at http://127.0.0.1:1" || f.Hint == "" {
		t.Errorf("got %+v (%v)", f, err)
	}
	if clients.Explain(errors.New("of no call")) != nil {
		t.Error("an error of no call was explained")
	}
}

func TestNewClientsRefuses(t *testing.T) {
	for _, c := range []struct{ base, token string }{
		{"127.0.0.1:8080", ""},
		{"", ""},
		{"ftp://x", ""},
		{"http://x/path", ""},
		{"http://", ""},
		{"http://billing.example", "0123456789abcdef"}, // unencrypted
		{"https://billing.example", "short"},
	} {
		if _, err := NewClients(c.base, c.token, nil); err == nil {
			t.Errorf("%q with token %q was accepted", c.base, c.token)
		}
	}
	for _, c := range []struct{ base, token string }{
		{"http://127.0.0.1:8080", "0123456789abcdef"}, {"https://billing.example/", "0123456789abcdef"}, {"http://[::1]:8080", ""},
	} {
		clients, err := NewClients(c.base, c.token, nil)
		if err != nil {
			t.Errorf("%q: %v", c.base, err)
			continue
		}
		clients.Close()
	}
}
