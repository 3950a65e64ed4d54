package rpc

import (
	"context"
	"fmt"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"

	"github.com/tollway/tollway/host/catalog"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// catalogService implements CatalogService.
type catalogService struct{ *services }

// Apply puts a catalog in force.
func (s catalogService) Apply(ctx context.Context, r *tollwayv1.CatalogServiceApplyRequest) (*tollwayv1.CatalogServiceApplyResponse, error) {
	if len(r.GetFiles()) == 0 {
		return nil, refuse(ReasonInvalidRequest, "send at least one", "files is empty")
	}
	request := ApplyRequest{Plugins: make(map[string][]byte, len(r.GetPlugins())), Signatures: map[string][]byte{}, Prune: r.GetPrune(), DryRun: r.GetDryRun(), Shadow: r.GetShadow(), By: callerOf(ctx), Reprice: r.GetReprice()}
	if request.DryRun && request.Shadow {
		return nil, refuse(ReasonInvalidRequest, "a shadow changes nothing either", "dry_run and shadow are both set")
	}
	if request.Reprice && request.Shadow {
		return nil, refuse(ReasonInvalidRequest, "dry_run shows what repricing would change", "reprice and shadow are both set")
	}
	var err error
	if request.Accounts, err = accountsShown(r.GetAccounts()); err != nil {
		return nil, err
	}
	for _, f := range r.GetFiles() {
		file := catalog.File{Name: f.GetName(), Data: f.GetData()}
		if f.GetText() != "" {
			if len(f.GetData()) > 0 {
				return nil, refuse(ReasonInvalidRequest, "give one of them", "files: %q has both data and text", f.GetName())
			}
			file.Data = []byte(f.GetText())
		}
		request.Files = append(request.Files, file)
	}
	for _, p := range r.GetPlugins() {
		if _, twice := request.Plugins[p.GetPath()]; twice || p.GetPath() == "" {
			return nil, refuse(ReasonInvalidRequest, "give each plugin once, under the path that the catalog writes", "plugins: path %q is empty or there twice", p.GetPath())
		}
		request.Plugins[p.GetPath()] = p.GetData()
		if len(p.GetSignature()) > 0 {
			request.Signatures[p.GetPath()] = p.GetSignature()
		}
	}
	applied, err := s.engine.ApplyCatalog(ctx, request)
	if err != nil {
		return nil, err
	}
	if len(applied.Problems) > 0 {
		return nil, problemsError(applied.Problems)
	}
	out := &tollwayv1.CatalogServiceApplyResponse{
		Revision: applied.Revision, Digest: applied.Digest, AsOf: asOfOut(applied.AsOf),
		Warnings: applied.Warnings, Shadows: applied.Shadows,
		Changes: make([]*tollwayv1.CatalogChange, 0, len(applied.Changes)),
	}
	if r := applied.Repriced; r != nil {
		shown := backfillReportOut(r)
		out.Repricing = &tollwayv1.Repricing{
			Totals: shown.GetTotals(), Accounts: shown.GetAccounts(), Different: shown.GetDifferent(),
			Refused: shown.GetRefused(), Unbilled: shown.GetUnbilled(), AsOf: shown.GetAsOf(),
		}
	}
	for _, c := range applied.Changes {
		out.Changes = append(out.Changes, &tollwayv1.CatalogChange{
			Kind: c.Kind, Name: c.Name, What: c.What, Prices: c.Prices, ReachesBack: timestamp(c.ReachesBack),
		})
	}
	return out, nil
}

// problemsError carries a catalog's mistakes: the first in the message, for
// callers that show nothing else, and all as details.
func problemsError(problems []catalog.Problem) error {
	more := ""
	switch n := len(problems) - 1; {
	case n == 1:
		more = " (and one more problem)"
	case n > 1:
		more = fmt.Sprintf(" (and %d more problems)", n)
	}
	err := withDetail(
		connect.Errorf(codeOf(ReasonInvalidCatalog), "the catalog was not applied: %s%s", problems[0], more),
		ReasonInvalidCatalog, "nothing was changed: mend the catalog and apply it again")
	for _, p := range problems {
		detail, encodeErr := connectproto.NewErrorDetail(&tollwayv1.CatalogProblem{
			File: p.File, Line: uint32(max(p.Line, 0)), Path: p.Path, Message: p.Message,
		})
		if encodeErr != nil {
			// A name that is not UTF-8: the message still says what is wrong.
			err = err.WithCause(encodeErr)
			continue
		}
		err = err.WithDetail(detail)
	}
	return err
}

// Get returns a page of the catalog in force.
func (s catalogService) Get(ctx context.Context, r *tollwayv1.CatalogServiceGetRequest) (*tollwayv1.CatalogServiceGetResponse, error) {
	pages := newPager("CatalogService/Get", r.GetKind(), r.GetName())
	page, err := pages.page(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.Catalog(ctx, CatalogFilter{Kind: r.GetKind(), Name: r.GetName()}, page)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.CatalogServiceGetResponse{
		Revision: answer.Revision, Digest: answer.Digest, AsOf: asOfOut(answer.AsOf),
		Objects: make([]*tollwayv1.CatalogObject, 0, len(answer.Objects)), NextPageToken: pages.next(answer.NextToken),
	}
	for _, o := range answer.Objects {
		out.Objects = append(out.Objects, &tollwayv1.CatalogObject{Kind: o.Kind, Name: o.Name, Body: string(o.Body)})
	}
	return out, nil
}
