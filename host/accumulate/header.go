package accumulate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tollway/tollway/host/rate"
)

// Counters balance in events: Read = Priced + Duplicates + DeadLettered. An
// undecodable message counts as one event.
type Counters struct {
	Read         uint64 `json:"read"`
	Priced       uint64 `json:"priced"`
	Duplicates   uint64 `json:"duplicates"`
	DeadLettered uint64 `json:"dead_lettered"`
	// Discarded is how many of the dead-lettered were discarded.
	Discarded uint64 `json:"discarded,omitempty"`
}

// Balanced reports whether every event read is accounted for.
func (c Counters) Balanced() bool {
	return c.Read == c.Priced+c.Duplicates+c.DeadLettered
}

// Header is what a checkpoint says of the partition as a whole.
type Header struct {
	// Position is the stream sequence of the last message folded in; Digest is
	// the SHA-256 of that message's subject and body, so that another log under
	// the same name is noticed.
	Position uint64
	Digest   string
	Epoch    uint64 // of the host that wrote the checkpoint
	// CatalogRevision and CatalogDigest name the catalog in force, 0 and "" before
	// the first marker; FirstMarker is the time in the first marker, unix ns.
	CatalogRevision uint64
	CatalogDigest   string
	FirstMarker     int64
	// Watermark and Earliest are the latest and earliest event times priced, unix
	// ns; rate.Beginning and rate.Forever before the first event.
	Watermark int64
	Earliest  int64
	Counters  Counters
	// Closed has, by calendar, the end of the last closed period, unix ns. The map
	// is never changed: Close puts another one in its place.
	Closed map[rate.Calendar]int64
	Slots  uint32 // how many there are: the journal has a record of each
	// Carrying has, by calendar and start of a period, the position of the first
	// message that brought a tariff that carries an event of the period. It is part of
	// the digest and decides nothing: what the period before leaves has all usage of the
	// accounts folded again, also what came before. The map is never changed, as Closed.
	Carrying map[PeriodKey]uint64
	// Horizon is before which identities have expired, unix ns; rate.Beginning while none
	// has. It never goes back.
	Horizon int64
	// Stretches has the sums of the identities that have not expired, by when they do, unix
	// ns; nil in a header of a release that did not keep them apart. The map is never
	// changed, as Closed.
	Stretches map[int64]Sum
	// Sums are those of the state with this checkpoint; nil in one of a release that
	// kept none.
	Sums *Sums
}

// PeriodKey names a billing period of a calendar.
type PeriodKey struct {
	rate.Calendar
	Start int64 `json:"start"` // unix ns
}

// SawCarrying records that a message at a position brought a tariff that carries
// an event of a period, if it is the first.
func (h *Header) SawCarrying(k PeriodKey, position uint64) {
	if _, known := h.Carrying[k]; known {
		return
	}
	carrying := maps.Clone(h.Carrying)
	if carrying == nil {
		carrying = map[PeriodKey]uint64{}
	}
	carrying[k] = position
	h.Carrying = carrying
}

// CarryingSince records that a message at a position has such an event, also where one
// behind it was known as the first.
func (h *Header) CarryingSince(k PeriodKey, position uint64) {
	if first, known := h.Carrying[k]; known && first > position {
		h.Carrying = maps.Clone(h.Carrying)
		delete(h.Carrying, k)
	}
	h.SawCarrying(k, position)
}

// ForgetCarrying drops what SawCarrying has recorded of a calendar's periods up to
// one that starts at a time, unix ns.
func (h *Header) ForgetCarrying(c rate.Calendar, start int64) {
	carrying := maps.Clone(h.Carrying)
	maps.DeleteFunc(carrying, func(k PeriodKey, _ uint64) bool { return k.Calendar == c && k.Start <= start })
	h.Carrying = carrying
}

// ClosedUntil returns the end of the calendar's last closed period, unix ns, or
// rate.Beginning when none is closed.
func (h Header) ClosedUntil(c rate.Calendar) int64 {
	if until, ok := h.Closed[c]; ok {
		return until
	}
	return rate.Beginning
}

// LastClosed returns the latest end of a closed period in any calendar, unix ns, or
// rate.Beginning.
func (h Header) LastClosed() int64 {
	last := rate.Beginning
	for _, until := range h.Closed {
		last = max(last, until)
	}
	return last
}

