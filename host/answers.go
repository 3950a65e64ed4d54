package host

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// Pages of lists, in rows.
func pageSize(p query.Page) int {
	if p.Size <= 0 {
		return query.DefaultPageSize
	}
	return min(p.Size, query.MaxPageSize)
}

// badToken refuses a page token.
func badToken(err error) error {
	return fault(ReasonInvalidPageToken, "begin again without a page token", "not a page token of this list").because(err)
}

// InvoiceFilter selects invoices. Zero fields select everything.
type InvoiceFilter struct {
	Account  billing.AccountID
	Period   string // "2026-10", the periods that start in the month, or "2026-10-01"
	Currency billing.Currency
}

func (f InvoiceFilter) match(k invoiceKey) bool {
	return (f.Account == "" || string(f.Account) == k.Account) &&
		(f.Currency == "" || f.Currency == k.Currency) &&
		(f.Period == "" || query.NamesPeriod(f.Period, k.Period))
}

// Invoices returns a page of invoices, by period, account and currency.
func (h *Host) Invoices(f InvoiceFilter, page query.Page) (list []export.Invoice, next string, asOf query.AsOf, err error) {
	after, err := decodeInvoiceToken(page.Token)
	if err != nil {
		return nil, "", asOf, badToken(err)
	}
	asOf = h.queries.AsOf()
	entries, more := h.invoices.after(after, pageSize(page), f.match)
	for _, e := range entries {
		inv, err := h.invoices.read(e)
		if err != nil {
			return nil, "", asOf, err
		}
		list = append(list, inv)
	}
	if more {
		next, err = encodeInvoiceToken(entries[len(entries)-1].invoiceKey)
	}
	return list, next, asOf, err
}

// Invoice returns the invoice with an id.
func (h *Host) Invoice(id string) (export.Invoice, query.AsOf, error) {
	asOf := h.queries.AsOf()
	e, ok := h.invoices.find(id)
	if !ok {
		return export.Invoice{}, asOf, fault(ReasonNotFound, "list invoices with: tollway invoices list", "there is no invoice %q", id)
	}
	inv, err := h.invoices.read(e)
	return inv, asOf, err
}

// CountInvoices returns how many invoices match.
func (h *Host) CountInvoices(f InvoiceFilter) uint64 { return h.invoices.count(f.match) }

// Periods lists the periods that have had usage or are closed, newest first.
func (h *Host) Periods() ([]query.PeriodState, query.AsOf) {
	asOf := h.queries.AsOf()
	ctx, cancel := context.WithTimeout(context.Background(), statusWait) // an answer without it is of use as well
	defer cancel()
	return h.periodStatesUnread(h.unreadMessages(ctx)), asOf
}

// Catalog returns a page of the objects in force, by kind and name, those of one
// kind or name if given.
func (h *Host) Catalog(kind, name string, page query.Page) (objects []catalog.Object, revision uint64, digest, next string, err error) {
	c, revision, digest := h.catalogs.newest()
	after, err := decodeObjectToken(page.Token)
	if err != nil {
		return nil, 0, "", "", badToken(err)
	}
	if revision == 0 {
		return nil, 0, "", "", nil
	}
	for _, o := range catalog.Objects(c) {
		if page.Token != "" && o.Compare(after) <= 0 || kind != "" && o.Kind != kind || name != "" && o.Name != name {
			continue
		}
		if len(objects) == pageSize(page) {
			next, err = encodeObjectToken(objects[len(objects)-1])
			return objects, revision, digest, next, err
		}
		objects = append(objects, o)
	}
	return objects, revision, digest, "", nil
}

type objectToken struct{ Kind, Name string }

func encodeObjectToken(o catalog.Object) (string, error) {
	b, err := json.Marshal(objectToken{o.Kind, o.Name})
	return base64.RawURLEncoding.EncodeToString(b), err
}

