package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tollway/tollway/host/deliver"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// openDeliveries makes the receivers of invoices ready.
func (h *Host) openDeliveries(ctx context.Context) (err error) {
	log, ok := h.conn.(deliver.Log)
	if !ok && len(h.config.Deliveries) > 0 {
		return errors.New("host: this log cannot be delivered from")
	}
	restored, err := h.restoredDeliveries()
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	h.deliverer, err = deliver.Open(ctx, log, deliver.Config{
		Restored: restored,
		Sinks:    h.config.Deliveries, Log: h.log, Epoch: h.epoch, Whole: h.document, Periods: h.deliveredPeriods,
		Now: time.Now, // attempts are paced by wall time; no figure depends on it
	})
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if restored == nil || len(h.config.Deliveries) == 0 { // what nobody asks for waits
		return nil
	}
	if err := os.Remove(filepath.Join(h.config.DataDir, restoredDeliveries)); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	return nil
}

// restoredDeliveries reads what a restore has left of how far the receivers of invoices
// had come; nil when there is nothing.
func (h *Host) restoredDeliveries() (list []query.DeliveryProgress, err error) {
	path := filepath.Join(h.config.DataDir, restoredDeliveries)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; restore the backup again, or remove the file: then invoices that were delivered may be delivered again", path, err)
	}
	return list, nil
}

// document returns an invoice as it was issued.
func (h *Host) document(id string) ([]byte, error) {
	inv, _, err := h.Invoice(id)
	if err != nil {
		return nil, err
	}
	return inv.Encode()
}

// deliveredPeriods says of each period whether all its invoices are issued, and how
// many those are. Calendars whose periods have the same id share their invoices.
func (h *Host) deliveredPeriods() []deliver.Period {
	var list []deliver.Period
	at := map[string]int{}
	for _, s := range h.periodStates() {
		id := s.Period.ID()
		i, known := at[id]
		if !known {
			i = len(list)
			at[id] = i
			list = append(list, deliver.Period{ID: id, Closed: true})
		}
		if len(s.Open) > 0 || len(s.Parked) > 0 {
			list[i].Closed = false
		}
	}
	for i := range list {
		if list[i].Closed { // counting after that: no invoice of it comes any more
			list[i].Invoices = h.CountInvoices(InvoiceFilter{Period: list[i].ID})
		}
	}
	return list
}

// Deliveries says how the receivers of invoices stand.
func (h *Host) Deliveries(ctx context.Context) ([]deliver.Status, error) {
	return h.deliverer.Status(ctx)
}

// RetryDelivery has a sink try at once what it holds, of one account or, when that
// is empty, of all. A sink that is stopped goes on then.
func (h *Host) RetryDelivery(ctx context.Context, sink string, account billing.AccountID) error {
	return deliveryFault(h.deliverer.Retry(ctx, sink, string(account)))
}

// subjectDelivery, a sink's name and an invoice's id are where the ledger has that
// the invoice was passed over.
const subjectDelivery = "ledger.delivery."

// deliveryRecord is the body of such a message.
type deliveryRecord struct {
	Sink    string    `json:"sink"`
	Invoice string    `json:"invoice"`
	Why     string    `json:"why"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
}

// SkipRequest names an invoice that a sink holds and that is not to be delivered.
type SkipRequest struct {
	Sink, Invoice string
	Why, By       string // for the record
}

// SkipDelivery passes an invoice over that a sink holds, so that the account's next
// ones are delivered. The ledger keeps who wanted it and why.
func (h *Host) SkipDelivery(ctx context.Context, r SkipRequest) error {
	if _, _, err := h.Invoice(r.Invoice); err != nil {
		return err
	}
	known := false
	for i := range h.config.Deliveries {
		known = known || h.config.Deliveries[i].Name == r.Sink
	}
	if !known {
		return deliveryFault(fmt.Errorf("%w: %q", deliver.ErrNoSink, r.Sink))
	}
	body, err := json.Marshal(deliveryRecord{Sink: r.Sink, Invoice: r.Invoice, Why: r.Why, By: r.By, At: h.config.Now().UTC()})
	if err != nil {
		return fmt.Errorf("host: delivery of invoice %s: %w", r.Invoice, err)
	}
	// A crash here leaves a record of what was wanted and not done; the same call
	// again does it.
	if _, err := h.conn.Append(ctx, subjectDelivery+r.Sink+"."+r.Invoice, 0, nil, body); err != nil && !errors.Is(err, stream.ErrConflict) {
		return fmt.Errorf("host: delivery of invoice %s: %w", r.Invoice, err)
	}
	return deliveryFault(h.deliverer.Skip(ctx, r.Sink, r.Invoice))
}

// deliveryFault tells callers what they can do about an error.
func deliveryFault(err error) error {
	const list = "`tollway deliveries list` shows the sinks and what they hold"
	switch {
	case errors.Is(err, deliver.ErrNoSink):
		return fault(ReasonNotFound, list, "there is no such sink").because(err)
	case errors.Is(err, deliver.ErrNotHeld):
		return fault(ReasonNotHeld, list, "%v", err).because(err)
	case errors.Is(err, deliver.ErrNotRunning):
		return fault(ReasonUnavailable, list, "%v", err).because(err)
	}
	return err
}
