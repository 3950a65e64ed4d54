//! Runs a module natively through its exports, over an arena as the engine writes it.

use tollway_tariff::prelude::*;

struct Steps {
    usage: Line,
    seen: Cell,
    left: Cell,
    sku: Dimension,
    price: Decimal,
}

impl Tariff for Steps {
    const NAME: &'static str = "steps";

    fn configure(c: &mut Config) -> Self {
        let p = c.params;
        if p.optional_text("note") == Some("refuse") {
            p.fail("note", "must not be that");
        }
        let price = p.decimal("price");
        for entry in p.map("by_sku") {
            assert_eq!(entry.key(), "a b");
            entry.decimal("price");
        }
        Steps { usage: c.line("usage", "Usage \"quoted\" and ünïcode"), seen: c.state(), left: c.carry(), sku: c.dimension("sku"), price }
    }

    fn event(&self, s: &mut Slot, e: &Event) -> Result<()> {
        self.seen.set_int(s, self.seen.get_int(s) + 1);
        self.left.set(s, self.left.get(s).add(e.quantity())?);
        let units = self.usage.quantity(s).add(e.quantity())?;
        self.usage.set(s, units, multiply(units, self.price, EXACT)?);
        match e.value(self.sku) {
            "bad" => Err(reject("bad_sku", format_args!("{} {}", e.value(self.sku), e.amount().unwrap_or_default()))),
            _ => Ok(()),
        }
    }
}

tollway_tariff::export!(Steps);

