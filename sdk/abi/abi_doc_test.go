package abi

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// documented lists, per table of ABI.md, what the constants say.
var documented = map[string]struct {
	size   int
	fields map[string]int
}{
	"Header": {HeaderSize, map[string]int{
		"magic": HeaderMagic, "major": HeaderMajor, "minor": HeaderMinor, "header_size": HeaderHeaderSize,
		"n_events": HeaderEvents, "n_slots": HeaderSlots, "event_off": HeaderEventOff,
		"event_stride": HeaderEventStride, "slot_off": HeaderSlotOff, "slot_stride": HeaderSlotStride,
		"n_dims": HeaderDims, "value_off": HeaderValueOff, "n_values": HeaderValues,
		"string_off": HeaderStringOff, "string_len": HeaderStringLen, "reject_off": HeaderRejectOff,
		"reject_stride": HeaderRejectStride, "n_rejects_max": HeaderRejectsMax, "arena_size": HeaderArenaSize,
		"n_rejects": HeaderRejects, "reply_len": HeaderReplyLen, "err_len": HeaderErrLen,
		"units_max": HeaderUnitsMax, "n_finals": HeaderFinals, "reserved": HeaderReserved,
	}},
	"Event row": {EventDims, map[string]int{
		"slot": EventSlot, "flags": EventFlags, "time": EventTime, "quantity": EventQuantity,
		"amount": EventAmount, "dims": EventDims,
	}},
	"Slot row": {SlotSize, map[string]int{
		"period_start": SlotPeriodStart, "period_end": SlotPeriodEnd, "active_from": SlotActiveFrom,
		"active_until": SlotActiveUntil, "handle": SlotHandle, "flags": SlotFlags, "n_lines": SlotLines,
		"line_off": SlotLineOff, "state_off": SlotStateOff, "state_len": SlotStateLen,
		"state_cap": SlotStateCap, "state_need": SlotStateNeed, "carry_in_off": SlotCarryInOff,
		"carry_in_len": SlotCarryInLen, "carry_out_off": SlotCarryOutOff,
		"carry_out_len": SlotCarryOutLen, "carry_out_cap": SlotCarryOutCap, "reserved": SlotReserved,
	}},
	"Line":       {LineSize, map[string]int{"quantity": LineQuantity, "amount": LineAmount}},
	"Value row":  {ValueSize, map[string]int{"off": ValueOff, "len": ValueLen}},
	"Reject row": {RejectSize, map[string]int{"event": RejectEvent, "reason_len": RejectReasonLen, "detail_len": RejectDetailLen, "text": RejectText}},
}

// tables returns the byte tables of the document: heading, then rows of cells.
func tables(t *testing.T) map[string][][]string {
	t.Helper()
	text, err := os.ReadFile("../ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][][]string{}
	heading := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "#"); ok {
			heading = strings.TrimSpace(strings.TrimLeft(rest, "#"))
		}
		if _, byteTable := documented[heading]; !byteTable || !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] != "offset" && !strings.HasPrefix(cells[0], "---") {
			found[heading] = append(found[heading], cells)
		}
	}
	return found
}

// width returns the bytes of a type as the tables write it; 0 = as many as there are dimensions.
func width(t *testing.T, name string) int {
	t.Helper()
	switch name {
	case "u16":
		return 2
	case "u32":
		return 4
	case "i64":
		return 8
	case "i128":
		return 16
	case "u32 x n_dims":
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSuffix(name, " bytes"))
	if err != nil {
		t.Fatalf("unknown type %q", name)
	}
	return n
}

func TestTablesOfDocumentAreTheConstants(t *testing.T) {
	found := tables(t)
	for heading, want := range documented {
		rows := found[heading]
		if len(rows) != len(want.fields) {
			t.Errorf("%s: %d rows in ABI.md, %d constants", heading, len(rows), len(want.fields))
		}
		next := 0 // rows leave no hole and do not overlap
		for _, row := range rows {
			offset, err := strconv.Atoi(row[0])
			if err != nil {
				t.Fatalf("%s: %v", heading, err)
			}
			constant, ok := want.fields[row[2]]
			if !ok || constant != offset {
				t.Errorf("%s.%s: %d in ABI.md, constant %d (known %v)", heading, row[2], offset, constant, ok)
			}
			if offset != next {
				t.Errorf("%s.%s: at %d, the row before ends at %d", heading, row[2], offset, next)
			}
			next = offset + width(t, row[1])
		}
		if next != want.size {
			t.Errorf("%s: rows end at %d, size %d", heading, next, want.size)
		}
	}
}

func TestDocumentNamesWhatTheConstantsName(t *testing.T) {
	text, err := os.ReadFile("../ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"version " + Version, "`" + ExportMarker + "`", "`" + ExportInitialize + "`", "`" + ExportArena + "`",
		"`" + ExportConfigure + "`", "`" + ExportPrice + "`", "`" + ImportModule + "." + ImportBegin + "`", "`" + ImportModule + "." + ImportBeginMany + "`",
		"`" + ImportEnv + "." + ImportEnvAbort + "`", "`" + ImportWASI + ".*`", "`" + SectionManifest + "`",
		"`" + GlobalCursor + "`", "`" + GlobalFirst + "`", "`" + ReasonPanic + "`", "`" + ReasonOverflow + "`", "`" + ReasonTrap + "`",
		"0x" + strconv.FormatInt(Magic, 16),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("ABI.md does not mention %s", want)
		}
	}
}