func decodeObjectToken(token string) (catalog.Object, error) {
	var t objectToken
	if token == "" {
		return catalog.Object{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	return catalog.Object{Kind: t.Kind, Name: t.Name}, err
}

// DeadLetterFilter selects dead letters. Zero fields select everything.
type DeadLetterFilter struct {
	Account string // as the event wrote it
	Reason  string // of the last replay, where there was one
	Status  string // see query.DeadLetter
}

func (f DeadLetterFilter) matches(l *query.DeadLetter) bool {
	return (f.Account == "" || l.Account == f.Account) && (f.Reason == "" || l.Reason == f.Reason) && (f.Status == "" || l.Status == f.Status)
}

// letterToken is the place behind which a page of dead letters begins.
type letterToken struct {
	Partition int
	Number    uint64
}

// DeadLetters returns a page of dead letters, by partition and number, and the
// counters of everything read.
func (h *Host) DeadLetters(f DeadLetterFilter, page query.Page) (list []query.DeadLetter, counts query.Counters, next string, asOf query.AsOf, err error) {
	var at letterToken
	if page.Token != "" {
		b, err := base64.RawURLEncoding.DecodeString(page.Token)
		if err == nil {
			err = json.Unmarshal(b, &at)
		}
		if err != nil || at.Partition < 0 || at.Partition >= len(h.partitions) {
			return nil, counts, "", asOf, badToken(err)
		}
	}
	asOf = h.queries.AsOf()
	counts = h.Counters()
	size := pageSize(page)
	for n := at.Partition; n < len(h.partitions); n++ {
		from := uint64(1)
		if n == at.Partition {
			from = at.Number + 1
		}
		more, err := h.lettersOf(n, from, size, f, &list)
		if err != nil {
			return nil, counts, "", asOf, err
		}
		if more {
			last := list[len(list)-1]
			b, err := json.Marshal(letterToken{last.Partition, last.Number})
			return list, counts, base64.RawURLEncoding.EncodeToString(b), asOf, err
		}
	}
	return list, counts, "", asOf, nil
}

// lettersOf appends a partition's dead letters that match until the list has
// size of them; more says that there is another one behind.
func (h *Host) lettersOf(partition int, from uint64, size int, f DeadLetterFilter, list *[]query.DeadLetter) (more bool, err error) {
	err = h.eachLetter(partition, from, f, func(l *query.DeadLetter) (bool, error) {
		if more = len(*list) == size; more {
			return false, nil
		}
		*list = append(*list, *l)
		return true, nil
	})
	return more, err
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// eachLetter calls fn with a partition's dead letters that match, from a number
// on, until it returns false.
func (h *Host) eachLetter(partition int, from uint64, f DeadLetterFilter, fn func(*query.DeadLetter) (bool, error)) error {
	const chunk = 500
	p := h.partitions[partition]
	for last := p.store.LogLast(accumulate.LogDeadLetters); from <= last; from += chunk {
		err := p.store.LogRange(accumulate.LogDeadLetters, from, chunk, func(n uint64, entry []byte) error {
			var l accumulate.DeadLetter
			if err := json.Unmarshal(entry, &l); err != nil {
				return fmt.Errorf("host: dead letter %d of partition %d: %w", n, partition, err)
			}
			shown := query.DeadLetter{
				Partition: partition, Number: n, Position: l.Position, Index: l.Index,
				Source: l.Source, ID: l.ID, Type: l.Type, Account: l.Account, Time: l.Time,
				Reason: l.Reason, Detail: l.Detail, Event: []byte(cmp.Or(string(l.Event), string(l.Raw))),
			}
			p.letters.show(&shown)
			if !f.matches(&shown) {
				return nil
			}
			switch goOn, err := fn(&shown); {
			case err != nil:
				return err
			case !goOn:
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Counters returns the counters of all partitions added up.
func (h *Host) Counters() query.Counters {
	var sum query.Counters
	for _, p := range h.partitions {
		c := p.state.Header().Counters
		sum.Read += c.Read
		sum.Priced += c.Priced
		sum.Duplicates += c.Duplicates
		sum.DeadLettered += c.DeadLettered
		sum.Discarded += c.Discarded
	}
	return sum
}
