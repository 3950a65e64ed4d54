package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/query"
)

// InvoiceDocuments is a part of an export.
type InvoiceDocuments struct {
	Documents [][]byte // invoices as they were issued: canonical JSON, without a newline
	Next      string   // token that goes on behind the last of them; the token asked with when there is none
	More      bool     // there are further ones
	AsOf      query.AsOf
}

// documentsMax bounds the number of documents of one part.
const documentsMax = query.MaxPageSize

// InvoiceDocuments returns the invoices that match behind a token, by account,
// period, currency and counter: an order that neither the number of partitions
// nor later closes change. They are at most bytesMax bytes together, save a
// single one that is longer by itself. The empty token stands before the first.
//
// Nothing of a partition is held when it returns, so a reader may take any time
// between two calls.
func (h *Host) InvoiceDocuments(f InvoiceFilter, token string, bytesMax int) (InvoiceDocuments, error) {
	after, err := decodeInvoiceToken(token)
	if err != nil {
		return InvoiceDocuments{}, badToken(err)
	}
	out := InvoiceDocuments{Next: token, AsOf: h.queries.AsOf()}
	entries := h.invoices.exportAfter(after, documentsMax+1, f)
	size, last := 0, after
	for i, e := range entries {
		if i == documentsMax {
			out.More = true
			break
		}
		document, err := h.invoices.document(e)
		if err != nil {
			return InvoiceDocuments{}, err
		}
		if i > 0 && size+len(document) > bytesMax {
			out.More = true
			break
		}
		size += len(document)
		out.Documents, last = append(out.Documents, document), e.invoiceKey
	}
	if len(out.Documents) > 0 {
		out.Next, err = encodeInvoiceToken(last)
	}
	return out, err
}

// documentWindow is a run of a partition's invoices that an export has read. The
// invoices of a period stand in the log by account, as an export asks for them, and a
// single one costs as much to read as the segment that it is in.
type documentWindow struct {
	mu        sync.Mutex
	first     uint64 // number of the first of the documents
	documents [][]byte
}

// windowBytes is about how much a window holds: a segment.
const windowBytes = 1 << 20

// document returns the bytes of an entry's invoice, which must not be changed.
func (x *invoiceIndex) document(e invoiceEntry) ([]byte, error) {
	w := &x.windows[e.partition]
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.number-w.first < uint64(len(w.documents)) {
		return w.documents[e.number-w.first], nil
	}
	w.first, w.documents = e.number, nil
	size := 0
	err := x.stores[e.partition].LogRange(accumulate.LogInvoices, e.number, documentsMax, func(_ uint64, entry []byte) error {
		if size += len(entry); size > windowBytes && len(w.documents) > 0 {
			return errEnough
		}
		w.documents = append(w.documents, bytes.Clone(entry))
		return nil
	})
	if err == nil && len(w.documents) == 0 {
		err = errors.New("it is not in the log")
	}
	if err != nil && !errors.Is(err, errEnough) {
		w.documents = nil
		return nil, fmt.Errorf("host: invoice %s: %w", e.ID, err)
	}
	return w.documents[0], nil
}

// byAccount orders invoices as an export has them.
func (k invoiceKey) byAccount(o invoiceKey) int {
	return cmp.Or(cmp.Compare(k.Account, o.Account), k.compare(o))
}

// exportAfter returns up to n entries behind a key that the filter selects, in the
// order of an export. The index is sorted by period first; a month has few
// periods (one for each anchor day), so theirs are merged.
func (x *invoiceIndex) exportAfter(after invoiceKey, n int, f InvoiceFilter) []invoiceEntry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	runs := x.runs(after, f)
	var out []invoiceEntry
	for len(out) < n {
		first := -1
		for i, run := range runs {
			if len(run) > 0 && (first < 0 || run[0].byAccount(runs[first][0].invoiceKey) < 0) {
				first = i
			}
		}
		if first < 0 {
			return out
		}
		e := runs[first][0]
		runs[first] = runs[first][1:]
		if f.Account != "" && string(f.Account) < e.Account {
			runs[first] = nil // they are sorted by account
		}
		if f.match(e.invoiceKey) {
			out = append(out, e)
		}
	}
	return out
}

// runs returns, for each period that the filter names, its entries behind a key.
func (x *invoiceIndex) runs(after invoiceKey, f InvoiceFilter) [][]invoiceEntry {
	var runs [][]invoiceEntry
	account := max(after.Account, string(f.Account))
	for rest := x.entries; len(rest) > 0; {
		period := rest[0].Period
		// No period's id sorts between this one and it with a zero byte behind.
		end := search(rest, invoiceKey{Period: period + "\x00"})
		if run := rest[:end]; f.Period == "" || query.NamesPeriod(f.Period, period) {
			run = run[search(run, invoiceKey{Period: period, Account: account}):]
			behind, _ := slices.BinarySearchFunc(run, after, func(e invoiceEntry, k invoiceKey) int {
				return cmp.Or(e.byAccount(k), -1) // the key itself is before what is behind it
			})
			runs = append(runs, run[behind:])
		}
		rest = rest[end:]
	}
	return runs
}

// search returns the place of the first entry that is not before a key.
func search(entries []invoiceEntry, k invoiceKey) int {
	at, _ := slices.BinarySearchFunc(entries, k, func(e invoiceEntry, k invoiceKey) int { return e.compare(k) })
	return at
}

// compareIDs orders the ids of an account's invoices of one period and currency,
// which differ in their counter alone: by number, not as text.
func compareIDs(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }
