package rpc

import (
	"context"

	"github.com/tollway/tollway/host/export"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// invoiceService implements InvoiceService.
type invoiceService struct{ *services }

func invoiceFilter(r selection) (InvoiceFilter, error) {
	if err := checkSelection(r); err != nil {
		return InvoiceFilter{}, err
	}
	return InvoiceFilter{
		Account: billing.AccountID(r.GetAccount()), Period: r.GetPeriod(), Currency: billing.Currency(r.GetCurrency()),
	}, nil
}

// List returns a page of invoices without their lines.
func (s invoiceService) List(ctx context.Context, r *tollwayv1.InvoiceServiceListRequest) (*tollwayv1.InvoiceServiceListResponse, error) {
	filter, err := invoiceFilter(r)
	if err != nil {
		return nil, err
	}
	pages := newPager("InvoiceService/List", r.GetAccount(), r.GetPeriod(), r.GetCurrency())
	page, err := pages.page(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.Invoices(ctx, filter, page)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.InvoiceServiceListResponse{
		Invoices:      make([]*tollwayv1.InvoiceSummary, 0, len(answer.Invoices)),
		NextPageToken: pages.next(answer.NextToken), AsOf: asOfOut(answer.AsOf),
	}
	for i := range answer.Invoices {
		out.Invoices = append(out.Invoices, invoiceSummaryOut(&answer.Invoices[i]))
	}
	return out, nil
}

// Get returns one invoice.
func (s invoiceService) Get(ctx context.Context, r *tollwayv1.InvoiceServiceGetRequest) (*tollwayv1.InvoiceServiceGetResponse, error) {
	if r.GetId() == "" {
		return nil, refuse(ReasonInvalidRequest, "List shows which there are", "id is missing")
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	invoice, asOf, err := s.engine.Invoice(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.InvoiceServiceGetResponse{Invoice: invoiceOut(&invoice), AsOf: asOfOut(asOf)}
	if r.GetWithDocument() {
		if out.Document, err = invoice.Encode(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Preview makes the invoices of an open period.
func (s invoiceService) Preview(ctx context.Context, r *tollwayv1.InvoiceServicePreviewRequest) (*tollwayv1.InvoiceServicePreviewResponse, error) {
	if r.GetAccount() == "" {
		return nil, refuse(ReasonInvalidRequest, "", "account is missing")
	}
	account := billing.AccountID(r.GetAccount())
	if err := account.Validate(); err != nil {
		return nil, refuse(ReasonInvalidRequest, "", "account: %v", err)
	}
	if err := checkPeriod(r.GetPeriod()); err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	preview, err := s.engine.Preview(ctx, account, r.GetPeriod())
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.InvoiceServicePreviewResponse{Period: periodOut(preview.Period), AsOf: asOfOut(preview.AsOf)}
	for i := range preview.Invoices {
		v := &preview.Invoices[i]
		out.Invoices = append(out.Invoices, invoiceOut(v))
		if r.GetWithDocuments() {
			document, err := v.Encode()
			if err != nil {
				return nil, err
			}
			out.Documents = append(out.Documents, document)
		}
	}
	if preview.Parked != nil {
		out.Parked = parkedOut(preview.Parked)
	}
	return out, nil
}

func invoiceSummaryOut(v *export.Invoice) *tollwayv1.InvoiceSummary {
	return &tollwayv1.InvoiceSummary{
		Id: v.ID, Account: string(v.Account), Period: periodOut(v.Period),
		Total: &tollwayv1.Money{Amount: v.TotalText, Currency: string(v.Currency)}, Lines: uint32(len(v.Lines)),
	}
}

func invoiceOut(v *export.Invoice) *tollwayv1.Invoice {
	out := &tollwayv1.Invoice{
		Id: v.ID, Account: string(v.Account), Period: periodOut(v.Period), Currency: string(v.Currency),
		Lines: make([]*tollwayv1.InvoiceLine, 0, len(v.Lines)), Total: v.TotalText,
		AccountDetails: string(v.AccountDetails), Seller: string(v.Seller),
	}
	for i := range v.Lines {
		l := &v.Lines[i]
		out.Lines = append(out.Lines, &tollwayv1.InvoiceLine{
			Tariff: l.Tariff, Meter: l.Meter, Subscription: l.Subscription, Id: l.ID, Group: groupOut(l.Group),
			Description: l.Description, Quantity: l.Quantity.String(), Amount: l.AmountText, Plugin: l.Module,
			EffectiveFrom: timestamp(l.Version), Rule: l.Rule, UnroundedAmount: l.Unrounded.String(), Adjustment: adjustmentOut(l.Adjustment),
		})
	}
	for _, c := range v.Corrections {
		k := &tollwayv1.InvoiceCorrection{Period: periodOut(c.Period), More: c.More}
		for _, e := range c.Events {
			k.Events = append(k.Events, &tollwayv1.CorrectionCause{Kind: e.Kind, Source: e.Source, Id: e.ID, Position: e.Position, Index: uint32(e.Index)})
		}
		out.Corrections = append(out.Corrections, k)
	}
	return out
}

func adjustmentOut(a *export.Adjustment) *tollwayv1.LineAdjustment {
	if a == nil {
		return nil
	}
	return &tollwayv1.LineAdjustment{
		Invoice: a.Invoice, Period: periodOut(a.Period),
		OldQuantity: a.OldQuantity.String(), OldAmount: a.OldAmount.String(), NewQuantity: a.NewQuantity.String(), NewAmount: a.NewAmount.String(),
	}
}
