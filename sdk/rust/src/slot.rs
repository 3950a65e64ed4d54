use crate::decimal::Decimal;
use crate::engine::engine;
use crate::wide::Sum;

/// The row of an event, as it stands in the arena.
#[repr(C)]
pub(crate) struct EventRow {
    pub(crate) slot: u32,
    flags: u32,
    time: i64,
    pub(crate) quantity: [u64; 2],
    amount: [u64; 2],
}

/// The rows of events that follow each other, for [`crate::price::Adder::run`].
#[derive(Clone, Copy)]
pub struct Rows {
    pub(crate) first: *const u8,
    pub(crate) stride: usize,
    pub(crate) count: u32,
}

/// The row of a slot, as it stands in the arena.
#[repr(C)]
pub(crate) struct SlotRow {
    period_start: i64,
    period_end: i64,
    active_from: i64,
    active_until: i64,
    pub(crate) handle: u32,
    pub(crate) flags: u32,
    pub(crate) lines: u32,
    pub(crate) line_off: u32,
    pub(crate) state_off: u32,
    pub(crate) state_len: u32,
    pub(crate) state_cap: u32,
    state_need: u32,
    pub(crate) carry_in_off: u32,
    pub(crate) carry_in_len: u32,
    pub(crate) carry_out_off: u32,
    pub(crate) carry_out_len: u32,
    pub(crate) carry_out_cap: u32,
    reserved: [u32; 3],
}

/// One usage event. Times are unix nanoseconds.
pub struct Event {
    pub(crate) row: *const EventRow, // checked to lie inside the arena, as is that of a slot
}

/// What is priced together: one subscription, tariff version, billing period and group. Times are unix nanoseconds.
pub struct Slot {
    pub(crate) row: *mut SlotRow,
}

/// A line item that a configuration claimed.
#[derive(Clone, Copy, Default)]
pub struct Line {
    pub(crate) index: u32,
}

/// A number that a slot keeps.
#[derive(Clone, Copy, Default)]
pub struct Cell {
    pub(crate) index: u32,
}

/// An exact sum that a slot keeps.
#[derive(Clone, Copy, Default)]
pub struct SumCell {
    pub(crate) low: Cell,
    pub(crate) high: Cell,
}

/// A dimension of the meter that a configuration claimed.
#[derive(Clone, Copy, Default)]
pub struct Dimension {
    pub(crate) index: u32,
}

#[inline]
pub(crate) fn decimal(words: [u64; 2]) -> Decimal {
    Decimal((words[1] as u128 as i128) << 64 | words[0] as i128)
}

impl Event {
    #[inline]
    fn row(&self) -> &EventRow {
        unsafe { &*self.row }
    }

    /// The event's own time.
    pub fn time(&self) -> i64 {
        self.row().time
    }

    /// How many units were used; a correction's are negative.
    #[inline]
    pub fn quantity(&self) -> Decimal {
        decimal(self.row().quantity)
    }

    /// The money that the event itself carries, if it carries any.
    pub fn amount(&self) -> Option<Decimal> {
        if self.row().flags & 1 == 0 {
            return None;
        }
        Some(decimal(self.row().amount))
    }

    /// The event's value of a dimension, "" when it has none. It is valid during the call.
    pub fn value(&self, d: Dimension) -> &str {
        engine().value(self.row, d.index)
    }
}

impl Slot {
    #[inline]
    pub(crate) fn row(&self) -> &SlotRow {
        unsafe { &*self.row }
    }

    #[inline]
    pub(crate) fn row_mut(&mut self) -> &mut SlotRow {
        unsafe { &mut *self.row }
    }

    /// The first instant of the billing period.
    pub fn period_start(&self) -> i64 {
        self.row().period_start
    }

    /// The first instant after it.
    pub fn period_end(&self) -> i64 {
        self.row().period_end
    }

    /// When the subscription begins in this period and tariff version.
    pub fn active_from(&self) -> i64 {
        self.row().active_from
    }

    /// When it ends, itself excluded.
    pub fn active_until(&self) -> i64 {
        self.row().active_until
    }

    /// Where a line is. One of another configuration traps, and so does a cell.
    #[inline]
    pub(crate) fn line_at(&self, l: Line) -> *mut [u64; 2] {
        assert!(l.index < self.row().lines);
        engine().at(self.row().line_off + l.index * 32)
    }

    #[inline]
    pub(crate) fn cell_at(&self, c: Cell) -> *mut [u64; 2] {
        assert!((c.index + 1) * 16 <= self.row().state_cap);
        engine().at(self.row().state_off + c.index * 16)
    }
}

impl Line {
    /// The units of the line item so far.
    #[inline]
    pub fn quantity(self, s: &Slot) -> Decimal {
        decimal(unsafe { *s.line_at(self) })
    }

    /// Its money so far.
    #[inline]
    pub fn amount(self, s: &Slot) -> Decimal {
        decimal(unsafe { *s.line_at(self).add(1) })
    }

    /// Replaces the line item.
    #[inline]
    pub fn set(self, s: &mut Slot, quantity: Decimal, amount: Decimal) {
        engine().write_pair(s.line_at(self), quantity, amount);
    }
}

impl Cell {
    /// What the slot keeps.
    #[inline]
    pub fn get(self, s: &Slot) -> Decimal {
        decimal(unsafe { *s.cell_at(self) })
    }

    /// Replaces it.
    #[inline]
    pub fn set(self, s: &mut Slot, v: Decimal) {
        engine().write(s.cell_at(self), v);
    }

    /// A whole number that the slot keeps, such as a count or an instant.
    pub fn get_int(self, s: &Slot) -> i64 {
        self.get(s).0 as i64
    }

    /// Replaces it.
    pub fn set_int(self, s: &mut Slot, n: i64) {
        self.set(s, Decimal(n as u64 as i128));
    }
}

impl SumCell {
    /// What the slot keeps.
    pub fn get(self, s: &Slot) -> Sum {
        let (low, high) = unsafe { (*s.cell_at(self.low), *s.cell_at(self.high)) };
        Sum([low[0], low[1], high[0], high[1]])
    }

    /// Replaces it.
    pub fn set(self, s: &mut Slot, v: Sum) {
        let half = |i: usize| decimal([v.0[i], v.0[i + 1]]);
        self.low.set(s, half(0));
        self.high.set(s, half(2));
    }
}
