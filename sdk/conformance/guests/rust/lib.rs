//! The tariff that does what a case of the shared file asks for, in Rust.
#![no_std]
use tollway_tariff::prelude::*;

const OPERATIONS: [&str; 12] =
    ["parse", "format", "compare", "neg", "abs", "add", "sub", "mul", "quo", "round", "mul_quo", "sum"];

struct Conformance {
    operation: &'static str,
    rounding: Rounding,
    n: i64,
    text: Dimension,
    result: Line,
    sum: SumCell,
}

impl Tariff for Conformance {
    const NAME: &'static str = "conformance";

    fn configure(c: &mut Config) -> Self {
        let p = c.params;
        Conformance {
            operation: OPERATIONS[p.choice("operation", &OPERATIONS)],
            n: p.optional_int("n", i64::MIN, i64::MAX).unwrap_or(0),
            rounding: Rounding {
                scale: p.optional_int("scale", -100, 100).unwrap_or(0) as i32,
                mode: Mode::of(p.optional_choice("mode", &Mode::NAMES).unwrap_or(0)),
            },
            text: c.dimension("text"),
            result: c.line("result", "Result"),
            sum: c.state_sum(),
        }
    }

    fn event(&self, s: &mut Slot, e: &Event) -> Result<()> {
        match self.operate(s, e) {
            Ok(result) => {
                self.result.set(s, result, Decimal::ZERO);
                Ok(())
            }
            Err(e @ Error::Syntax) => Err(reject("syntax", e.text())),
            Err(e @ Error::TooPrecise) => Err(reject("too_precise", e.text())),
            Err(e @ Error::InvalidRounding) => Err(reject("invalid_rounding", e.text())),
            Err(e) => Err(e),
        }
    }
}

impl Conformance {
    fn operate(&self, s: &mut Slot, e: &Event) -> Result<Decimal> {
        let (a, b, r) = (e.quantity(), e.amount().unwrap_or_default(), self.rounding);
        match self.operation {
            "parse" => Decimal::parse(e.value(self.text)),
            "format" => Err(reject("text", format_args!("{:.*}", self.rounding.scale as usize, a))),
            "compare" => Ok(Decimal::from_int(a.cmp(&b) as i64)),
            "neg" => a.neg(),
            "abs" => a.abs(),
            "add" => a.add(b),
            "sub" => a.sub(b),
            "mul" => a.mul(b, r),
            "quo" => a.quo(b, r),
            "round" => a.round(r),
            "mul_quo" => a.mul_quo(b, self.n, r),
            _ => {
                let sum = self.sum.get(s).add(Sum::of(a, b))?;
                self.sum.set(s, sum);
                sum.quo(self.n, r)
            }
        }
    }
}

tollway_tariff::export!(Conformance);
