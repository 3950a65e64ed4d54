package tariff

import (
	"testing"
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
)

func TestRowsLieWhereTheABISays(t *testing.T) {
	var s Slot
	var e Event
	var l lineRow
	var v valueRow
	var w wide
	for name, at := range map[string][2]uintptr{
		"slot.period_start":  {unsafe.Offsetof(s.periodStart), abi.SlotPeriodStart},
		"slot.period_end":    {unsafe.Offsetof(s.periodEnd), abi.SlotPeriodEnd},
		"slot.active_from":   {unsafe.Offsetof(s.activeFrom), abi.SlotActiveFrom},
		"slot.active_until":  {unsafe.Offsetof(s.activeUntil), abi.SlotActiveUntil},
		"slot.handle":        {unsafe.Offsetof(s.handle), abi.SlotHandle},
		"slot.flags":         {unsafe.Offsetof(s.flags), abi.SlotFlags},
		"slot.n_lines":       {unsafe.Offsetof(s.lines), abi.SlotLines},
		"slot.line_off":      {unsafe.Offsetof(s.lineOff), abi.SlotLineOff},
		"slot.state_off":     {unsafe.Offsetof(s.stateOff), abi.SlotStateOff},
		"slot.state_len":     {unsafe.Offsetof(s.stateLen), abi.SlotStateLen},
		"slot.state_cap":     {unsafe.Offsetof(s.stateCap), abi.SlotStateCap},
		"slot.state_need":    {unsafe.Offsetof(s.stateNeed), abi.SlotStateNeed},
		"slot.carry_in_off":  {unsafe.Offsetof(s.carryInOff), abi.SlotCarryInOff},
		"slot.carry_in_len":  {unsafe.Offsetof(s.carryInLen), abi.SlotCarryInLen},
		"slot.carry_out_off": {unsafe.Offsetof(s.carryOutOff), abi.SlotCarryOutOff},
		"slot.carry_out_len": {unsafe.Offsetof(s.carryOutLen), abi.SlotCarryOutLen},
		"slot.carry_out_cap": {unsafe.Offsetof(s.carryOutCap), abi.SlotCarryOutCap},
		"event.slot":         {unsafe.Offsetof(e.slot), abi.EventSlot},
		"event.flags":        {unsafe.Offsetof(e.flags), abi.EventFlags},
		"event.time":         {unsafe.Offsetof(e.time), abi.EventTime},
		"event.quantity":     {unsafe.Offsetof(e.quantity), abi.EventQuantity},
		"event.amount":       {unsafe.Offsetof(e.amount), abi.EventAmount},
		"event.dims":         {unsafe.Sizeof(e), abi.EventDims},
		"line.quantity":      {unsafe.Offsetof(l.quantity), abi.LineQuantity},
		"line.amount":        {unsafe.Offsetof(l.amount), abi.LineAmount},
		"value.off":          {unsafe.Offsetof(v.off), abi.ValueOff},
		"value.len":          {unsafe.Offsetof(v.length), abi.ValueLen},
		"i128, high half":    {unsafe.Offsetof(w.hi), 8},
		"slot":               {unsafe.Sizeof(s), abi.SlotSize},
		"line":               {unsafe.Sizeof(l), abi.LineSize},
		"value":              {unsafe.Sizeof(v), abi.ValueSize},
	} {
		if at[0] != at[1] {
			t.Errorf("%s: %d, the ABI says %d", name, at[0], at[1])
		}
	}
}
