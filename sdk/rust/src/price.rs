use crate::decimal::{Decimal, Mode, Result, Rounding};
use crate::memory::{keep_list, Buffer};
use crate::params::{Config, Params};
use crate::slot::{decimal, Cell, EventRow, Line, Rows, Slot};
use crate::text::TEXT_MAX;
use crate::wide::{count, high, keeps_all, Sum, RECIPROCAL, UNIT};
use core::fmt::Write;

/// What prices units.
pub trait Adder {
    /// Adds units to a slot.
    fn add(&self, s: &mut Slot, units: Decimal) -> Result<()>;

    /// Does what falls due when the period ends.
    fn close(&self, _s: &mut Slot) -> Result<()> {
        Ok(())
    }

    /// Whether [`Adder::run`] is worth a call.
    fn runs(&self) -> bool {
        false
    }

    /// Adds the quantities of events as `add` does, of the first ones that are of one slot and plain, and returns of how
    /// many. It is the SDK's own.
    fn run(&self, _s: &mut Slot, _rows: Rows) -> u32 {
        0
    }
}

/// Adds events that are whole numbers of units to a number of units and to a line, at a price that is not rounded, as long
/// as the units stay within top: for many events of a slot at once, which it keeps out of memory. What could be a branch is
/// computed as a bit, and one test says whether the event is one of them.
#[inline]
fn run_line(units: &mut Decimal, line: *mut [u64; 2], price: Decimal, top: Decimal, rows: Rows) -> u32 {
    let (mut part, mut billed) = unsafe { (decimal(*line), decimal(*line.add(1))) };
    if part.is_negative() || billed.is_negative() || units.is_negative() {
        return 0;
    }
    let (price1, price0) = ((price.0 >> 64) as u64, price.0 as u64);
    let mut row = rows.first;
    let slot = unsafe { (*(row as *const EventRow)).slot };
    let mut done = 0;
    while done < rows.count {
        let e = unsafe { &*(row as *const EventRow) };
        let [add0, add1] = e.quantity;
        let n = high((add1 << 32 | add0 >> 32).wrapping_add(1), RECIPROCAL) >> 27; // as count does
        let more = n.wrapping_mul(price1).wrapping_add(high(n, price0));
        let add = decimal(e.quantity).0;
        let (after, grown) = (units.0.wrapping_add(add), part.0.wrapping_add(add));
        let sum = billed.0.wrapping_add(((more as u128) << 64 | n.wrapping_mul(price0) as u128) as i128);
        let odd = add1 >> 31 | (n.wrapping_mul(UNIT) ^ add0) | ((after | grown | sum) >> 127) as u64 | (e.slot ^ slot) as u64;
        if odd | (after > top.0) as u64 != 0 {
            break;
        }
        *units = Decimal(after);
        part = Decimal(grown);
        billed = Decimal(sum);
        done += 1;
        row = row.wrapping_add(rows.stride);
    }
    let words = |d: Decimal| [d.0 as u64, (d.0 >> 64) as u64];
    unsafe {
        *line = words(part);
        *line.add(1) = words(billed);
    }
    done
}

/// Whether a whole number of units at a price needs no rounding, and does not leave the range.
fn is_plain(price: Decimal, r: Rounding) -> bool {
    keeps_all(r) && (price.0 >> 64) as u64 >> 26 == 0
}

/// A whole number of units at a price that is not rounded, the commonest event of all: the product needs no rounding,
/// and does not leave the range.
#[inline]
fn plain_product(units: Decimal, price: Decimal, r: Rounding) -> Option<Decimal> {
    let (hi, lo) = ((price.0 >> 64) as u64, price.0 as u64);
    if !keeps_all(r) || hi >> 26 != 0 {
        return None;
    }
    let n = count(units.0 as u128)?;
    let upper = (n * hi + high(n, lo)) as u128;
    Some(Decimal((upper << 64 | n.wrapping_mul(lo) as u128) as i128))
}

/// units * price, rounded once: [`Decimal::mul`], and quick where both are plain.
#[inline]
pub fn multiply(units: Decimal, price: Decimal, r: Rounding) -> Result<Decimal> {
    match plain_product(units, price, r) {
        Some(product) => Ok(product),
        None => units.mul(price, r),
    }
}

