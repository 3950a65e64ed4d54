package rpc

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

const emmaBill = `{"account":"emma","period":{"id":"2026-10-01","start":"2026-09-30T22:00:00Z","end":"2026-10-31T22:00:00Z"},` +
	`"totals":[{"amount":"100.50","currency":"EUR"}],"subtotals":[` +
	`{"id":"979b4fa7166d5730e0ab79c6","account":"emma","subscription":"main","tariff":"api_standard","meter":"api_calls","currency":"EUR",` +
	`"period":{"id":"2026-10-01","start":"2026-09-30T22:00:00Z","end":"2026-10-31T22:00:00Z"},"group":{"region":"eu"},` +
	`"lines":[{"id":"usage","description":"API calls","quantity":"12.5","amount":"100.00"}],"amount":"100.00","events":"3",` +
	`"last_event_time":"2026-10-03T04:05:06Z","final":false,"effective_from":"2026-01-01T00:00:00Z","plugin":"sha256:ab"},` +
	`{"id":"06d459cde3be4057cff0a6b7","account":"emma","subscription":"main","tariff":"api_standard","meter":"api_calls","currency":"EUR",` +
	`"period":{"id":"2026-10-01","start":"2026-09-30T22:00:00Z","end":"2026-10-31T22:00:00Z"},"group":{"region":"us"},` +
	`"lines":[{"id":"usage","description":"API calls","quantity":"12.5","amount":"0.50"}],"amount":"0.50","events":"3",` +
	`"last_event_time":"2026-10-03T04:05:06Z","final":false,"effective_from":"2026-01-01T00:00:00Z","plugin":"sha256:ab"}],` +
	`"final":false,"as_of":{"positions":[{"stream":"USAGE-0","partition":0,"sequence":"7"},{"stream":"USAGE-1","partition":1,"sequence":"1152921504606846976"}],` +
	`"watermark":"2026-10-03T04:05:06Z","catalog_revision":"2","token":"AgAHAYCAgICAgICAEMSOf9s"}}`

