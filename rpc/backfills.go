package rpc

import (
	"context"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// BackfillEngine is the part of an [Engine] that tries named sets of events before they
// are billed.
type BackfillEngine interface {
	// AddToBackfill takes a part of a set, CloudEvents as JSON Lines, numbered from 0.
	AddToBackfill(ctx context.Context, name string, part int, lines []byte) error
	// FinishBackfill makes a set of the parts.
	FinishBackfill(ctx context.Context, name, by string) (query.Backfill, error)
	// Backfills lists all sets.
	Backfills(ctx context.Context) ([]query.Backfill, error)
	// ShowBackfill finds out what a set would change, and names so many accounts at most.
	ShowBackfill(ctx context.Context, name string, accountsMax int) (query.BackfillReport, error)
	// CommitBackfill writes a set to the log and returns when it is priced, with how many
	// messages came since its difference was shown.
	CommitBackfill(ctx context.Context, name, by string) (query.Backfill, uint64, error)
	// DropBackfill forgets a set that was not committed.
	DropBackfill(ctx context.Context, name string) error
}

// Bounds of calls about sets.
const (
	backfillPartMax     = 4 << 20
	backfillAccounts    = 20 // are shown
	backfillAccountsMax = 10_000
)

// backfillService implements BackfillService.
type backfillService struct{ *services }

func checkBackfill(name, by string) error {
	switch {
	case name == "":
		return refuse(ReasonInvalidRequest, "List shows which there are", "name is missing")
	case len(by) > settleTextMax:
		return refuse(ReasonInvalidRequest, "", "by must have at most %d bytes", settleTextMax)
	}
	return nil
}

// Send takes a part of a set.
func (s backfillService) Send(ctx context.Context, r *tollwayv1.BackfillServiceSendRequest) (*tollwayv1.BackfillServiceSendResponse, error) {
	if err := checkBackfill(r.GetName(), r.GetBy()); err != nil {
		return nil, err
	}
	if len(r.GetEvents()) > backfillPartMax {
		return nil, refuse(ReasonRequestTooLarge, "send the set in more parts", "a part has at most %d bytes", backfillPartMax)
	}
	if err := s.engine.AddToBackfill(ctx, r.GetName(), int(r.GetPart()), r.GetEvents()); err != nil {
		return nil, err
	}
	out := &tollwayv1.BackfillServiceSendResponse{}
	if r.GetLast() {
		b, err := s.engine.FinishBackfill(ctx, r.GetName(), r.GetBy())
		if err != nil {
			return nil, err
		}
		out.Backfill = backfillOut(&b)
	}
	return out, nil
}

// List returns all sets.
func (s backfillService) List(ctx context.Context, _ *tollwayv1.BackfillServiceListRequest) (*tollwayv1.BackfillServiceListResponse, error) {
	list, err := s.engine.Backfills(ctx)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.BackfillServiceListResponse{Backfills: make([]*tollwayv1.Backfill, len(list))}
	for i := range list {
		out.Backfills[i] = backfillOut(&list[i])
	}
	return out, nil
}

// Show finds out what a set would change.
func (s backfillService) Show(ctx context.Context, r *tollwayv1.BackfillServiceShowRequest) (*tollwayv1.BackfillServiceShowResponse, error) {
	if err := checkBackfill(r.GetName(), ""); err != nil {
		return nil, err
	}
	most, err := accountsShown(r.GetAccounts())
	if err != nil {
		return nil, err
	}
	report, err := s.engine.ShowBackfill(ctx, r.GetName(), most)
	if err != nil {
		return nil, err
	}
	return backfillReportOut(&report), nil
}

// accountsShown is how many accounts are shown where so many are asked for.
func accountsShown(asked uint32) (int, error) {
	switch {
	case asked == 0:
		return backfillAccounts, nil
	case asked > backfillAccountsMax:
		return 0, refuse(ReasonTooManyRows, "", "at most %d accounts can be shown", backfillAccountsMax)
	}
	return int(asked), nil
}

// Commit writes a set to the log.
func (s backfillService) Commit(ctx context.Context, r *tollwayv1.BackfillServiceCommitRequest) (*tollwayv1.BackfillServiceCommitResponse, error) {
	if err := checkBackfill(r.GetName(), r.GetBy()); err != nil {
		return nil, err
	}
	b, moved, err := s.engine.CommitBackfill(ctx, r.GetName(), r.GetBy())
	if err != nil {
		return nil, err
	}
	return &tollwayv1.BackfillServiceCommitResponse{Backfill: backfillOut(&b), Moved: moved}, nil
}

// Drop forgets a set.
func (s backfillService) Drop(ctx context.Context, r *tollwayv1.BackfillServiceDropRequest) (*tollwayv1.BackfillServiceDropResponse, error) {
	if err := checkBackfill(r.GetName(), ""); err != nil {
		return nil, err
	}
	if err := s.engine.DropBackfill(ctx, r.GetName()); err != nil {
		return nil, err
	}
	return &tollwayv1.BackfillServiceDropResponse{}, nil
}

func backfillOut(b *query.Backfill) *tollwayv1.Backfill {
	return &tollwayv1.Backfill{
		Name: b.Name, State: b.State, Digest: b.Digest, Events: b.Events, By: b.By, At: timestamp(b.At), ShownAt: timestamp(b.ShownAt),
		CommittedBy: b.CommittedBy, CommittedAt: timestamp(b.CommittedAt), DoneAt: timestamp(b.DoneAt),
	}
}

func backfillReportOut(r *query.BackfillReport) *tollwayv1.BackfillServiceShowResponse {
	out := &tollwayv1.BackfillServiceShowResponse{
		Backfill: backfillOut(&r.Backfill), Priced: r.Priced, Duplicates: r.Duplicates, Different: r.Different, AsOf: asOfOut(r.AsOf),
	}
	for i := range r.Refused {
		f := &r.Refused[i]
		out.Refused = append(out.Refused, &tollwayv1.BackfillRefusal{Reason: f.Reason, Events: f.Events, Detail: f.Detail, Account: f.Account, Source: f.Source, Id: f.EventID})
	}
	for i := range r.Totals {
		t := &r.Totals[i]
		out.Totals = append(out.Totals, &tollwayv1.BackfillTotal{Currency: string(t.Currency), Old: t.Old, New: t.New, Difference: t.Difference})
	}
	for i := range r.Accounts {
		out.Accounts = append(out.Accounts, backfillAccountOut(&r.Accounts[i]))
	}
	for i := range r.Unbilled {
		u := &r.Unbilled[i]
		out.Unbilled = append(out.Unbilled, &tollwayv1.UnbilledAccount{Account: string(u.Account), Reason: u.Reason, Detail: u.Detail})
	}
	return out
}

func backfillAccountOut(a *query.BackfillAccount) *tollwayv1.BackfillAccount {
	out := &tollwayv1.BackfillAccount{
		Account: string(a.Account), Currency: string(a.Currency), Old: a.Old, New: a.New, Difference: a.Difference, More: a.More,
		Partition: uint32(a.Partition), Position: a.Position,
	}
	for i := range a.Lines {
		l := &a.Lines[i]
		out.Lines = append(out.Lines, &tollwayv1.BackfillLine{
			Period: periodOut(l.Period), Closed: l.Closed, Tariff: l.Tariff, Rule: l.Rule, Subscription: l.Subscription, Id: l.ID, Group: l.Group, Description: l.Description,
			OldQuantity: l.OldQuantity, NewQuantity: l.NewQuantity, OldAmount: l.OldAmount, NewAmount: l.NewAmount, Difference: l.Difference,
		})
	}
	for _, e := range a.Events {
		out.Events = append(out.Events, &tollwayv1.BackfillEvent{Source: e.Source, Id: e.ID})
	}
	return out
}