/// What units+more cost, given what units cost and how many there are then. For a plain number more that is so much
/// more: the product is a whole number of the last decimal place, so that rounding it adds up.
#[inline]
fn extend(more: Decimal, sum: Decimal, amount: Decimal, price: Decimal, r: Rounding) -> Result<Decimal> {
    match plain_product(more, price, r) {
        Some(product) if !amount.is_negative() => amount.add(product),
        _ => sum.mul(price, r),
    }
}

/// Every unit has the same price, on one line. The amount is the rounded price of all units so far.
pub struct PerUnit {
    line: Line,
    price: Decimal,
    rounding: Rounding,
}

impl PerUnit {
    /// Claims the line.
    pub fn new(c: &mut Config, line: &str, description: &str, price: Decimal, rounding: Rounding) -> PerUnit {
        PerUnit { line: c.line(line, description), price, rounding }
    }
}

impl Adder for PerUnit {
    #[inline]
    fn add(&self, s: &mut Slot, units: Decimal) -> Result<()> {
        let sum = self.line.quantity(s).add(units)?;
        let amount = extend(units, sum, self.line.amount(s), self.price, self.rounding)?;
        self.line.set(s, sum, amount);
        Ok(())
    }

    fn runs(&self) -> bool {
        is_plain(self.price, self.rounding)
    }

    fn run(&self, s: &mut Slot, rows: Rows) -> u32 {
        let mut units = self.line.quantity(s);
        run_line(&mut units, s.line_at(self.line), self.price, Decimal::MAX, rows)
    }
}

/// Whole packages of units after free ones: the first unit of a package costs all of it. The line's quantity is units.
pub struct Package {
    line: Line,
    size: Decimal,
    free: Decimal,
    price: Decimal,
    rounding: Rounding,
}

impl Package {
    /// Claims the line. The size must be above 0.
    pub fn new(
        c: &mut Config, line: &str, description: &str, size: Decimal, free: Decimal, price: Decimal, rounding: Rounding,
    ) -> Package {
        Package { line: c.line(line, description), size, free, price, rounding }
    }
}

impl Adder for Package {
    fn add(&self, s: &mut Slot, units: Decimal) -> Result<()> {
        let sum = self.line.quantity(s).add(units)?;
        let paid = sum.sub(self.free)?;
        let mut amount = Decimal::ZERO;
        if paid.is_positive() {
            let packages = paid.quo(self.size, Rounding { scale: 0, mode: Mode::Ceiling })?;
            amount = multiply(packages, self.price, self.rounding)?;
        }
        self.line.set(s, sum, amount);
        Ok(())
    }
}

/// An amount that is due once per period, whatever the usage.
pub struct Flat {
    line: Line,
    amount: Decimal,
}

impl Flat {
    /// Claims the line.
    pub fn new(c: &mut Config, line: &str, description: &str, amount: Decimal) -> Flat {
        Flat { line: c.line(line, description), amount }
    }

    /// Makes the amount due. Doing it again changes nothing.
    pub fn charge(&self, s: &mut Slot) {
        if self.line.quantity(s).is_zero() {
            self.line.set(s, Decimal::ONE, self.amount);
        }
    }
}

/// A range of units with a price: above the end of the tier before, up to and including its own.
#[derive(Clone, Copy, Default)]
pub struct Tier {
    /// The last unit; nothing in the last tier, which is open.
    pub up_to: Option<Decimal>,
    /// The price of one unit.
    pub price: Decimal,
    /// Due once, when the tier is entered; that of the first tier always.
    pub fee: Decimal,
    above: Decimal, // the end of the tier before
}

/// A list of tiers, in order, the last of them open.
pub type Tiers = &'static [Tier];

const TIERS_MAX: usize = 256;

impl Params {
    /// Reads the parameter `tiers`, a list of {up_to, unit_price, flat_fee}.
    pub fn tiers(self) -> Tiers {
        let mut list = self.list("tiers");
        let count = list.len();
        if count > TIERS_MAX {
            self.fail("tiers", format_args!("must be at most {}", TIERS_MAX));
        }
        let mut above = Decimal::ZERO;
        keep_list(count, |i| {
            let entry = match list.next() {
                Some(entry) => entry,
                None => return Tier::default(),
            };
            let up_to = entry.optional_decimal("up_to");
            let t =
                Tier { up_to, price: entry.decimal("unit_price"), fee: entry.optional_decimal("flat_fee").unwrap_or_default(), above };
            match (i + 1 == count, up_to) {
                _ if count > TIERS_MAX => {}
                (false, None) if !entry.present("up_to") => entry.fail("up_to", "only the last tier is open"),
                (true, Some(_)) => entry.fail("up_to", "must be null: the last tier is open"),
                (false, Some(end)) if end <= above => entry.fail("up_to", format_args!("must be greater than {}", above)),
                _ => {}
            }
            above = up_to.unwrap_or(above);
            t
        })
    }
}

