//! Holds the arithmetic against the file that all SDKs share, natively. `make conformance` does the same through
//! WebAssembly and the engine's loader.

use std::collections::BTreeMap;
use tollway_tariff::{Decimal, Error, Mode, Result, Rounding, Sum};

/// The members of a flat JSON object, and the objects of its member `steps`. The file is made by a program, so this
/// knows no more of JSON than it needs.
fn members(line: &str) -> (BTreeMap<String, String>, Vec<BTreeMap<String, String>>) {
    let (flat, steps) = line.split_once("\"steps\":[").unwrap_or((line, ""));
    let steps = steps.split('{').skip(1).map(object).collect();
    (object(flat), steps)
}

fn object(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut chars = text.chars().peekable();
    let mut key: Option<String> = None;
    while let Some(c) = chars.next() {
        let value = match c {
            '"' => string(&mut chars),
            '-' | '0'..='9' => {
                let mut number = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_ascii_digit()) {
                    number.push(c);
                }
                number
            }
            _ => continue,
        };
        match key.take() {
            Some(key) => {
                found.insert(key, value);
            }
            None => key = Some(value),
        }
    }
    found
}

fn string(chars: &mut impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('u') => {
                    let hex: String = chars.take(4).collect();
                    text.extend(u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32));
                }
                Some('n') => text.push('\n'),
                other => text.extend(other),
            },
            c => text.push(c),
        }
    }
    text
}

/// What an event of a case comes to: a text, or the reason of an error.
fn operate(c: &BTreeMap<String, String>, step: &BTreeMap<String, String>, sum: &mut Sum) -> Result<String> {
    let number = |name: &str| step.get(name).map_or(Decimal::ZERO, |text| Decimal::parse(text).unwrap());
    let (a, b) = (number("a"), number("b"));
    let mode = Mode::NAMES.iter().position(|name| Some(*name) == c.get("mode").map(String::as_str)).unwrap_or(0);
    let scale: i32 = c.get("scale").map_or(0, |n| n.parse().unwrap());
    let n: i64 = c.get("n").map_or(0, |n| n.parse().unwrap());
    let r = Rounding { scale, mode: Mode::of(mode) };
    let result = match c["op"].as_str() {
        "parse" => Decimal::parse(step.get("text").map_or("", String::as_str))?,
        "format" => return Ok(format!("{:.*}", scale as usize, a)),
        "compare" => Decimal::from_int(a.cmp(&b) as i64),
        "neg" => a.neg()?,
        "abs" => a.abs()?,
        "add" => a.add(b)?,
        "sub" => a.sub(b)?,
        "mul" => a.mul(b, r)?,
        "quo" => a.quo(b, r)?,
        "round" => a.round(r)?,
        "mul_quo" => a.mul_quo(b, n, r)?,
        "sum" => {
            let next = sum.add(Sum::of(a, b))?;
            let result = next.quo(n, r)?;
            *sum = next;
            result
        }
        other => panic!("unknown operation {}", other),
    };
    Ok(result.to_string())
}

#[test]
fn shared_cases() {
    let file = include_str!("../../conformance/decimals.jsonl");
    let mut count = 0;
    for line in file.lines() {
        let (case, mut steps) = members(line);
        if steps.is_empty() {
            steps.push(case.clone());
        }
        let mut sum = Sum::ZERO;
        for step in &steps {
            let got = operate(&case, step, &mut sum).map_err(|e| match e {
                Error::Overflow => "overflow",
                Error::DivisionByZero => "division_by_zero",
                Error::Inexact => "inexact",
                Error::InvalidRounding => "invalid_rounding",
                Error::Syntax => "syntax",
                Error::TooPrecise => "too_precise",
                Error::Rejected => "rejected",
            });
            match step.get("error") {
                Some(error) => assert_eq!(got, Err(error.as_str()), "{}", line),
                None => assert_eq!(got, Ok(step["want"].clone()), "{}", line),
            }
            count += 1;
        }
    }
    assert!(count > 6000, "{} cases", count);
}

#[test]
fn constants_and_conversions() {
    assert_eq!(Decimal::from_int(i64::MIN).to_string(), "-9223372036854775808");
    assert_eq!(Decimal::ONE, Decimal::from_int(1));
    assert_eq!(Decimal::from_units(-1).to_string(), "-0.000000000000000001");
    assert_eq!(Decimal::parse("-1.5").unwrap().units(), -1_500_000_000_000_000_000);
    assert_eq!(Decimal::MAX.add(Decimal::from_units(1)), Err(Error::Overflow));
    assert!(Decimal::MIN < Decimal::ZERO && Decimal::MIN.is_negative() && !Decimal::ZERO.is_positive());
    assert_eq!(format!("{:.2}", Decimal::from_int(3)), "3.00");
}