/// The arena with what the engine writes; regions are where they are in every test.
struct Arena(&'static mut [u8]);

const HEADER: usize = 128;
const SLOT: usize = 1024;
const EVENTS: usize = 2048;
const LINE: usize = 4096;
const STATE: usize = 4160;
const CARRY_IN: usize = 4224;
const CARRY_OUT: usize = 4256;
const VALUES: usize = 4352;
const TEXT: usize = 4416;
const REJECTS: usize = 8192;
const SIZE: usize = 64 << 10;

impl Arena {
    fn put32(&mut self, at: usize, v: u32) {
        self.0[at..at + 4].copy_from_slice(&v.to_le_bytes());
    }

    fn put128(&mut self, at: usize, v: i128) {
        self.0[at..at + 16].copy_from_slice(&v.to_le_bytes());
    }

    fn get32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn get128(&self, at: usize) -> i128 {
        i128::from_le_bytes(self.0[at..at + 16].try_into().unwrap())
    }

    fn configure(&mut self, handle: u32, params: &str) -> (i32, String) {
        let request = format!(r#"{{"tariff":"steps","params":{},"currency":"EUR","kind":"tariff"}}"#, params);
        self.0[HEADER..HEADER + request.len()].copy_from_slice(request.as_bytes());
        let code = tariff_configure(handle, request.len() as u32);
        let length = self.get32(if code == 0 { 76 } else { 80 }) as usize;
        (code, String::from_utf8(self.0[HEADER..HEADER + length].to_vec()).unwrap())
    }

    /// Writes a batch of events of one slot: quantity and value.
    fn batch(&mut self, events: &[(i128, &str)], finals: u32) {
        self.0[..HEADER].fill(0);
        let header = [
            (0, 0x314c_5754), (4, 1), (8, 128), (12, events.len()), (16, 1), (20, EVENTS), (24, 64), (28, SLOT), (32, 96), (36, 1),
            (40, VALUES), (44, 3), (48, TEXT), (52, 4), (56, REJECTS), (60, 192), (64, 2), (68, SIZE), (84, 1), (88, finals as usize),
        ];
        for (at, v) in header {
            self.put32(at, v as u32);
        }
        let slot = [
            (36, 2 * finals as usize), (40, 1), (44, LINE), (48, STATE), (56, 32), (64, CARRY_IN), (72, CARRY_OUT), (80, 16),
        ];
        for (at, v) in slot {
            self.put32(SLOT + at, v as u32);
        }
        self.0[TEXT..TEXT + 4].copy_from_slice(b"abad");
        for (id, off, length) in [(1, 0, 1), (2, 1, 3)] {
            self.put32(VALUES + 8 * id, off);
            self.put32(VALUES + 8 * id + 4, length);
        }
        for (i, (quantity, value)) in events.iter().enumerate() {
            let row = EVENTS + 64 * i;
            self.put32(row, 0);
            self.put32(row + 4, 1);
            self.put128(row + 16, *quantity);
            self.put128(row + 32, 5);
            self.put32(row + 48, ["", "a", "bad"].iter().position(|v| v == value).unwrap() as u32);
        }
    }
}

/// One test: a module has one arena, and the process one module.
#[test]
fn module() {
    // A pointer of this machine does not fit the export's result, so the arena is found behind it.
    let low = tariff_arena(SIZE as u32);
    assert_eq!(tariff_abi_v1(), 0);
    assert_eq!(tariff_arena(SIZE as u32), 0, "a second arena");
    let base = tollway_tariff::arena_for_tests();
    assert_eq!(base as usize as u32, low);
    let mut a = Arena(unsafe { std::slice::from_raw_parts_mut(base, SIZE) });

    let (code, reply) = a.configure(0, r#"{"price":"2","by_sku":{"a b":{"price":1e-3}},"note":"\u00e9\n"}"#);
    assert_eq!(
        (code, reply.as_str()),
        (0, r#"{"lines":[{"id":"usage","description":"Usage \"quoted\" and ünïcode"}],"state_size":32,"carry_size":16,"dimensions":["sku"]}"#)
    );
    let (code, reply) = a.configure(1, r#"{"by_sku":{"a b":{"price":"x","prize":1}},"note":"refuse","more":[]}"#);
    assert_eq!(code, 0);
    for want in [
        "params.note: must not be that", "params.price: is missing", "params.by_sku[\\\"a b\\\"].price: decimal \\\"x\\\": invalid syntax",
        "params.by_sku[\\\"a b\\\"].prize: unknown parameter; known here: price", "params.more: unknown parameter; known here: note, price, by_sku",
    ] {
        assert!(reply.contains(want), "{} is not in {}", want, reply);
    }
    assert_eq!(a.configure(1, "{").0, 1);
    assert_eq!(a.configure(7, "{}").0, 1, "a handle out of turn");

    let unit = 1_000_000_000_000_000_000;
    a.batch(&[(3 * unit, "a"), (unit, "bad"), (i128::MAX, "a"), (unit, "")], 1);
    a.0[LINE..LINE + 32].fill(0);
    a.put32(SLOT + 68, 16);
    a.put128(CARRY_IN, 10 * unit);
    assert_eq!(tariff_price(low), 0);
    assert_eq!((a.get128(LINE), a.get128(LINE + 16)), (4 * unit, 8 * unit));
    assert_eq!((a.get128(STATE), a.get128(STATE + 16)), (2, 14 * unit), "the state, with what was carried in");
    assert_eq!((a.get32(SLOT + 52), a.get32(SLOT + 76), a.get128(CARRY_OUT)), (32, 16, 14 * unit));
    assert_eq!(a.get32(72), 2, "rejects");
    assert_eq!((a.get32(REJECTS), a.get32(REJECTS + 4)), (1, 7 | 24 << 16));
    assert_eq!(&a.0[REJECTS + 8..REJECTS + 8 + 31], b"bad_skubad 0.000000000000000005");
    assert_eq!(&a.0[REJECTS + 192 + 8..REJECTS + 192 + 16], b"overflow");

    a.batch(&[(unit, "bad"), (unit, "bad"), (unit, "bad")], 0);
    assert_eq!(tariff_price(low), 3, "more rejects than there is room for");
    a.batch(&[], 0);
    a.put32(0, 0);
    assert_eq!(tariff_price(low), 1, "another magic");
    assert_eq!(tariff_price(low + 1), 1, "another pointer");
}