/// A tier with its lines.
#[derive(Clone, Copy)]
struct Step {
    above: Decimal,
    up_to: Decimal, // of an open tier the largest number
    price: Decimal,
    fee: Decimal,
    usage: Line,
    flat: Option<Line>, // where there is a fee
}

/// Tiers with their lines: tier_1, tier_1_flat_fee (where there is one), tier_2 and so on, each rounded.
struct Ladder {
    steps: &'static [Step],
    rounding: Rounding,
}

impl Ladder {
    fn new(c: &mut Config, tiers: Tiers, rounding: Rounding) -> Ladder {
        let count = tiers.len().min(TIERS_MAX);
        let room: &'static mut [u8] = keep_list(192, |_| 0); // the texts of a line
        let mut text = Buffer::new(room);
        let mut made = |c: &mut Config, id: core::fmt::Arguments, about: core::fmt::Arguments| {
            text.clear();
            let _ = text.write_fmt(id); // there is room
            let split = text.length;
            let _ = text.write_fmt(about);
            c.line(&text.text()[..split], &text.text()[split..])
        };
        let steps = keep_list(count, |i| {
            let (t, n) = (&tiers[i], i + 1);
            if t.fee.round(rounding).is_err() {
                c.params.fail("", format_args!("flat fee of tier {} is beyond the range when it is rounded", n));
            }
            let usage = match (i, t.up_to) {
                (0, None) => made(c, format_args!("tier_1"), format_args!("Tier 1")),
                (0, Some(end)) => made(c, format_args!("tier_1"), format_args!("Tier 1, up to {}", end)),
                (_, None) => made(c, format_args!("tier_{}", n), format_args!("Tier {}, over {}", n, t.above)),
                (_, Some(end)) => made(c, format_args!("tier_{}", n), format_args!("Tier {}, over {} up to {}", n, t.above, end)),
            };
            let mut flat = None;
            if !t.fee.is_zero() {
                flat = Some(made(c, format_args!("tier_{}_flat_fee", n), format_args!("Tier {} flat fee", n)));
            }
            Step {
                above: t.above, up_to: t.up_to.unwrap_or(Decimal::MAX), price: t.price,
                fee: t.fee.round(rounding).unwrap_or_default(), usage, flat,
            }
        });
        Ladder { steps, rounding }
    }

    /// The step that so many units end in. What is below 0 ends in the first.
    #[inline]
    fn at(&self, units: Decimal) -> usize {
        let mut i = 0;
        while i + 1 < self.steps.len() && self.steps[i].up_to < units {
            i += 1;
        }
        i
    }

    /// Writes the lines of a step.
    #[inline(never)]
    fn bill(&self, s: &mut Slot, step: &Step, units: Decimal, entered: bool) -> Result<()> {
        step.usage.set(s, units, multiply(units, step.price, self.rounding)?);
        if let Some(flat) = step.flat {
            if entered {
                flat.set(s, Decimal::ONE, step.fee);
            } else {
                flat.set(s, Decimal::ZERO, Decimal::ZERO);
            }
        }
        Ok(())
    }
}

impl Ladder {
    /// Prices all units of a step, where those that came are no plain product.
    #[inline(never)]
    fn extend(&self, s: &mut Slot, step: &Step, part: Decimal) -> Result<()> {
        step.usage.set(s, part, part.mul(step.price, self.rounding)?);
        Ok(())
    }
}

/// Each part of the units has its tier's price; the flat fees of all entered tiers are due.
pub struct Graduated {
    ladder: Ladder,
    units: Cell,
}

impl Graduated {
    /// Claims the lines of the tiers, each rounded.
    pub fn new(c: &mut Config, tiers: Tiers, rounding: Rounding) -> Graduated {
        Graduated { ladder: Ladder::new(c, tiers, rounding), units: c.state() }
    }

