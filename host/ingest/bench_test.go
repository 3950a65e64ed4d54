package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// usage makes events as a telco's or a cloud's meters send them: ids of their own, few accounts, types and regions.
func usage(n int) []billing.UsageEvent {
	events := make([]billing.UsageEvent, n)
	for i := range events {
		events[i] = billing.UsageEvent{
			Source: "//gateway.example.com/7", ID: fmt.Sprintf("0192f0c1-%08d", i), Type: "api.request",
			Account: billing.AccountID(fmt.Sprintf("account-%d", i%50)), Time: goodEvent.Time.Add(time.Duration(i) * 1234567 * time.Nanosecond),
			Data: []billing.Field{
				{Key: "calls", Text: fmt.Sprint(1 + i%9)},
				{Key: "bytes", Text: fmt.Sprintf("%d.%d", i*37, 1+i%9)},
				{Key: "region", Text: []string{"eu-central-1", "us-east-1"}[i%2]},
			},
		}
	}
	return events
}

// benchmarkDecode decodes bodies over and over, in the way of a partition: one decoder, one slice of events. One operation
// is one event.
func benchmarkDecode(b *testing.B, kind string, bodies [][]byte, eventsPerBody int) {
	b.Helper()
	d := NewDecoder(1)
	header := contentType(kind)
	var events []Event
	size := 0
	for _, body := range bodies {
		size += len(body)
	}
	const settled = 4000 // events between resets
	run := func(n int) {
		for i := 0; i < n; i += eventsPerBody {
			if len(events) >= settled {
				events = events[:0]
				d.Reset()
			}
			events = d.Decode(header, bodies[i/eventsPerBody%len(bodies)], events)
		}
	}
	run(2 * settled) // until the memory is there
	b.ReportAllocs()
	b.SetBytes(int64(size / len(bodies) / eventsPerBody))
	b.ResetTimer()
	run(b.N)
	b.StopTimer()
	for _, e := range events {
		if e.Problem != nil {
			b.Fatal(e.Problem)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkDecodeEvent(b *testing.B) {
	benchmarkDecode(b, ContentTypeEvent, structuredBodies(b), 1)
}

func structuredBodies(b testing.TB) (bodies [][]byte) {
	b.Helper()
	for _, e := range usage(1000) {
		body, err := AppendJSON(nil, &e)
		if err != nil {
			b.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

func BenchmarkDecodeArray100(b *testing.B) {
	var array []byte
	for i, body := range structuredBodies(b)[:100] {
		array = append(append(array, "[,"[min(i, 1)]), body...)
	}
	benchmarkDecode(b, ContentTypeArray, [][]byte{append(array, ']')}, 100)
}

func BenchmarkDecodeBinary(b *testing.B) {
	d := NewDecoder(1)
	header := map[string]string{
		"ce-specversion": "1.0", "ce-id": "0192f0c1-00000001", "ce-source": "//gateway.example.com/7",
		"ce-type": "api.request", "ce-subject": "account-1", "ce-time": "2026-10-01T12:00:00.5Z",
	}
	get := func(name string) string { return header[name] }
	body := []byte(`{"calls":7,"bytes":37.5,"region":"eu-central-1"}`)
	var events []Event
	b.ReportAllocs()
	for b.Loop() {
		events = d.Decode(get, body, events[:0])
	}
	if events[0].Problem != nil {
		b.Fatal(events[0].Problem)
	}
}

func benchmarkPacked(b *testing.B, n int) {
	b.Helper()
	body, err := Pack(nil, usage(n))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkDecode(b, ContentTypePacked, [][]byte{body}, n)
}

func BenchmarkDecodePacked10(b *testing.B)   { benchmarkPacked(b, 10) }
func BenchmarkDecodePacked100(b *testing.B)  { benchmarkPacked(b, 100) }
func BenchmarkDecodePacked1000(b *testing.B) { benchmarkPacked(b, 1000) }

// BenchmarkDecodePackedAccounts decodes events each of which has an account of its own, the dearest that there are.
func BenchmarkDecodePackedAccounts(b *testing.B) {
	const bodiesEvents = 100
	events := usage(100 * bodiesEvents)
	var bodies [][]byte
	for i := range events {
		events[i].Account = billing.AccountID(fmt.Sprintf("account-%d", i*7919))
		if i%bodiesEvents == bodiesEvents-1 {
			body, err := Pack(nil, events[i+1-bodiesEvents:i+1])
			if err != nil {
				b.Fatal(err)
			}
			bodies = append(bodies, body)
		}
	}
	benchmarkDecode(b, ContentTypePacked, bodies, bodiesEvents)
}

// packAll packs events in messages of a hundred.
func packAll(tb testing.TB, p *Packer, events []billing.UsageEvent, body []byte) []byte {
	tb.Helper()
	for i := range events {
		if err := p.Add(&events[i]); err != nil {
			tb.Fatal(err)
		}
		if p.Len() == 100 {
			body = p.AppendMessage(body[:0])
		}
	}
	return body
}

func BenchmarkPack100(b *testing.B) {
	events := usage(1000)
	p := NewPacker(BodyBytesMax)
	body := packAll(b, p, events, nil)
	b.ReportAllocs()
	b.ResetTimer()
	for n := b.N; n > 0; n -= len(events) {
		body = packAll(b, p, events[:min(n, len(events))], body)
	}
}

func TestPackAllocations(t *testing.T) {
	events := usage(1000)
	p := NewPacker(BodyBytesMax)
	var body []byte
	if got := testing.AllocsPerRun(10, func() { body = packAll(t, p, events, body) }); got > 0 {
		t.Errorf("%.0f allocations in a thousand events, none are meant", got)
	}
}

// TestDecodeAllocations holds decoding to making no garbage, once its memory is there.
func TestDecodeAllocations(t *testing.T) {
	batch, err := Pack(nil, usage(100))
	if err != nil {
		t.Fatal(err)
	}
	single, err := AppendJSON(nil, &usage(1)[0])
	if err != nil {
		t.Fatal(err)
	}
	array := []byte("[" + string(single) + "," + goodJSON + "]")
	for _, c := range []struct {
		kind string
		body []byte
	}{{ContentTypePacked, batch}, {ContentTypeEvent, single}, {ContentTypeArray, array}} {
		d := NewDecoder(1)
		header := contentType(c.kind)
		var events []Event
		decode := func() {
			for range 100 {
				events = d.Decode(header, c.body, events[:0])
			}
			d.Reset()
		}
		if got := testing.AllocsPerRun(10, decode); got > 0 {
			t.Errorf("%s: %.0f allocations in a hundred messages, none are meant", c.kind, got)
		}
	}
}
