package host

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// alertList finds the alerts in the partitions' checkpoint logs. It is safe for
// concurrent use.
type alertList struct {
	mu      sync.RWMutex
	entries []alertEntry // in the order in which the log took in what fired them
	stores  []PartitionStore
	indexed []uint64      // number of the last indexed entry, by partition
	more    chan struct{} // closed and replaced when there are more
}

// alertEntry says where an alert is, and what lists ask of it.
type alertEntry struct {
	alertKey
	account, alert, period string
}

// alertKey orders alerts.
type alertKey struct {
	At        int64  `json:"at"` // unix ns
	Partition int    `json:"partition"`
	Number    uint64 `json:"number"`
}

func (k alertKey) compare(o alertKey) int {
	return cmp.Or(cmp.Compare(k.At, o.At), cmp.Compare(k.Partition, o.Partition), cmp.Compare(k.Number, o.Number))
}

func newAlertList(partitions int) *alertList {
	return &alertList{stores: make([]PartitionStore, partitions), indexed: make([]uint64, partitions), more: make(chan struct{})}
}

// load takes a partition's log into the list, from where it was left.
func (x *alertList) load(partition int, store PartitionStore) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stores[partition] = store
	last := store.LogLast(accumulate.LogAlerts)
	if x.indexed[partition] >= last {
		return nil
	}
	var added []alertEntry
	for x.indexed[partition] < last {
		err := store.LogRange(accumulate.LogAlerts, x.indexed[partition]+1, alertsRead, func(n uint64, entry []byte) error {
			a, err := decodeAlert(partition, n, entry)
			if err != nil {
				return err
			}
			e := alertEntry{alertKey: alertKey{Partition: partition, Number: n}, account: a.Account, alert: a.Alert.Alert, period: a.Period.ID}
			if at, err := time.Parse(time.RFC3339Nano, a.At); err == nil { // it is empty where nobody knows
				e.At = at.UnixNano()
			}
			added = append(added, e)
			x.indexed[partition] = n
			return nil
		})
		if err != nil {
			return fmt.Errorf("host: partition %d: %w", partition, err)
		}
	}
	x.add(added)
	close(x.more)
	x.more = make(chan struct{})
	return nil
}

// alertsInserted are put in their places one by one; of more, as a start brings them, all
// are sorted again, since each that is inserted moves those behind it.
const alertsInserted = 16

// add takes entries into the list. The lock is held.
func (x *alertList) add(entries []alertEntry) {
	if len(entries) > alertsInserted {
		x.entries = append(x.entries, entries...)
		slices.SortFunc(x.entries, func(a, b alertEntry) int { return a.compare(b.alertKey) })
		return
	}
	for _, e := range entries {
		at, _ := slices.BinarySearchFunc(x.entries, e.alertKey, func(e alertEntry, k alertKey) int { return e.compare(k) })
		x.entries = slices.Insert(x.entries, at, e)
	}
}

// alertsRead are read at a time.
const alertsRead = 200

// decodeAlert reads an entry of the log of alerts.
func decodeAlert(partition int, number uint64, entry []byte) (query.Alert, error) {
	a := query.Alert{Stream: stream.Usage(partition), Partition: partition, Number: number}
	if err := json.Unmarshal(entry, &a.Alert); err != nil {
		return a, fmt.Errorf("host: alert %d of partition %d: %w", number, partition, err)
	}
	return a, nil
}

// forget drops what a partition's log had: it is made again.
func (x *alertList) forget(partition int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.indexed[partition] = 0
	x.entries = slices.DeleteFunc(x.entries, func(e alertEntry) bool { return e.Partition == partition })
}

// before returns up to n entries before a key that match, the last one first.
func (x *alertList) before(k *alertKey, n int, match func(*alertEntry) bool) (entries []alertEntry, more bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	end := len(x.entries)
	if k != nil {
		end, _ = slices.BinarySearchFunc(x.entries, *k, func(e alertEntry, k alertKey) int { return e.compare(k) })
	}
	for i := end - 1; i >= 0; i-- {
		if !match(&x.entries[i]) {
			continue
		}
		if len(entries) == n {
			return entries, true
		}
		entries = append(entries, x.entries[i])
	}
	return entries, false
}

// reached returns up to which number each partition's alerts are in the list, and
// what is closed when there are more.
func (x *alertList) reached() ([]uint64, <-chan struct{}) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Clone(x.indexed), x.more
}