    /// Writes the lines of tier i when there are so many units in all.
    fn bill(&self, s: &mut Slot, i: usize, units: Decimal) -> Result<()> {
        let step = &self.ladder.steps[i];
        if i > 0 && units <= step.above {
            return self.ladder.bill(s, step, Decimal::ZERO, false);
        }
        let part = units.min(step.up_to).sub(step.above)?;
        self.ladder.bill(s, step, part, true)
    }

    /// Brings all tiers from the one of before to that of after up to date.
    #[inline(never)]
    fn climb(&self, s: &mut Slot, before: Decimal, after: Decimal) -> Result<()> {
        let (a, b) = (self.ladder.at(before), self.ladder.at(after));
        for i in a.min(b)..=a.max(b) {
            self.bill(s, i, after)?;
        }
        Ok(())
    }
}

impl Adder for Graduated {
    #[inline(never)]
    fn add(&self, s: &mut Slot, units: Decimal) -> Result<()> {
        let before = self.units.get(s);
        let after = before.add(units)?;
        self.units.set(s, after);
        let step = &self.ladder.steps[self.ladder.at(before)];
        if !before.is_positive() || after <= step.above || after > step.up_to {
            return self.climb(s, before, after);
        }
        // From here on the units begin and end in the same tier, as nearly all do.
        let part = step.usage.quantity(s).add(units)?;
        let billed = step.usage.amount(s);
        match plain_product(units, step.price, self.ladder.rounding) {
            Some(product) if !billed.is_negative() => step.usage.set(s, part, billed.add(product)?),
            _ => return self.ladder.extend(s, step, part),
        }
        Ok(())
    }

    fn runs(&self) -> bool {
        self.ladder.steps.iter().all(|step| is_plain(step.price, self.ladder.rounding))
    }

    fn run(&self, s: &mut Slot, rows: Rows) -> u32 {
        let mut units = self.units.get(s);
        if !units.is_positive() {
            return 0; // the first event may bring a flat fee
        }
        let step = &self.ladder.steps[self.ladder.at(units)];
        let done = run_line(&mut units, s.line_at(step.usage), step.price, step.up_to, rows);
        if done > 0 {
            unsafe { *s.cell_at(self.units) = [units.0 as u64, (units.0 >> 64) as u64] };
        }
        done
    }

    /// The flat fee of the first tier is due even without usage.
    fn close(&self, s: &mut Slot) -> Result<()> {
        self.bill(s, 0, self.units.get(s))
    }
}

/// All units have the price of the one tier that their sum ends in; only that tier's flat fee is due.
pub struct Volume {
    ladder: Ladder,
    units: Cell,
}

impl Volume {
    /// Claims the lines of the tiers, each rounded.
    pub fn new(c: &mut Config, tiers: Tiers, rounding: Rounding) -> Volume {
        Volume { ladder: Ladder::new(c, tiers, rounding), units: c.state() }
    }

    fn bill(&self, s: &mut Slot, units: Decimal) -> Result<()> {
        self.ladder.bill(s, &self.ladder.steps[self.ladder.at(units)], units, true)
    }
}

impl Adder for Volume {
    fn add(&self, s: &mut Slot, units: Decimal) -> Result<()> {
        let before = self.units.get(s);
        let after = before.add(units)?;
        self.units.set(s, after);
        let left = self.ladder.at(before);
        if left != self.ladder.at(after) {
            self.ladder.bill(s, &self.ladder.steps[left], Decimal::ZERO, false)?;
        }
        self.bill(s, after)
    }

    /// The flat fee is due even without usage.
    fn close(&self, s: &mut Slot) -> Result<()> {
        self.bill(s, self.units.get(s))
    }
}

/// What so many units cost by graduated tiers, exact: for other bills than one by lines.
pub fn graduated_cost(tiers: Tiers, units: Decimal) -> Result<Sum> {
    let mut sum = Sum::ZERO;
    for (i, t) in tiers.iter().enumerate() {
        if i > 0 && units <= t.above {
            break;
        }
        let part = units.min(t.up_to.unwrap_or(Decimal::MAX)).sub(t.above)?;
        sum = sum.add(Sum::of(part, t.price))?.add(Sum::of(Decimal::ONE, t.fee))?;
    }
    Ok(sum)
}

const _: () = assert!(TEXT_MAX < 64); // two of them and some words fit the texts of a line