func TestGetAsJSON(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	status, answer := call(t, server.URL()+"/tollway.v1.SubtotalService/Get", `{"account":"emma"}`, nil)
	if status != 200 || answer != emmaBill {
		t.Errorf("POST: %d\n got %s\nwant %s", status, answer, emmaBill)
	}
	response, err := client(t).Get(server.URL() + "/tollway.v1.SubtotalService/Get?encoding=json&message=" + url.QueryEscape(`{"account":"emma"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || string(body) != emmaBill {
		t.Errorf("GET: %d %v %s", response.StatusCode, err, body)
	}
	if got := response.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
}

// TestGetMethods asks each method by GET: exactly the reads that are not
// streams take it.
func TestGetMethods(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	var allowed []string
	for _, service := range ServiceNames() {
		for _, method := range []string{"Get", "List", "Sum", "History", "Forecast", "Watch", "Export", "Ingest", "Apply", "Close"} {
			response, err := client(t).Head(server.URL() + "/" + service + "/" + method)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if strings.Contains(response.Header.Get("Allow"), "GET") {
				allowed = append(allowed, strings.TrimPrefix(service, "tollway.v1.")+"/"+method)
			}
		}
	}
	want := []string{
		"BackfillService/List", "CatalogService/Get", "DeadLetterService/Get", "DeadLetterService/List", "DeliveryService/List", "InvoiceService/Get", "InvoiceService/List",
		"PeriodService/List", "PluginService/List", "SubtotalService/Get", "SubtotalService/List", "SubtotalService/Sum", "SubtotalService/History", "SubtotalService/Forecast",
	}
	if !slices.Equal(allowed, want) {
		t.Errorf("got %v\nwant %v", allowed, want)
	}
}

func TestRefusedRequests(t *testing.T) {
	engine := bill()
	engine.closed = func(CloseRequest) (Closed, error) { return Closed{}, nil }
	server, _ := serve(t, engine, nil)
	for _, c := range []struct {
		method, body, want string
		status             int
	}{
		{"SubtotalService/Get", `{"acount":"emma"}`, `unknown field \"acount\"`, 400},
		{"SubtotalService/Get", `{}`, "account is missing", 400},
		{"SubtotalService/Get", `not JSON`, "malformed_request", 400},
		{"SubtotalService/Get", `{"account":"emma","currency":"euro"}`, "ISO 4217", 400},
		{"SubtotalService/Get", `{"account":"emma","period":"October"}`, "invalid_period", 400},
		{"SubtotalService/List", `{"account":"` + strings.Repeat("x", 300) + `"}`, "too long", 400},
		{"SubtotalService/List", `{"page_token":"AQ"}`, "invalid_page_token", 400},
		{"SubtotalService/Get", `{"account":"emma","min_position":{"token":"x"}}`, "invalid_position", 400},
		{"SubtotalService/Get", `{"account":"emma","min_position":{"positions":[{"partition":9,"sequence":1}]}}`, "invalid_position", 400},
		{"SubtotalService/Get", `{"account":"emma","min_position":{"positions":[{"partition":99999,"sequence":1}]}}`, "cannot be", 400},
		{"SubtotalService/Get", `{"account":"emma","min_position":{"max_wait":"-1s"}}`, "not a duration", 400},
		{"UsageService/Ingest", `{"events":[]}`, "1 to 10000", 400},
		{"UsageService/Ingest", `{"events":[{"data":{"calls":12}}]}`, `{\"calls\": \"12\"}`, 400},
		{"InvoiceService/Get", `{}`, "id is missing", 400},
		{"InvoiceService/Get", `{"id":"nope"}`, `"reason":"not_found"`, 404},
		{"PeriodService/Close", `{}`, "period is missing", 400},
		{"PeriodService/Close", `{"period":"2026-10","time_zone":"Moon/Crater"}`, "IANA", 400},
		{"PeriodService/Close", `{"period":"2026-10","anchor_day":32}`, "not a day of a month", 400},
		{"PeriodService/List", `{"state":9}`, "not a state", 400},
		{"CatalogService/Apply", `{}`, "files is empty", 400},
		{"CatalogService/Apply", `{"files":[{"name":"c.yaml","data":"YQ==","text":"a"}]}`, "both data and text", 400},
		{"CatalogService/Apply", `{"files":[{}],"plugins":[{"path":"a"},{"path":"a"}]}`, "there twice", 400},
		{"SubtotalService/Sum", `{"group_by":"GROUP_BY_DIMENSION"}`, "dimension is missing", 400},
		{"SubtotalService/Sum", `{"dimension":"region"}`, "not asked to group by", 400},
		{"SubtotalService/Sum", `{"group_by":17}`, "is unknown", 400},
		{"SubtotalService/Sum", `{"order_by":17}`, "is unknown", 400},
		{"SubtotalService/Sum", `{"page_token":"AQ"}`, "invalid_page_token", 400},
		{"SubtotalService/History", `{}`, "account is missing", 400},
		{"SubtotalService/History", `{"account":"emma","step":17}`, "is unknown", 400},
		{"SubtotalService/History", `{"account":"emma","period":"October"}`, "invalid_period", 400},
		{"SubtotalService/Forecast", `{}`, "account is missing", 400},
		{"SubtotalService/Forecast", `{"account":"emma","period":"October"}`, "invalid_period", 400},
		{"SubtotalService/Add", `{}`, "unknown_method", 501},
		{"SubtotalsService/Get", `{}`, "tollway.v1.SubtotalService", 404},
	} {
		status, answer := call(t, server.URL()+"/tollway.v1."+c.method, c.body, nil)
		if status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s %.80s: got %d %s", c.method, c.body, status, answer)
		}
	}
}