// matchAlert makes the test that a filter makes of an entry.
func matchAlert(f query.AlertFilter) func(*alertEntry) bool {
	return func(e *alertEntry) bool {
		return (f.Account == "" || f.Account == e.account) && (f.Alert == "" || f.Alert == e.alert) &&
			(f.Period == "" || query.NamesPeriod(f.Period, e.period))
	}
}

// Alerts returns a page of the alerts that were fired, the newest first.
func (h *Host) Alerts(f query.AlertFilter, page query.Page) (query.AlertPage, error) {
	out := query.AlertPage{AsOf: h.queries.AsOf()}
	var behind *alertKey
	if page.Token != "" {
		behind = &alertKey{}
		if err := decodeAlertToken(page.Token, behind); err != nil {
			return out, err
		}
	}
	size := page.Size
	if size <= 0 {
		size = query.DefaultPageSize
	}
	entries, more := h.alerts.before(behind, min(size, query.MaxPageSize), matchAlert(f))
	for _, e := range entries {
		err := h.partitions[e.Partition].store.LogRange(accumulate.LogAlerts, e.Number, 1, func(n uint64, entry []byte) error {
			a, err := decodeAlert(e.Partition, n, entry)
			out.Alerts = append(out.Alerts, a)
			return err
		})
		if err != nil {
			return out, err
		}
	}
	if more {
		var err error
		if out.NextToken, err = encodeAlertToken(entries[len(entries)-1].alertKey); err != nil {
			return out, err
		}
	}
	return out, nil
}

func encodeAlertToken(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("host: token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func decodeAlertToken(token string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("%w: token: not one that alerts were returned with", query.ErrInvalid)
	}
	return nil
}

// AlertWatch follows the alerts that are fired. It belongs to one goroutine.
type AlertWatch struct {
	host   *Host
	match  func(*alertEntry) bool
	behind []uint64 // number of the last that was looked at, by partition
}

// WatchAlerts begins to follow alerts: behind those of a watch before, whose token it
// is given; without one all of them, or only those that are fired from now on.
func (h *Host) WatchAlerts(f query.AlertFilter, all bool, token string) (*AlertWatch, error) {
	w := &AlertWatch{host: h, match: matchAlert(f), behind: make([]uint64, len(h.partitions))}
	switch {
	case token != "":
		var behind []uint64
		if err := decodeAlertToken(token, &behind); err != nil {
			return nil, err
		}
		if len(behind) != len(w.behind) {
			return nil, fmt.Errorf("%w: token: it is of a log with another number of partitions", query.ErrInvalid)
		}
		w.behind = behind
	case !all:
		w.behind, _ = h.alerts.reached()
	}
	return w, nil
}

// Next returns the next alerts and the token to go on behind them. It waits for some
// up to a time, then it returns none.
func (w *AlertWatch) Next(ctx context.Context, most time.Duration) (alerts []query.Alert, token string, err error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for waited := false; ; {
		reached, more := w.host.alerts.reached()
		for p := range w.behind {
			for w.behind[p] < reached[p] && len(alerts) < alertsRead {
				if err := ctx.Err(); err != nil {
					return nil, "", err // many that do not match may be looked at
				}
				if alerts, err = w.read(p, alerts); err != nil {
					return nil, "", err
				}
			}
		}
		if len(alerts) > 0 || waited {
			token, err = encodeAlertToken(w.behind)
			return alerts, token, err
		}
		select {
		case <-more:
		case <-timer.C:
			waited = true
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
}

// errRead ends the reading of a log.
var errRead = errors.New("host: enough was read")

// read adds a partition's next alerts that match.
func (w *AlertWatch) read(p int, alerts []query.Alert) ([]query.Alert, error) {
	err := w.host.partitions[p].store.LogRange(accumulate.LogAlerts, w.behind[p]+1, alertsRead, func(n uint64, entry []byte) error {
		if len(alerts) == alertsRead {
			return errRead
		}
		a, err := decodeAlert(p, n, entry)
		if err != nil {
			return err
		}
		w.behind[p] = n
		if w.match(&alertEntry{account: a.Account, alert: a.Alert.Alert, period: a.Period.ID}) {
			alerts = append(alerts, a)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errRead) {
		return nil, err
	}
	return alerts, nil
}
