package rpc

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// A request within its bytes may be made of millions of empty messages, which take a
// hundred times as much memory when they are decoded.
func TestRequestsOfManyParts(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	post := func(t *testing.T, method, kind string, body []byte) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/tollway.v1."+method, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/"+kind)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(answer)
	}
	many := func(n int) string { return `{"events":[` + strings.Repeat("{},", n) + `{}]}` }
	for name, c := range map[string]struct {
		kind, body, says string
	}{
		"events":                        {"proto", strings.Repeat("\x0a\x00", ingestBytesMax/2), "made of more than"},
		"bodies":                        {"proto", strings.Repeat("\x12\x00", ingestBytesMax/2), "made of more than"},
		"events in JSON":                {"json", many(ingestBytesMax/3 - 100), "made of more than"},
		"as many as are looked at":      {"json", many(partsMax - 2), "events: 1 to"},
		"one more than are looked at":   {"json", many(partsMax - 1), "made of more than"},
		"one more than that, in binary": {"proto", strings.Repeat("\x0a\x00", partsMax+1), "made of more than"},
		"fewer, in binary":              {"proto", strings.Repeat("\x0a\x00", partsMax), "events: 1 to"},
		"no message":                    {"proto", strings.Repeat("\x0a\x00", partsMax) + "\x0a\xff", "unmarshal message"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, answer := post(t, "UsageService/Ingest", c.kind, []byte(c.body)); status != http.StatusBadRequest || !strings.Contains(answer, c.says) {
				t.Errorf("got %d %.300s", status, answer)
			}
		})
	}
}

// As many events as a request takes are no part too many, whatever is in their texts.
func TestRequestOfAsManyEventsAsMayBe(t *testing.T) {
	server, clients := serve(t, bill(), nil)
	request := &tollwayv1.UsageServiceIngestRequest{Compact: true}
	for range ingestEventsMax {
		request.Events = append(request.Events, &tollwayv1.UsageEvent{Id: "1", Source: "s", Type: "t", Subject: "emma", Time: timestamppb.Now(), Data: map[string]string{"text": `\"{{{{{`}})
	}
	answer, err := clients.Usage.Ingest(t.Context(), request)
	if err != nil || answer.GetAccepted()+answer.GetRejected() != ingestEventsMax {
		t.Fatalf("got %v, %v", proto.Size(answer), err)
	}
	var text bytes.Buffer
	if err := newJSONCodec().MarshalWrite(t.Context(), &text, request); err != nil {
		t.Fatal(err)
	}
	if status, answer := call(t, server.URL()+"/tollway.v1.UsageService/Ingest", text.String(), nil); status != http.StatusOK {
		t.Errorf("got %d %.300s", status, answer)
	}
}