func TestIngest(t *testing.T) {
	engine := bill()
	engine.submit = func(_ context.Context, chunk UsageChunk) (UsageTicket, error) {
		var o UsageOutcome
		for i, e := range chunk.Events {
			if e.Type == "" {
				o.Rejected = append(o.Rejected, UsageRejection{Event: i, Reason: "missing_attribute", Detail: "type: is missing"})
				o.Runs = append(o.Runs, UsageRun{1, -1})
				continue
			}
			o.Runs = append(o.Runs, UsageRun{1, len(o.Positions)})
			o.Positions = append(o.Positions, query.Position{Stream: "USAGE-1", Partition: 1, Sequence: uint64(40 + i)})
		}
		return fakeTicket{outcome: o}, nil
	}
	_, clients := serve(t, engine, nil)
	at := timestamppb.New(time.Date(2026, 10, 3, 4, 5, 6, 7, time.UTC))
	answer, err := clients.Usage.Ingest(t.Context(), &tollwayv1.UsageServiceIngestRequest{Events: []*tollwayv1.UsageEvent{
		{Id: "1", Source: "s", Type: "t", Subject: "emma", Time: at, Data: map[string]string{"calls": "12", "a": "b"}},
		{Id: "2", Source: "s", Type: "t", Subject: "emma"},
		{Id: "3", Source: "s", Subject: "emma", Time: at},
		{Id: "4", Source: "s", Type: "t", Subject: "emma", Time: &timestamppb.Timestamp{Nanos: -1}},
		{Id: "5", Source: "s", Type: "t", Subject: "emma", Time: at},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range answer.GetResults() {
		if p := r.GetAccepted(); p != nil {
			got = append(got, fmt.Sprintf("%s/%d/%d", p.GetStream(), p.GetPartition(), p.GetSequence()))
			continue
		}
		got = append(got, r.GetRejected().GetReason())
	}
	want := []string{"USAGE-1/1/40", "missing_attribute", "missing_attribute", "bad_time", "USAGE-1/1/42"}
	if !slices.Equal(got, want) || answer.GetAccepted() != 2 || answer.GetRejected() != 3 {
		t.Errorf("got %v, %d accepted, %d rejected", got, answer.GetAccepted(), answer.GetRejected())
	}
	positions, err := parsePositionToken(answer.GetPositionToken())
	if err != nil || !slices.Equal(positions, []query.Position{{Partition: 1, Sequence: 42}}) {
		t.Errorf("the token says %v, %v", positions, err)
	}
	first := engine.ingested[0]
	if first.ID != "1" || first.Account != "emma" || !first.Time.Equal(at.AsTime()) ||
		!slices.Equal(first.Data, []billing.Field{{Key: "a", Text: "b"}, {Key: "calls", Text: "12"}}) {
		t.Errorf("the engine got %+v", first)
	}
}

func TestIngestNeedsAResultForEachEvent(t *testing.T) {
	engine := bill()
	engine.submit = func(context.Context, UsageChunk) (UsageTicket, error) { return fakeTicket{}, nil }
	_, clients := serve(t, engine, nil)
	_, err := clients.Usage.Ingest(t.Context(), &tollwayv1.UsageServiceIngestRequest{Events: []*tollwayv1.UsageEvent{{Time: timestamppb.Now()}}})
	if reason(clients, err) != ReasonInternal {
		t.Errorf("got %v", err)
	}
}

func TestListPages(t *testing.T) {
	_, clients := serve(t, bill(), nil)
	request := &tollwayv1.SubtotalServiceListRequest{PageSize: 1, Tariff: "api_standard"}
	var groups []string
	for {
		answer, err := clients.Subtotals.List(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range answer.GetSubtotals() {
			groups = append(groups, s.GetGroup()["region"])
		}
		if request.PageToken = answer.GetNextPageToken(); request.GetPageToken() == "" {
			break
		}
		other := &tollwayv1.SubtotalServiceListRequest{PageSize: 1, PageToken: request.GetPageToken()}
		if _, err := clients.Subtotals.List(t.Context(), other); reason(clients, err) != ReasonInvalidPageToken {
			t.Errorf("the token served another filter: %v", err)
		}
	}
	if !slices.Equal(groups, []string{"eu", "us"}) {
		t.Errorf("got %v", groups)
	}
}

// Who asks for the latest state gets it, waits for it, and pages through it.
func TestLatest(t *testing.T) {
	engine := bill()
	committed := engine.subtotals
	var filters []query.Filter
	engine.subtotals = func(f query.Filter) (query.Subtotals, error) {
		filters = append(filters, f)
		return committed(f)
	}
	_, clients := serve(t, engine, nil)
	least := &tollwayv1.MinPosition{Positions: []*tollwayv1.Position{{Sequence: 1}}}
	for _, latest := range []bool{false, true} {
		if _, err := clients.Subtotals.Get(t.Context(), &tollwayv1.SubtotalServiceGetRequest{Account: "emma", MinPosition: least, Latest: latest}); err != nil {
			t.Fatal(err)
		}
		page, err := clients.Subtotals.List(t.Context(), &tollwayv1.SubtotalServiceListRequest{PageSize: 1, MinPosition: least, Latest: latest})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clients.Subtotals.List(t.Context(), &tollwayv1.SubtotalServiceListRequest{PageSize: 1, PageToken: page.GetNextPageToken(), Latest: !latest}); reason(clients, err) != ReasonInvalidPageToken {
			t.Errorf("a page token served another state: %v", err)
		}
	}
	var asked []bool
	for _, f := range filters {
		asked = append(asked, f.Latest)
	}
	if want := []bool{false, false, true, true}; !slices.Equal(asked, want) || engine.waitedLatest != 2 || len(engine.waited) != 4 {
		t.Errorf("asked for the latest state %v, waited for it %d times of %d", asked, engine.waitedLatest, len(engine.waited))
	}
}

func TestMinPosition(t *testing.T) {
	engine := bill()
	_, clients := serve(t, engine, nil)
	get := func(least *tollwayv1.MinPosition) string {
		_, err := clients.Subtotals.Get(t.Context(), &tollwayv1.SubtotalServiceGetRequest{Account: "emma", MinPosition: least})
		return reason(clients, err)
	}
	token := positionToken([]query.Position{{Partition: 1, Sequence: 5}, {Partition: 0, Sequence: 2}})
	if got := get(&tollwayv1.MinPosition{
		Token: token, Positions: []*tollwayv1.Position{{Stream: "USAGE-1", Partition: 1, Sequence: 7}},
	}); got != "" {
		t.Errorf("got %s", got)
	}
	want := []query.Position{{Partition: 0, Sequence: 2}, {Stream: "USAGE-1", Partition: 1, Sequence: 7}}
	if !slices.Equal(engine.waited[0], want) {
		t.Errorf("waited for %v, want %v", engine.waited[0], want)
	}
	late := &tollwayv1.MinPosition{Positions: []*tollwayv1.Position{{Sequence: 8}}, MaxWait: durationpb.New(20 * time.Millisecond)}
	if got := get(late); got != ReasonPositionNotReached {
		t.Errorf("got %s", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	late.MaxWait = nil
	_, err := clients.Subtotals.Get(ctx, &tollwayv1.SubtotalServiceGetRequest{Account: "emma", MinPosition: late})
	if clients.Explain(err).Code != "deadline_exceeded" {
		t.Errorf("got %v", err)
	}
}

func TestPeriods(t *testing.T) {
	engine := bill()
	period := func(month int, open ...int) query.PeriodState {
		start := time.Date(2026, time.Month(month), 1, 0, 0, 0, 0, time.UTC)
		return query.PeriodState{
			Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)}, Zone: "UTC", AnchorDay: 1, Open: open, Closed: []int{0},
		}
	}
	engine.periods = []query.PeriodState{period(10, 1, 2), period(9)}
	engine.closed = func(r CloseRequest) (Closed, error) {
		if r.SkipGrace {
			return Closed{Periods: engine.periods[1:], Invoices: 27, AsOf: testAsOf}, nil
		}
		return Closed{}, refuse(ReasonGraceNotOver, "pass skip_grace", "late usage counts until %s", "later")
	}
	_, clients := serve(t, engine, nil)
	list := func(r *tollwayv1.PeriodServiceListRequest) (ids []string) {
		t.Helper()
		answer, err := clients.Periods.List(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range answer.GetPeriods() {
			ids = append(ids, fmt.Sprintf("%s %v %v", p.GetPeriod().GetId(), p.GetState(), p.GetOpenPartitions()))
		}
		return ids
	}
	october, september := "2026-10-01 PERIOD_STATE_OPEN [1 2]", "2026-09-01 PERIOD_STATE_CLOSED []"
	for _, c := range []struct {
		request *tollwayv1.PeriodServiceListRequest
		want    []string
	}{
		{&tollwayv1.PeriodServiceListRequest{}, []string{october, september}},
		{&tollwayv1.PeriodServiceListRequest{Period: "2026-10"}, []string{october}},
		{&tollwayv1.PeriodServiceListRequest{Period: "2026-09-01"}, []string{september}},
		{&tollwayv1.PeriodServiceListRequest{State: tollwayv1.PeriodState_PERIOD_STATE_CLOSED}, []string{september}},
		{&tollwayv1.PeriodServiceListRequest{Period: "2026-08"}, nil},
	} {
		if got := list(c.request); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v", c.request, got)
		}
	}
	closed, err := clients.Periods.Close(t.Context(), &tollwayv1.PeriodServiceCloseRequest{Period: "2026-09", SkipGrace: true})
	if err != nil || closed.GetInvoices() != 27 || len(closed.GetPeriods()) != 1 {
		t.Errorf("got %v, %v", closed, err)
	}
	_, err = clients.Periods.Close(t.Context(), &tollwayv1.PeriodServiceCloseRequest{Period: "2026-09"})
	if f := clients.Explain(err); f.Code != "failed_precondition" || f.Reason != ReasonGraceNotOver || f.Hint != "pass skip_grace" {
		t.Errorf("got %+v", f)
	}
}

func TestCatalog(t *testing.T) {
	engine := bill()
	problems := []catalog.Problem{
		{File: "a.yaml", Line: 3, Path: "tariffs[0].currency", Message: `unknown currency "EURO"`},
		{File: "b.yaml", Message: "is empty"},
	}
	engine.apply = func(_ context.Context, r ApplyRequest) (Applied, error) {
		if r.Files[0].Name == "bad.yaml" {
			return Applied{Problems: problems}, nil
		}
		return Applied{Revision: 3, Digest: "sha256:cd", Changes: []catalog.Change{{Kind: "tariff", Name: "t", What: "added", Prices: true}}, AsOf: testAsOf}, nil
	}
	engine.catalog = func(f CatalogFilter, p query.Page) (CatalogPage, error) {
		next := ""
		if p.Token == "" {
			next = "t"
		}
		return CatalogPage{Revision: 3, Digest: "sha256:cd", Objects: []catalog.Object{{Kind: f.Kind, Name: "n" + p.Token, Body: []byte(`{"a":1}`)}}, NextToken: next}, nil
	}
	_, clients := serve(t, engine, nil)
	applied, err := clients.Catalog.Apply(t.Context(), &tollwayv1.CatalogServiceApplyRequest{
		Files:   []*tollwayv1.CatalogFile{{Name: "c.yaml", Data: []byte("meters: []")}, {Name: "d.yaml", Text: "tariffs: []"}},
		Plugins: []*tollwayv1.PluginFile{{Path: "./p.wasm", Data: []byte("wasm")}}, Prune: true, DryRun: true,
	})
	if err != nil || applied.GetRevision() != 3 || applied.GetChanges()[0].GetName() != "t" || !applied.GetChanges()[0].GetPrices() {
		t.Errorf("got %v, %v", applied, err)
	}
	if r := engine.applied[0]; !r.Prune || !r.DryRun || string(r.Files[0].Data) != "meters: []" || string(r.Files[1].Data) != "tariffs: []" || string(r.Plugins["./p.wasm"]) != "wasm" {
		t.Errorf("the engine got %+v", r)
	}
	_, err = clients.Catalog.Apply(t.Context(), &tollwayv1.CatalogServiceApplyRequest{Files: []*tollwayv1.CatalogFile{{Name: "bad.yaml"}}})
	f := clients.Explain(err)
	if f.Reason != ReasonInvalidCatalog || !slices.Equal(f.Problems, problems) || !strings.Contains(f.Message, "a.yaml:3: tariffs[0].currency") || !strings.Contains(f.Message, "one more") {
		t.Errorf("got %+v", f)
	}
	var names []string
	request := &tollwayv1.CatalogServiceGetRequest{Kind: "meter"}
	for {
		page, err := clients.Catalog.Get(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, page.GetObjects()[0].GetName()+page.GetObjects()[0].GetBody())
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			break
		}
	}
	if !slices.Equal(names, []string{`n{"a":1}`, `nt{"a":1}`}) {
		t.Errorf("got %v", names)
	}
}

func TestDeadLetters(t *testing.T) {
	engine := bill()
	engine.letters = []query.DeadLetter{
		{Partition: 1, Number: 1, Position: 9, Index: 2, Source: "s", ID: "i", Reason: "no_meter", Detail: "d", Event: []byte{0xff}},
		{Partition: 1, Number: 2, Position: 11, Event: []byte(`{"id":"i"}`)},
	}
	_, clients := serve(t, engine, nil)
	answer, err := clients.DeadLetters.List(t.Context(), &tollwayv1.DeadLetterServiceListRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	d := answer.GetDeadLetters()[0]
	if p := d.GetPosition(); p.GetStream() != "USAGE-1" || p.GetSequence() != 9 || d.GetIndex() != 2 || d.GetEvent() != "" || d.GetRaw()[0] != 0xff {
		t.Errorf("got %v", d)
	}
	if c := answer.GetCounts(); c.GetRead() != c.GetPriced()+c.GetDuplicates()+c.GetDeadLettered() {
		t.Errorf("got %v", c)
	}
	answer, err = clients.DeadLetters.List(t.Context(), &tollwayv1.DeadLetterServiceListRequest{PageSize: 1, PageToken: answer.GetNextPageToken()})
	if err != nil || answer.GetDeadLetters()[0].GetNumber() != 2 || answer.GetDeadLetters()[0].GetEvent() != `{"id":"i"}` || answer.GetNextPageToken() != "" {
		t.Errorf("got %v, %v", answer, err)
	}
}

// What is settled is what was named or matches, never everything by accident.
func TestSettleDeadLetters(t *testing.T) {
	engine := bill()
	_, clients := serve(t, engine, nil)
	replayed, err := clients.DeadLetters.Replay(t.Context(), &tollwayv1.DeadLetterServiceReplayRequest{
		Selection: &tollwayv1.DeadLetterSelection{Names: []*tollwayv1.DeadLetterName{{Partition: 1, Number: 2}}}, By: "emma",
	})
	if err != nil || replayed.GetPriced() != 1 || replayed.GetDuplicates() != 2 || replayed.GetRefused() != 3 || replayed.GetPassed() != 5 || replayed.GetAsOf() == nil {
		t.Errorf("got %v, %v", replayed, err)
	}
	discarded, err := clients.DeadLetters.Discard(t.Context(), &tollwayv1.DeadLetterServiceDiscardRequest{
		Selection: &tollwayv1.DeadLetterSelection{Matching: true, Reason: "no_meter"}, Why: "a test of the producer",
	})
	if err != nil || discarded.GetDiscarded() != 4 {
		t.Errorf("got %v, %v", discarded, err)
	}
	want := []SettleRequest{
		{Names: []LetterName{{Partition: 1, Number: 2}}, By: "emma"},
		{Filter: DeadLetterFilter{Reason: "no_meter"}, Discard: true, Why: "a test of the producer"},
	}
	if diff := cmp.Diff(want, engine.settled); diff != "" {
		t.Error(diff)
	}
	for name, selection := range map[string]*tollwayv1.DeadLetterSelection{
		"nothing": nil, "empty": {}, "a filter alone": {Reason: "no_meter"},
		"both": {Matching: true, Names: []*tollwayv1.DeadLetterName{{Number: 1}}}, "many": {Names: make([]*tollwayv1.DeadLetterName, settleNamesMax+1)},
	} {
		if selection != nil {
			for i := range selection.GetNames() {
				selection.Names[i] = &tollwayv1.DeadLetterName{Number: 1}
			}
		}
		if _, err := clients.DeadLetters.Replay(t.Context(), &tollwayv1.DeadLetterServiceReplayRequest{Selection: selection}); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if _, err := clients.DeadLetters.Discard(t.Context(), &tollwayv1.DeadLetterServiceDiscardRequest{Selection: &tollwayv1.DeadLetterSelection{Matching: true}}); err == nil {
		t.Error("discarded without a reason")
	}
	if len(engine.settled) != len(want) {
		t.Errorf("settled %v", engine.settled[len(want):])
	}
	counts, err := clients.DeadLetters.Summarize(t.Context(), &tollwayv1.DeadLetterServiceSummarizeRequest{})
	if err != nil || len(counts.GetReasons()) != 1 || counts.GetReasons()[0].GetOpen() != 1 || counts.GetReasons()[0].GetAll() != 2 {
		t.Errorf("got %v, %v", counts, err)
	}
	if _, err := clients.DeadLetters.Get(t.Context(), &tollwayv1.DeadLetterServiceGetRequest{Name: &tollwayv1.DeadLetterName{Number: 9}}); err == nil {
		t.Error("a dead letter that is not there was shown")
	}
}
