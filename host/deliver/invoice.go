package deliver

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// Invoice is an issued invoice on its way, or an alert, which is delivered like one.
type Invoice struct {
	ID       string
	Account  string
	Period   string // id
	Currency string
	Total    billing.Amount
	Issued   time.Time // when it was written into the INVOICES stream
	Event    string    // type of a webhook's event
	Document []byte    // JSON, as it was issued
	// Short is the message of the INVOICES stream: the document, or, of one that is
	// larger than a message can be, the document without its lines.
	Short []byte
}

// head is what delivering needs to know of an invoice.
type head struct {
	ID      string `json:"id"`
	Account string `json:"account"`
	Period  struct {
		ID string `json:"id"`
	} `json:"period"`
	Currency string          `json:"currency"`
	Total    string          `json:"total"`
	Omitted  json.RawMessage `json:"omitted"`
	Alert    string          `json:"alert"` // name of the alert, where it is one
}

// decode reads a message of the INVOICES stream. whole returns the document of an
// invoice whose message is shortened.
func decode(m *stream.Message, whole func(id string) ([]byte, error)) (*Invoice, error) {
	h, err := headOf(m)
	if err != nil {
		return nil, err
	}
	if h.Alert != "" {
		return &Invoice{ID: h.ID, Account: h.Account, Period: h.Period.ID, Currency: h.Currency, Issued: m.Time, Event: eventAlert, Document: m.Data, Short: m.Data}, nil
	}
	total, err := billing.ParseAmount(h.Total)
	if err != nil {
		return nil, fmt.Errorf("deliver: message %d of %s: total: %w", m.Sequence, m.Subject, err)
	}
	inv := &Invoice{
		ID: h.ID, Account: h.Account, Period: h.Period.ID, Currency: h.Currency, Total: total, Issued: m.Time, Event: eventInvoice,
		Document: m.Data, Short: m.Data,
	}
	if len(h.Omitted) > 0 {
		if inv.Document, err = whole(h.ID); err != nil {
			return nil, fmt.Errorf("deliver: invoice %s: %w", h.ID, err)
		}
	}
	return inv, nil
}

func headOf(m *stream.Message) (h head, err error) {
	if err := json.Unmarshal(m.Data, &h); err != nil {
		return h, fmt.Errorf("deliver: message %d of %s: %w", m.Sequence, m.Subject, err)
	}
	if h.ID == "" || h.Account == "" {
		return h, fmt.Errorf("deliver: message %d of %s has no id or account; something other than Tollway writes there", m.Sequence, m.Subject)
	}
	return h, nil
}
