package host

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

// invoiceIndex finds the invoices in the partitions' checkpoint logs. It is
// safe for concurrent use.
type invoiceIndex struct {
	mu      sync.RWMutex
	entries []invoiceEntry // sorted by key
	stores  []PartitionStore
	indexed []uint64 // number of the last indexed entry, by partition
	windows []documentWindow
}

// invoiceKey orders invoices by period and account: the same order whatever the
// number of partitions.
type invoiceKey struct {
	Period   string           `json:"period"` // id
	Account  string           `json:"account"`
	Currency billing.Currency `json:"currency"`
	ID       string           `json:"id"`
}

func (k invoiceKey) compare(o invoiceKey) int {
	return cmp.Or(cmp.Compare(k.Period, o.Period), cmp.Compare(k.Account, o.Account), cmp.Compare(k.Currency, o.Currency), compareIDs(k.ID, o.ID))
}

// invoiceEntry says where an invoice is.
type invoiceEntry struct {
	invoiceKey
	partition int
	number    uint64
}

func newInvoiceIndex(partitions int) *invoiceIndex {
	return &invoiceIndex{stores: make([]PartitionStore, partitions), indexed: make([]uint64, partitions), windows: make([]documentWindow, partitions)}
}

// load takes a partition's log into the index, from where it was left. Only one
// goroutine does that for a partition at a time.
func (x *invoiceIndex) load(partition int, store PartitionStore) error {
	x.mu.Lock()
	x.stores[partition] = store
	indexed, last := x.indexed[partition], store.LogLast(accumulate.LogInvoices)
	x.mu.Unlock()
	if indexed == last {
		return nil
	}
	added := make([]invoiceEntry, 0, last-indexed)
	for indexed < last {
		err := store.LogRange(accumulate.LogInvoices, indexed+1, invoicesAtOnce, func(n uint64, entry []byte) error {
			if n > last {
				return nil // it came meanwhile
			}
			inv, err := export.DecodeHead(entry)
			if err != nil {
				return fmt.Errorf("invoice %d: %w", n, err)
			}
			added = append(added, invoiceEntry{invoiceKey: keyOf(&inv), partition: partition, number: n})
			indexed = n
			return nil
		})
		if err != nil {
			return fmt.Errorf("host: partition %d: %w", partition, err)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	known := len(x.entries)
	x.entries, x.indexed[partition] = mergeEntries(append(x.entries, added...), known), indexed
	return nil
}

// invoicesAtOnce are the entries of the log that are read with one call.
const invoicesAtOnce = 1000

// mergeEntries sorts entries of which the first are sorted already. A close adds a few
// to very many, again and again: sorting all of them would be most of its work.
func mergeEntries(entries []invoiceEntry, sorted int) []invoiceEntry {
	added := slices.Clone(entries[sorted:])
	slices.SortFunc(added, func(a, b invoiceEntry) int { return a.compare(b.invoiceKey) })
	at, last := sorted-1, len(added)-1
	for to := len(entries) - 1; last >= 0; to-- { // from the end, so that nothing is overwritten before it has moved
		if at >= 0 && entries[at].compare(added[last].invoiceKey) > 0 {
			entries[to] = entries[at]
			at--
		} else {
			entries[to] = added[last]
			last--
		}
	}
	return entries
}

// forget drops what a partition's log had: it is made again.
func (x *invoiceIndex) forget(partition int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.indexed[partition] = 0
	w := &x.windows[partition]
	w.mu.Lock()
	w.documents = nil
	w.mu.Unlock()
	x.entries = slices.DeleteFunc(x.entries, func(e invoiceEntry) bool { return e.partition == partition })
}

// after returns up to n entries behind a key that match.
func (x *invoiceIndex) after(k invoiceKey, n int, match func(invoiceKey) bool) (entries []invoiceEntry, more bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	at, found := slices.BinarySearchFunc(x.entries, k, func(e invoiceEntry, k invoiceKey) int { return e.compare(k) })
	if found {
		at++
	}
	for _, e := range x.entries[at:] {
		if !match(e.invoiceKey) {
			continue
		}
		if len(entries) == n {
			return entries, true
		}
		entries = append(entries, e)
	}
	return entries, false
}

// keyOf returns the key of an invoice.
func keyOf(inv *export.Invoice) invoiceKey {
	return invoiceKey{Period: inv.Period.ID(), Account: string(inv.Account), Currency: inv.Currency, ID: inv.ID}
}

// of returns the entries of an account's invoices of a period.
func (x *invoiceIndex) of(period, account string) []invoiceEntry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	k := invoiceKey{Period: period, Account: account}
	at, _ := slices.BinarySearchFunc(x.entries, k, func(e invoiceEntry, k invoiceKey) int { return e.compare(k) })
	end := at
	for end < len(x.entries) && x.entries[end].Period == period && x.entries[end].Account == account {
		end++
	}
	return slices.Clone(x.entries[at:end])
}

// entry returns the entry of a key.
func (x *invoiceIndex) entry(k invoiceKey) (invoiceEntry, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	at, found := slices.BinarySearchFunc(x.entries, k, func(e invoiceEntry, k invoiceKey) int { return e.compare(k) })
	if !found {
		return invoiceEntry{}, false
	}
	return x.entries[at], true
}

// find returns the entry of an invoice id.
func (x *invoiceIndex) find(id string) (invoiceEntry, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, e := range x.entries {
		if e.ID == id {
			return e, true
		}
	}
	return invoiceEntry{}, false
}

// count returns how many invoices match.
func (x *invoiceIndex) count(match func(invoiceKey) bool) uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var n uint64
	for _, e := range x.entries {
		if match(e.invoiceKey) {
			n++
		}
	}
	return n
}

// read returns the invoice of an entry.
func (x *invoiceIndex) read(e invoiceEntry) (inv export.Invoice, err error) {
	err = x.stores[e.partition].LogRange(accumulate.LogInvoices, e.number, 1, func(_ uint64, entry []byte) error {
		inv, err = export.DecodeInvoice(entry)
		return err
	})
	if err != nil {
		return export.Invoice{}, fmt.Errorf("host: invoice %s: %w", e.ID, err)
	}
	return inv, nil
}

// encodeInvoiceToken makes the page token that continues behind a key.
func encodeInvoiceToken(k invoiceKey) (string, error) {
	b, err := json.Marshal(k)
	if err != nil {
		return "", fmt.Errorf("host: page token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// decodeInvoiceToken reads a page token; the empty one stands before every key.
func decodeInvoiceToken(token string) (k invoiceKey, err error) {
	if token == "" {
		return k, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	return k, err
}