// Close records that a calendar's periods are closed up to until, unix ns.
func (h *Header) Close(c rate.Calendar, until int64) {
	closed := maps.Clone(h.Closed)
	if closed == nil {
		closed = map[rate.Calendar]int64{}
	}
	closed[c] = until
	h.Closed = closed
}

// SawTime takes the time of a priced event into the header's bounds, unix ns.
func (h *Header) SawTime(t int64) {
	h.Watermark = max(h.Watermark, t)
	h.Earliest = min(h.Earliest, t)
}

// closedJSON is one entry of Closed as it is written.
type closedJSON struct {
	rate.Calendar
	Until int64 `json:"until"`
}

// carryingJSON is one entry of Carrying as it is written.
type carryingJSON struct {
	PeriodKey
	Position uint64 `json:"position"`
}

// headerJSON is a header as it is written.
type headerJSON struct {
	Format          int          `json:"format"`
	Position        uint64       `json:"position"`
	Digest          string       `json:"digest"`
	Epoch           uint64       `json:"epoch"`
	CatalogRevision uint64       `json:"catalog_revision"`
	CatalogDigest   string       `json:"catalog_digest"`
	FirstMarker     int64        `json:"first_marker"`
	Watermark       int64        `json:"watermark"`
	Earliest        int64        `json:"earliest"`
	Counters        Counters     `json:"counters"`
	Closed          []closedJSON `json:"closed"`
	Slots           uint32       `json:"slots"`

	Carrying  []carryingJSON `json:"carrying,omitempty"`
	Horizon   *int64         `json:"horizon,omitempty"`
	Stretches map[int64]Sum  `json:"stretches,omitempty"`
	Sums      *Sums          `json:"sums,omitempty"`
}

// headerFormat is the version of the header's and the records' layout.
const headerFormat = 2

// Encode writes the header for the checkpoint store: the same header, the same
// bytes.
func (h Header) Encode() ([]byte, error) {
	out := headerJSON{
		Format: headerFormat, Position: h.Position, Digest: h.Digest, Epoch: h.Epoch,
		CatalogRevision: h.CatalogRevision, CatalogDigest: h.CatalogDigest, FirstMarker: h.FirstMarker,
		Watermark: h.Watermark, Earliest: h.Earliest, Counters: h.Counters, Slots: h.Slots, Stretches: h.Stretches, Sums: h.Sums,
	}
	if h.Horizon != rate.Beginning {
		out.Horizon = &h.Horizon
	}
	calendars := slices.SortedFunc(maps.Keys(h.Closed), func(a, b rate.Calendar) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.AnchorDay, b.AnchorDay))
	})
	for _, c := range calendars {
		out.Closed = append(out.Closed, closedJSON{Calendar: c, Until: h.Closed[c]})
	}
	for k, position := range h.Carrying {
		out.Carrying = append(out.Carrying, carryingJSON{k, position})
	}
	slices.SortFunc(out.Carrying, func(a, b carryingJSON) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.AnchorDay, b.AnchorDay), cmp.Compare(a.Start, b.Start))
	})
	return json.Marshal(out)
}

// DecodeHeader reads what Encode wrote.
func DecodeHeader(b []byte) (Header, error) {
	var in headerJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return Header{}, fmt.Errorf("%w: header: %w", errRecord, err)
	}
	if in.Format != headerFormat {
		return Header{}, fmt.Errorf("%w: the header has format %d, this program reads format %d", errRecord, in.Format, headerFormat)
	}
	h := Header{
		Position: in.Position, Digest: in.Digest, Epoch: in.Epoch,
		CatalogRevision: in.CatalogRevision, CatalogDigest: in.CatalogDigest, FirstMarker: in.FirstMarker,
		Watermark: in.Watermark, Earliest: in.Earliest, Counters: in.Counters, Slots: in.Slots, Horizon: rate.Beginning, Stretches: in.Stretches, Sums: in.Sums, Closed: map[rate.Calendar]int64{},
	}
	if in.Horizon != nil {
		h.Horizon = *in.Horizon
	}
	for _, c := range in.Closed {
		h.Closed[c.Calendar] = c.Until
	}
	for _, c := range in.Carrying {
		if h.Carrying == nil {
			h.Carrying = map[PeriodKey]uint64{}
		}
		h.Carrying[c.PeriodKey] = c.Position
	}
	return h, nil
}
