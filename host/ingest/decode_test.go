package ingest

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/sdk/billing"
)

// headers looks up like a broker's headers do, whatever the case.
func headers(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if strings.EqualFold(pairs[i], name) {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func contentType(kind string) func(string) string { return headers("Content-Type", kind) }

const goodJSON = `{"specversion":"1.0","id":"e1","source":"gate/7","type":"api.request","subject":"emma",` +
	`"time":"2026-10-01T12:00:00.5+02:00","data":{"calls":1.50,"region":"eu","free":false,"none":null}}`

var goodEvent = billing.UsageEvent{
	Source: "gate/7", ID: "e1", Type: "api.request", Account: "emma",
	Time: time.Date(2026, 10, 1, 10, 0, 0, 500_000_000, time.UTC),
	Data: []billing.Field{{Key: "calls", Text: "1.5"}, {Key: "free", Text: "false"}, {Key: "region", Text: "eu"}},
}

func TestDecodeEvent(t *testing.T) {
	for _, kind := range []string{
		ContentTypeEvent, "", "application/json", "Application/CloudEvents+JSON; charset=UTF-8", "application/cloudevents",
	} {
		events := NewDecoder(1).Decode(contentType(kind), []byte(goodJSON), nil)
		if len(events) != 1 || events[0].Problem != nil {
			t.Fatalf("%s: %+v", kind, events)
		}
		if diff := cmp.Diff(goodEvent, events[0].Usage()); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
		if events[0].Identity == (Hash{}) || events[0].Content == (Hash{}) {
			t.Errorf("%s: no hashes", kind)
		}
	}
}

// A packed batch needs no header: nothing else begins as it does.
func TestPackedSaysWhatItIs(t *testing.T) {
	packed, err := Pack(nil, []billing.UsageEvent{goodEvent})
	if err != nil {
		t.Fatal(err)
	}
	want := NewDecoder(1).Decode(contentType(ContentTypePacked), packed, nil)
	got := NewDecoder(1).Decode(headers(), packed, nil)
	if diff := cmp.Diff(want, got); diff != "" || !SaysPacked(packed) {
		t.Errorf("without a header (says so: %v): %s", SaysPacked(packed), diff)
	}
	if empty := NewDecoder(1).Decode(headers(), []byte{'\n', 0}, nil); len(empty) != 0 {
		t.Errorf("an empty batch without a header: %+v", empty)
	}
	for name, c := range map[string]struct {
		header func(string) string
		body   string
		bad    bool
	}{
		"JSON behind a line end":       {headers(), "\n" + goodJSON, false},
		"an array behind a line end":   {headers(), "\n[" + goodJSON + "]", false},
		"a zero byte that is no batch": {headers(), "\x00" + goodJSON, true},
		"another content type":         {contentType(ContentTypeEvent), string(packed), true},
		"any JSON type":                {contentType("application/json"), string(packed), true},
		"no first string":              {headers(), string(packed[2:]), true},
	} {
		events := NewDecoder(1).Decode(c.header, []byte(c.body), nil)
		if len(events) != 1 || (events[0].Problem != nil) != c.bad {
			t.Errorf("%s: %+v", name, events)
		}
	}
}

func TestDecodeArrayKeepsTheGoodElements(t *testing.T) {
	second := strings.Replace(goodJSON, `"e1"`, `"e2"`, 1)
	bad := map[string]string{
		`7`: "undecodable_event: event: must be a JSON object, is a number",
		strings.Replace(goodJSON, `"id":"e1",`, ``, 1):                "missing_attribute: id: is missing",
		strings.Replace(goodJSON, `"id":"e1"`, `"id":"e1","id":1`, 1): `undecodable_event: event: duplicate object member name "id"`,
		strings.Replace(goodJSON, `"calls"`, `"region"`, 1):           `undecodable_event: event: duplicate object member name "region" within "/data"`,
		strings.Replace(goodJSON, "gate", "g\xffte", 1):               `undecodable_event: event: invalid UTF-8 within "/source" after offset 42`,
	}
	for element, want := range bad {
		for _, body := range []string{"[" + goodJSON + "," + element + "," + second + "]", " [ " + element + " , " + goodJSON + "," + second + " ] "} {
			for _, kind := range []string{ContentTypeArray, ""} {
				events := NewDecoder(1).Decode(contentType(kind), []byte(body), nil)
				if len(events) != 3 {
					t.Fatalf("%s: %d events", body, len(events))
				}
				var problems, good []string
				for i, e := range events {
					if e.Index != i {
						t.Errorf("%s: event %d has the index %d", body, i, e.Index)
					}
					if e.Problem != nil {
						problems = append(problems, e.Problem.Reason+": "+e.Problem.Detail)
					} else {
						good = append(good, e.ID)
					}
				}
				if diff := cmp.Diff([]string{want}, problems); diff != "" {
					t.Errorf("%s: %s", body, diff)
				}
				if diff := cmp.Diff([]string{"e1", "e2"}, good); diff != "" {
					t.Errorf("%s: %s", body, diff)
				}
			}
		}
	}
}

// change returns goodJSON with one part replaced.
func change(old, replacement string) string {
	if !strings.Contains(goodJSON, old) {
		panic(old)
	}
	return strings.Replace(goodJSON, old, replacement, 1)
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"f%d":%d,`, i, i)
	}
	return b.String()
}

func TestDecodeProblems(t *testing.T) {
	long := strings.Repeat("x", AttributeBytesMax+1)
	const zoneHint = "is not an RFC 3339 time with a zone, such as 2026-10-01T12:00:00Z"
	for _, c := range []struct{ kind, body, want string }{
		{ContentTypeEvent, ``, "undecodable_message: message: is empty"},
		{ContentTypeEvent, `{`, "undecodable_message: message: unexpected EOF after offset 1"},
		{ContentTypeEvent, `{"id":}`, `undecodable_message: message: invalid character '}' at start of value within "/id" after offset 6`},
		{ContentTypeEvent, goodJSON + goodJSON, "undecodable_message: message: more than one JSON value; send several events as an array"},
		{ContentTypeEvent, `[` + goodJSON + `]`, "undecodable_event: event: must be a JSON object, is an array"},
		{ContentTypeEvent, `nil`, "undecodable_message: message: invalid character 'i' in literal null (expecting 'u') after offset 1"},
		{ContentTypeArray, goodJSON, "undecodable_message: message: must be a JSON array, is an object; the content type of one event is application/cloudevents+json"},
		{ContentTypeArray, ``, "undecodable_message: message: is empty"},
		{ContentTypeArray, `[` + goodJSON, "undecodable_message: message: unexpected EOF after offset " + strconv.Itoa(len(goodJSON)+1)},
		{ContentTypeArray, `[` + goodJSON + `]]`, "undecodable_message: message: invalid character ']' at start of value after offset " + strconv.Itoa(len(goodJSON)+2)},
		{ContentTypeArray, `[` + goodJSON + `,]`, "undecodable_message: message: invalid character ',' at start of value after offset " + strconv.Itoa(len(goodJSON)+1)},
		{"text/plain", goodJSON, `undecodable_message: message: content type "text/plain" is not known: use application/cloudevents+json, application/cloudevents-batch+json or application/vnd.tollway.usage-batch+protobuf, or send the attributes as ce- headers`},

		{"", change(`"specversion":"1.0",`, ``), "missing_attribute: specversion: is missing"},
		{"", change(`"specversion":"1.0"`, `"specversion":"0.3"`), `bad_attribute: specversion: is "0.3", must be "1.0"`},
		{"", change(`"specversion":"1.0"`, `"specversion":1.0`), `bad_attribute: specversion: must be a string, is a number`},
		{"", change(`"e1"`, `null`), "missing_attribute: id: is missing"},
		{"", change(`"e1"`, `""`), "missing_attribute: id: is missing"},
		{"", change(`"e1"`, `{}`), "bad_attribute: id: must be a string, is an object"},
		{"", change(`"e1"`, `"`+long+`"`), "bad_attribute: id: is 513 bytes long, at most 512 are allowed"},
		{"", change(`"gate/7"`, `"a\u0000b"`), `bad_attribute: source: "a\x00b" holds control characters or invalid UTF-8`},
		{"", change(`"gate/7"`, `"a\u0085b"`), `bad_attribute: source: "a\u0085b" holds control characters or invalid UTF-8`},
		{"", change(`"api.request"`, `["x"]`), "bad_attribute: type: must be a string, is an array"},
		{"", change(`"subject":"emma",`, ``), "missing_attribute: subject: is missing"},
		{"", change(`"emma"`, `"`+strings.Repeat("/", 67)+`"`), "bad_account: subject: account id is too long: its token exceeds 200 bytes"},
		{"", change(`"emma"`, `"a\nb"`), `bad_account: subject: "a\nb" holds control characters or invalid UTF-8`},
		{"", change(`"emma"`, `"`+strings.Repeat("x", 600)+`"`), "bad_account: subject: account id is too long: its token exceeds 200 bytes"},
		{"", change(`"time":"2026-10-01T12:00:00.5+02:00",`, ``), "missing_attribute: time: is missing"},
		{"", change(`12:00:00.5+02:00`, `12:00:00`), `bad_time: time: "2026-10-01T12:00:00" ` + zoneHint},
		{"", change(`T12:00:00.5+02:00`, ``), `bad_time: time: "2026-10-01" ` + zoneHint},
		{"", change(`2026-10-01T`, `2026-02-30T`), `bad_time: time: "2026-02-30T12:00:00.5+02:00" ` + zoneHint},
		{"", change(`"2026-10-01T12:00:00.5+02:00"`, `1790848800`), "bad_attribute: time: must be a string, is a number"},
		{"", change(`2026-10-01T12:00:00.5+02:00`, `1699-12-31T23:59:59.999999999Z`), `bad_time: time: 1699-12-31T23:59:59.999999999Z lies outside the years 1700 to 2261`},
		{"", change(`2026-10-01T12:00:00.5+02:00`, `2262-01-01T00:00:00Z`), `bad_time: time: 2262-01-01T00:00:00Z lies outside the years 1700 to 2261`},
		{"", change(`{"calls":1.50,"region":"eu","free":false,"none":null}`, `"calls"`), "bad_data: data: must be a JSON object, is a string"},
		{"", change(`{"calls":1.50,"region":"eu","free":false,"none":null}`, `[1]`), "bad_data: data: must be a JSON object, is an array"},
		{"", change(`1.50`, `1e1000001`), `bad_data: data: field "calls": the number "1e1000001" has an exponent beyond 1000000`},
		{"", change(`1.50`, `{"a":[1e1000001]}`), `bad_data: data: field "calls": the number "1e1000001" has an exponent beyond 1000000`},
		{"", change(`1.50`, strings.Repeat("[", 32)+strings.Repeat("]", 32)), `bad_data: data: field "calls" is nested more than 32 deep`},
		{"", change(`"free"`, manyFields(254)+`"free"`), "bad_data: data: has 257 fields, at most 256 are allowed"},
		{"", change(`"data":`, `"datacontenttype":"text/xml","data":`), `bad_data: datacontenttype: is "text/xml", usage data must be application/json`},
		{"", change(`"data":`, `"datacontenttype":1,"data":`), `bad_attribute: datacontenttype: must be a string, is a number`},
		{"", change(`"data":`, `"data_base64":"e30=","data":`), `bad_data: data_base64: is there beside data`},
		{"", change(`"data":`, `"data_base64":"e30","xdata":`), `bad_data: data_base64: is not base64`},
		{"", change(`"data":`, `"data_base64":"e30K7w==","xdata":`), `bad_data: data_base64: invalid character '\xef' at start of value after offset 3`},
		{"", change(`"data":`, `"data_base64":"W10=","xdata":`), `bad_data: data_base64: must be a JSON object, is an array`},
		{"", change(`"data":`, `"data_base64":"","xdata":`), `bad_data: data_base64: is empty`},
		{"", change(`"data":`, `"data_base64":7,"xdata":`), `bad_attribute: data_base64: must be a string, is a number`},
	} {
		events := NewDecoder(1).Decode(contentType(c.kind), []byte(c.body), nil)
		if len(events) != 1 || events[0].Problem == nil {
			t.Errorf("%s %.200s: %+v, want one problem: %s", c.kind, c.body, events, c.want)
			continue
		}
		e := events[0]
		if got := e.Problem.Reason + ": " + e.Problem.Detail; got != c.want {
			t.Errorf("%s %.200s:\n got %s\nwant %s", c.kind, c.body, got, c.want)
		}
		if e.Identity != (Hash{}) || e.Content != (Hash{}) {
			t.Errorf("%s %.200s: has hashes", c.kind, c.body)
		}
	}
}

func TestDecodeLimits(t *testing.T) {
	d := NewDecoder(1)
	if events := d.Decode(contentType(""), make([]byte, BodyBytesMax+1), nil); len(events) != 1 ||
		events[0].Problem.Reason != ReasonMessageTooLarge {
		t.Errorf("a body too long: %+v", events)
	}
	array := func(n int, extra string) []byte {
		return []byte("[" + strings.Repeat(goodJSON+",", n-1) + extra + "]")
	}
	for _, c := range []struct {
		name string
		body []byte
		want int
	}{
		{"just enough", array(MessageEventsMax, goodJSON), MessageEventsMax},
		{"just enough, one bad", array(MessageEventsMax, `{"a":1,"a":2}`), MessageEventsMax},
		{"too many", array(MessageEventsMax+1, goodJSON), 1},
		{"too many, one bad", append([]byte(`[{"a":1,"a":2},`), array(MessageEventsMax, goodJSON)[1:]...), 1},
	} {
		kept := []Event{{ID: "before"}}
		events := d.Decode(contentType(ContentTypeArray), c.body, kept)
		if len(events) != 1+c.want || events[0].ID != "before" {
			t.Errorf("%s: %d events", c.name, len(events)-1)
		}
		if p := events[1].Problem; c.want == 1 && (p == nil || p.Reason != ReasonTooManyEvents) {
			t.Errorf("%s: %v", c.name, p)
		}
	}
	if events := d.Decode(contentType(ContentTypeArray), []byte(`[]`), nil); len(events) != 0 {
		t.Errorf("an empty array: %+v", events)
	}
	nested := change(`1.50`, strings.Repeat("[", 31)+strings.Repeat("]", 31))
	if e := d.Decode(contentType(""), []byte(nested), nil)[0]; e.Problem != nil {
		t.Errorf("nested as deeply as allowed: %v", e.Problem)
	}
	fields := change(`"free"`, manyFields(253)+`"free"`)
	if e := d.Decode(contentType(""), []byte(fields), nil)[0]; e.Problem != nil || len(e.Data) != DataFieldsMax {
		t.Errorf("as many fields as allowed: %v, %d", e.Problem, len(e.Data))
	}
}

func TestDecodeData(t *testing.T) {
	for data, want := range map[string][]billing.Field{
		`{}`:   nil,
		`null`: nil,
		`{"a":1e3,"b":"1e3","c":true,"d":null,"":""}`:              {{}, {Key: "a", Text: "1000"}, {Key: "b", Text: "1e3"}, {Key: "c", Text: "true"}},
		`{"a\u0062":"\u00e4\n\"\\\/"}`:                             {{Key: "ab", Text: "ä\n\"\\/"}},
		`{"o": { "b" : [ 1.0 , null , "x\u0041" ] , "a" : { } } }`: {{Key: "o", Text: `{"a":{},"b":[1,null,"xA"]}`}},
		`{"o":{"é":1,"z":2,"\u0001":3,"</>":-0.0}}`:                {{Key: "o", Text: `{"\u0001":3,"</>":0,"z":2,"é":1}`}},
		`{"l":[]}`: {{Key: "l", Text: `[]`}},
	} {
		whole := change(`{"calls":1.50,"region":"eu","free":false,"none":null}`, data)
		events := NewDecoder(1).Decode(contentType(""), []byte(whole), nil)
		if events[0].Problem != nil {
			t.Fatalf("%s: %v", data, events[0].Problem)
		}
		if diff := cmp.Diff(want, events[0].Data); diff != "" {
			t.Errorf("%s: %s", data, diff)
		}
		if data == `null` {
			continue
		}
		encoded := change(`"data":{"calls":1.50,"region":"eu","free":false,"none":null}`,
			`"data_base64":"`+base64.StdEncoding.EncodeToString([]byte(data))+`"`)
		again := NewDecoder(1).Decode(contentType(""), []byte(encoded), nil)
		if diff := cmp.Diff(events, again); diff != "" {
			t.Errorf("%s as base64: %s", data, diff)
		}
	}
}

func TestDecodeBinary(t *testing.T) {
	base := []string{
		"ce-specversion", "1.0", "Ce-Id", "e1", "CE-Source", "gate%2F7", "ce-type", `"api.request"`, "ce-subject", "emma",
		"ce-time", "2026-10-01T12:00:00.5%2B02:00",
	}
	data := `{"calls":1.50,"region":"eu","free":false,"none":null}`
	structured := NewDecoder(1).Decode(contentType(""), []byte(goodJSON), nil)
	for _, extra := range [][]string{
		nil, {"content-type", "application/json"}, {"ce-datacontenttype", "application/vnd.x+json", "content-type", "text/plain"},
	} {
		events := NewDecoder(1).Decode(headers(append(base, extra...)...), []byte(data), nil)
		if diff := cmp.Diff(structured, events); diff != "" {
			t.Errorf("%v: %s", extra, diff)
		}
	}
	for _, body := range []string{"", " \n"} {
		if e := NewDecoder(1).Decode(headers(base...), []byte(body), nil)[0]; e.Problem != nil || e.Data != nil {
			t.Errorf("without data: %+v", e)
		}
	}
	for _, c := range []struct{ name, value, body, want string }{
		{"ce-source", "", data, "missing_attribute: source: is missing"},
		{"ce-specversion", "0.3", data, `bad_attribute: specversion: is "0.3", must be "1.0"`},
		{"ce-source", "100%", data, `bad_attribute: source: the header's value "100%" is not percent-encoded: % must be followed by two hexadecimal digits, % itself is %25`},
		{"ce-source", "%C0%A0", data, `bad_attribute: source: the header's value "%C0%A0" is not valid UTF-8 when decoded`},
		{"ce-source", `"x`, data, `bad_attribute: source: the header's value "\"x" begins with a quotation mark that is not closed`},
		{"ce-source", `"x"y`, data, `bad_attribute: source: the header's value "\"x\"y" begins with a quotation mark that is not closed`},
		{"content-type", "text/xml", data, `bad_data: datacontenttype: is "text/xml", usage data must be application/json`},
		{"x", "x", `[]`, `bad_data: data: must be a JSON object, is an array`},
		{"x", "x", `{"a":1,"a":2}`, `bad_data: data: duplicate object member name "a"`},
		{"x", "x", `{} {}`, `bad_data: data: more than one JSON value; send several events as an array`},
		{"x", "x", `{`, `bad_data: data: unexpected EOF after offset 1`},
	} {
		e := NewDecoder(1).Decode(headers(append([]string{c.name, c.value}, base...)...), []byte(c.body), nil)[0]
		if e.Problem == nil || e.Problem.Reason+": "+e.Problem.Detail != c.want {
			t.Errorf("%s %q: %+v\nwant %s", c.name, c.value, e.Problem, c.want)
		}
		if c.name == "x" && e.ID != "e1" {
			t.Errorf("%s: the attributes are gone: %+v", c.body, e)
		}
	}
	quoted := NewDecoder(1).Decode(headers(append([]string{"ce-source", `"a \"b\" %C3%A4"`}, base...)...), nil, nil)[0]
	if quoted.Problem != nil || quoted.Source != `a "b" ä` {
		t.Errorf("a quoted header: %+v", quoted)
	}
}

// TestEventsLive: events hold until Reset, whatever is decoded meanwhile, and their memory is used again behind it.
func TestEventsLive(t *testing.T) {
	d := NewDecoder(1)
	packed, err := Pack(nil, []billing.UsageEvent{goodEvent})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		events := d.Decode(contentType(""), []byte(goodJSON), nil)
		events = d.Decode(contentType(ContentTypePacked), packed, events)
		for range 2000 { // enough to fill blocks of the arena several times
			d.Decode(contentType(""), []byte(change(`"e1"`, `"other"`)), nil)
		}
		for _, e := range events {
			if diff := cmp.Diff(goodEvent, e.Usage()); diff != "" {
				t.Error(diff)
			}
		}
		used := d.arena.fields.used
		d.Reset()
		if d.Decode(contentType(ContentTypePacked), packed, nil); d.arena.fields.used != 1 || len(d.arena.fields.kept) != used {
			t.Errorf("%d of %d blocks in use after Reset, %d before", d.arena.fields.used, len(d.arena.fields.kept), used)
		}
		d.Reset()
	}
}

// TestResetLetsGo: what one large message needed is not kept for ever.
func TestResetLetsGo(t *testing.T) {
	d := NewDecoder(1)
	large, small := d.arena.fields.take(fieldsKept+1, 1), d.arena.fields.take(3, 8)
	small[0].Key, large[0].Key = "a", "b"
	d.Reset()
	if n := len(d.arena.fields.kept); n != 0 {
		t.Errorf("%d blocks kept", n)
	}
	kept := d.arena.fields.take(3, 8)
	kept[2].Key = "c"
	d.Reset()
	if n := len(d.arena.fields.kept); n != 1 || kept[2].Key != "" {
		t.Errorf("%d blocks kept, %q in the first", n, kept[2].Key)
	}
}

func TestValidate(t *testing.T) {
	if p := Validate(&goodEvent); p != nil {
		t.Fatal(p)
	}
	for want, spoil := range map[string]func(e *billing.UsageEvent){
		"missing_attribute: id: is missing":                                        func(e *billing.UsageEvent) { e.ID = "" },
		"bad_attribute: type: is 600 bytes long, at most 512 are allowed":          func(e *billing.UsageEvent) { e.Type = strings.Repeat("t", 600) },
		"missing_attribute: subject: is missing":                                   func(e *billing.UsageEvent) { e.Account = "" },
		"bad_time: time: 0001-01-01T00:00:00Z lies outside the years 1700 to 2261": func(e *billing.UsageEvent) { e.Time = time.Time{} },
		`bad_data: data: field "a" is there twice`:                                 func(e *billing.UsageEvent) { e.Data = []billing.Field{{Key: "a"}, {Key: "a"}} },
		`bad_data: data: field "\xff" is not valid UTF-8`:                          func(e *billing.UsageEvent) { e.Data = []billing.Field{{Key: "\xff"}} },
		"bad_data: data: has 300 fields, at most 256 are allowed":                  func(e *billing.UsageEvent) { e.Data = make([]billing.Field, 300) },
	} {
		e := goodEvent
		spoil(&e)
		if p := Validate(&e); p == nil || p.Reason+": "+p.Detail != want {
			t.Errorf("%v, want %s", p, want)
		}
	}
}

func TestTimesInside(t *testing.T) {
	first, end := time.Date(yearMin, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(yearMax+1, 1, 1, 0, 0, 0, 0, time.UTC)
	if !timeInside(first) || timeInside(first.Add(-1)) || !timeInside(end.Add(-1)) || timeInside(end) {
		t.Error("the limits are not the starts of their years")
	}
	for _, base := range []int64{first.UnixNano(), 0, end.UnixNano() - 1} {
		for instant, want := range map[int64]bool{first.UnixNano(): true, first.UnixNano() - 1: false, end.UnixNano() - 1: true, end.UnixNano(): false} {
			delta := instant - base
			if overflow := (delta > 0) != (instant > base) && delta != 0; !overflow && deltaInside(base, delta) != want {
				t.Errorf("%d and %d: %v", base, delta, !want)
			}
		}
	}
}
