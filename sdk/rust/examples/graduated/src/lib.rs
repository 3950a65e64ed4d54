//! graduated spreads units over tiers: each part has its tier's price, and the flat fees of all entered tiers are due.
//! It is the twin of the tariff of that name in examples/tariffs/standard, with all its parameters: units may be
//! converted first, some may be free, and usage may be billed in advance, each event when it arrives.
#![no_std]
use tollway_tariff::prelude::*;

struct GraduatedTariff {
    units: Option<NetUnits>,
    price: Price,
}

enum Price {
    Arrears(Graduated),
    InAdvance(InAdvance),
}

impl Tariff for GraduatedTariff {
    const NAME: &'static str = "graduated";

    fn configure(c: &mut Config) -> Self {
        let billing = c.params.optional_choice("billing", &["arrears", "progressive", "in_advance"]);
        let rounding = c.params.rounding("rounding");
        let net = NetUnits::read(c.params);
        let tiers = c.params.tiers();
        let price = match billing {
            Some(2) => Price::InAdvance(InAdvance::new(c, tiers, rounding)),
            _ => Price::Arrears(Graduated::new(c, tiers, rounding)),
        };
        GraduatedTariff { units: net.claimed(c), price }
    }

    fn event(&self, s: &mut Slot, e: &Event) -> Result<()> {
        let mut units = e.quantity();
        if let Some(net) = &self.units {
            units = net.step(s, units)?;
        }
        match &self.price {
            Price::Arrears(graduated) => graduated.add(s, units),
            Price::InAdvance(in_advance) => in_advance.add(s, units),
        }
    }

    fn all(&self) -> Option<&dyn Adder> {
        match &self.price {
            Price::Arrears(graduated) if self.units.is_none() => Some(graduated),
            _ => None,
        }
    }

    fn close(&self, s: &mut Slot) -> Result<()> {
        match &self.price {
            Price::Arrears(graduated) => graduated.close(s),
            Price::InAdvance(_) => Ok(()),
        }
    }
}

/// What turns metered units into billed ones.
struct Conversion {
    multiply: bool,
    factor: Decimal,
    rounding: Rounding,
}

impl Conversion {
    fn read(p: Params) -> Conversion {
        let multiply = p.choice("operation", &["multiply", "divide"]) == 0;
        let factor = p.decimal("factor");
        if !factor.is_positive() {
            p.fail("factor", "must be greater than 0");
        }
        let mode = Mode::of(p.optional_choice("rounding", &Mode::NAMES).unwrap_or(0));
        let scale = p.optional_int("precision", -20, 18).unwrap_or(0) as i32;
        let rounding = if mode == Mode::None { EXACT } else { Rounding { scale, mode } };
        Conversion { multiply, factor, rounding }
    }

    fn convert(&self, units: Decimal) -> Result<Decimal> {
        if self.multiply {
            units.mul(self.factor, self.rounding)
        } else {
            units.quo(self.factor, self.rounding)
        }
    }
}

/// What is left of metered units after their conversion and the free ones. Both apply to the sum of the period, so that
/// roundings of single events do not add up.
struct NetUnits {
    conversion: Option<Conversion>,
    free: Decimal,
    metered: Cell,
    billed: Cell,
}

impl NetUnits {
    fn read(p: Params) -> NetUnits {
        let conversion = p.optional_object("unit_conversion");
        let discounts = p.optional_object("discounts");
        let conversion = conversion.map(Conversion::read);
        let free = discounts.and_then(|d| d.optional_decimal("usage")).unwrap_or_default();
        if let Some(d) = discounts.filter(|_| free.is_negative()) {
            d.fail("usage", "must not be below 0");
        }
        NetUnits { conversion, free, metered: Cell::default(), billed: Cell::default() }
    }

    /// The same with its state; nothing when units are as they are metered.
    fn claimed(mut self, c: &mut Config) -> Option<NetUnits> {
        if self.conversion.is_none() && self.free.is_zero() {
            return None;
        }
        self.metered = c.state();
        self.billed = c.state();
        Some(self)
    }

    /// By how much an event changes the net units of its slot.
    #[inline(never)]
    fn step(&self, s: &mut Slot, quantity: Decimal) -> Result<Decimal> {
        let metered = self.metered.get(s).add(quantity)?;
        self.metered.set(s, metered);
        let mut units = match &self.conversion {
            Some(conversion) => conversion.convert(metered)?,
            None => metered,
        };
        if units.is_positive() {
            units = units.sub(self.free)?.max(Decimal::ZERO);
        }
        let step = units.sub(self.billed.get(s))?;
        self.billed.set(s, units);
        Ok(step)
    }
}

/// An event costs by how much it raises the cost of the most units there ever were. A fall is not refunded, and what
/// rises again up to the old peak is free. The first event pays the flat fee of the first tier.
struct InAdvance {
    tiers: Tiers,
    rounding: Rounding,
    usage: Line,
    peak: Cell,
    begun: Cell,
}

impl InAdvance {
    fn new(c: &mut Config, tiers: Tiers, rounding: Rounding) -> InAdvance {
        InAdvance { tiers, rounding, usage: c.line("usage", "Usage"), peak: c.state(), begun: c.state() }
    }

    #[inline(never)]
    fn add(&self, s: &mut Slot, quantity: Decimal) -> Result<()> {
        let units = self.usage.quantity(s).add(quantity)?;
        let before = self.peak.get(s);
        let after = before.max(units);
        let mut charge = graduated_cost(self.tiers, after)?;
        if self.begun.get_int(s) != 0 {
            charge = charge.sub(graduated_cost(self.tiers, before)?)?;
        }
        let amount = self.usage.amount(s).add(charge.round(self.rounding)?)?;
        self.begun.set_int(s, 1);
        self.peak.set(s, after);
        self.usage.set(s, units, amount);
        Ok(())
    }
}

tollway_tariff::export!(GraduatedTariff);
