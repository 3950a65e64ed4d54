use crate::decimal::{Decimal, Mode, Rounding, EXACT};
use crate::engine::engine;
use crate::json::{Document, Kind, NONE};
use crate::memory::{keep_text, Buffer};
use crate::slot::{Cell, Dimension, Line, SumCell};

/// What a tariff gets once per set of parameters: it reads them and claims what it needs. Claims last as long as the
/// configuration.
pub struct Config {
    /// The parameters as the catalog gives them.
    pub params: Params,
    /// The currency of all amounts, ISO 4217.
    pub currency: &'static str,
    pub(crate) lines: u32,
    pub(crate) cells: u32,
    pub(crate) carried: [u32; CELLS_MAX],
    pub(crate) carried_count: usize,
    pub(crate) dimensions: [&'static str; DIMENSIONS_MAX],
    pub(crate) dimension_count: usize,
}

const CELLS_MAX: usize = 256; // 4096 bytes of state
const DIMENSIONS_MAX: usize = 16;

impl Config {
    pub(crate) fn new(root: u32, currency: &'static str) -> Config {
        Config {
            params: Params { node: root }, currency, lines: 0, cells: 0, carried: [0; CELLS_MAX], carried_count: 0,
            dimensions: [""; DIMENSIONS_MAX], dimension_count: 0,
        }
    }

    /// Claims a line item. The id is `[a-z][a-z0-9_]{0,62}` and unique, the description at most 200 bytes for an
    /// invoice. Lines appear in the order in which they are claimed.
    pub fn line(&mut self, id: &str, description: &str) -> Line {
        let mut size = description.len().min(200);
        while !description.is_char_boundary(size) {
            size -= 1;
        }
        let out = engine().lines();
        if out.room.len() - out.length < LINE_TEXT_MAX {
            let grown = crate::memory::keep_list(2 * out.room.len() + LINE_TEXT_MAX, |_| 0);
            grown[..out.length].copy_from_slice(&out.room[..out.length]);
            out.room = grown;
        }
        out.put(if self.lines == 0 { "{\"id\":" } else { ",{\"id\":" });
        out.put_quoted(id);
        out.put(",\"description\":");
        out.put_quoted(&description[..size]);
        out.put("}");
        self.lines += 1;
        Line { index: self.lines - 1 }
    }

    /// Claims a number of a slot that begins at 0 with each billing period.
    pub fn state(&mut self) -> Cell {
        self.cells += 1;
        Cell { index: self.cells - 1 }
    }

    /// Claims a number of a slot that begins with what the period before ended with.
    pub fn carry(&mut self) -> Cell {
        self.carried[self.carried_count] = self.cells;
        self.carried_count += 1;
        self.state()
    }

    /// Claims an exact sum of a slot.
    pub fn state_sum(&mut self) -> SumCell {
        SumCell { low: self.state(), high: self.state() }
    }

    /// Claims a dimension of the meter: events then bring its value. Claimed twice it is the same. A meter's dimensions
    /// are of the form `[a-z][a-z0-9_]{0,62}`.
    pub fn dimension(&mut self, name: &'static str) -> Dimension {
        let have = self.dimensions[..self.dimension_count].iter().position(|d| *d == name);
        let index = have.unwrap_or(self.dimension_count);
        if have.is_none() {
            self.dimensions[index] = name;
            self.dimension_count += 1;
        }
        Dimension { index: index as u32 }
    }
}

/// The longest text of a line: every character of it escaped.
const LINE_TEXT_MAX: usize = 2048;

/// An object of parameters. A reader notes what is missing, malformed or unknown with its path and gives a usable value
/// in any case; after configure the engine gets all problems at once. So configure needs no error handling. Numbers are
/// decimal strings ("0.002"); JSON numbers are taken too, by their text. An optional parameter may be absent or null.
/// Parameters may be read in configure only.
#[derive(Clone, Copy)]
pub struct Params {
    pub(crate) node: u32, // NONE when it is missing, which has been noted
}

/// A list of objects, or an object whose keys are the catalog's own and whose values are objects.
pub struct List {
    next: u32,
    count: usize,
}

impl List {
    /// How many there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
    }
}

impl Iterator for List {
    type Item = Params;

    fn next(&mut self) -> Option<Params> {
        let n = self.next;
        if n == NONE {
            return None;
        }
        let doc = engine().document();
        doc.node(n).used.set(true);
        self.next = doc.node(n).next;
        let kind = doc.node(n).kind;
        if kind == Kind::Object {
            return Some(open(n));
        }
        if let Some(out) = problem(n, "") {
            out.put("must be an object, not ");
            out.put(kind.name());
        }
        Some(Params { node: NONE })
    }
}

/// Opens an object: from now on a member that nothing asks for is unknown.
pub(crate) fn open(object: u32) -> Params {
    engine().document().node(object).opened.set(true);
    Params { node: object }
}

const PROBLEMS_SHOWN: u32 = 20;

/// Begins a problem with what stands at a node, or at the member of it that is named; nothing for one too many.
fn problem(node: u32, name: &str) -> Option<&'static mut Buffer> {
    let e = engine();
    e.problem_count.set(e.problem_count.get() + 1);
    if e.problem_count.get() > PROBLEMS_SHOWN {
        return None;
    }
    let out = e.problems();
    out.put(if e.problem_count.get() > 1 { "; params" } else { "params" });
    put_path(out, e.document(), node, e.root.get());
    if !name.is_empty() {
        put_key(out, name);
    }
    out.put(": ");
    Some(out)
}

fn put_path(out: &mut Buffer, doc: &Document, n: u32, root: u32) {
    if n == root || n == NONE {
        return;
    }
    let parent = doc.node(n).parent;
    put_path(out, doc, parent, root);
    if parent != NONE && doc.node(parent).kind == Kind::List {
        out.put("[");
        out.put_number(doc.node(n).index as i64);
        out.put("]");
        return;
    }
    put_key(out, doc.key(n));
}

/// .key, or ["key"] when it is not a plain word.
fn put_key(out: &mut Buffer, key: &str) {
    if !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
        out.put(".");
        out.put(key);
        return;
    }
    out.put("[");
    out.put_quoted(key);
    out.put("]");
}

/// Closes the problems; whether there are some.
pub(crate) fn refuse_unknown() -> bool {
    let e = engine();
    let doc = e.document();
    for n in 0..doc.len() {
        let node = doc.node(n);
        if node.used.get() || node.parent == NONE || !doc.node(node.parent).opened.get() {
            continue;
        }
        if let Some(out) = problem(n, "") {
            out.put("unknown parameter; known here: ");
            let mut separator = "";
            for (_, name) in e.asked().iter().filter(|(object, _)| *object == node.parent) {
                out.put(separator);
                out.put(name);
                separator = ", ";
            }
            out.put(if separator.is_empty() { "none" } else { "" });
        }
    }
    let count = e.problem_count.get();
    if count > PROBLEMS_SHOWN {
        e.problems().put("; and ");
        e.problems().put_number((count - PROBLEMS_SHOWN) as i64);
        e.problems().put(" more");
    }
    count > 0
}

impl Params {
    /// Notes a problem with a parameter; the message says what would be right: "must be greater than 0".
    pub fn fail(self, name: &str, message: impl core::fmt::Display) {
        if self.node == NONE {
            return;
        }
        if let Some(out) = problem(self.node, name) {
            let _ = core::fmt::write(out, format_args!("{}", message)); // it is cut, never an error
        }
    }

    /// The value of a parameter of one of the kinds; NONE when it is absent, null or another.
    fn find(self, name: &'static str, required: bool, kinds: &[Kind], wanted: &str) -> u32 {
        if self.node == NONE {
            return NONE;
        }
        engine().note_asked(self.node, name);
        let doc = engine().document();
        let n = doc.child(self.node, name);
        if n == NONE {
            if required {
                self.fail(name, "is missing");
            }
            return NONE;
        }
        doc.node(n).used.set(true);
        let kind = doc.node(n).kind;
        if kind == Kind::Null && !required {
            return NONE;
        }
        if kinds.contains(&kind) {
            return n;
        }
        self.fail(name, format_args!("must be {}, not {}", wanted, kind.name()));
        NONE
    }

    fn decimal_of(self, name: &'static str, required: bool) -> Option<Decimal> {
        let n = self.find(name, required, &[Kind::Text, Kind::Number], "a decimal number");
        if n == NONE {
            return None;
        }
        let text = engine().document().text(n);
        let parsed = Decimal::parse(text);
        if let (Err(e), Some(out)) = (parsed, parsed.err().and_then(|_| problem(self.node, name))) {
            let shown = text.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= 64).last().unwrap_or(0);
            out.put("decimal ");
            out.put_quoted(&text[..shown]);
            out.put(": ");
            out.put(e.text());
        }
        parsed.ok()
    }

    /// Reads a number.
    pub fn decimal(self, name: &'static str) -> Decimal {
        self.decimal_of(name, true).unwrap_or_default()
    }

    /// Reads a number that may be absent.
    pub fn optional_decimal(self, name: &'static str) -> Option<Decimal> {
        self.decimal_of(name, false)
    }

    fn int_of(self, name: &'static str, required: bool, least: i64, most: i64) -> Option<i64> {
        let n = self.find(name, required, &[Kind::Number], "a whole number");
        if n == NONE {
            return None;
        }
        match engine().document().text(n).parse::<i64>() {
            Ok(value) if value >= least && value <= most => Some(value),
            _ => {
                self.fail(name, format_args!("must be a whole number from {} to {}", least, most));
                None
            }
        }
    }

    /// Reads a whole number from least to most.
    pub fn int(self, name: &'static str, least: i64, most: i64) -> i64 {
        self.int_of(name, true, least, most).unwrap_or(least)
    }

    /// Reads such a number that may be absent.
    pub fn optional_int(self, name: &'static str, least: i64, most: i64) -> Option<i64> {
        self.int_of(name, false, least, most)
    }

    /// Reads true or false that may be absent.
    pub fn bool_or(self, name: &'static str, absent: bool) -> bool {
        match self.find(name, false, &[Kind::Bool], "true or false") {
            NONE => absent,
            n => engine().document().text(n) == "true",
        }
    }

    fn text_of(self, name: &'static str, required: bool) -> Option<&'static str> {
        let n = self.find(name, required, &[Kind::Text], "a string");
        if n == NONE {
            return None;
        }
        let text = engine().document().text(n);
        if text.is_empty() {
            self.fail(name, "must not be empty");
            return None;
        }
        Some(keep_text(text))
    }

    /// Reads a string that is not empty.
    pub fn text(self, name: &'static str) -> &'static str {
        self.text_of(name, true).unwrap_or("")
    }

    /// Reads such a string that may be absent.
    pub fn optional_text(self, name: &'static str) -> Option<&'static str> {
        self.text_of(name, false)
    }

    fn choice_of(self, name: &'static str, required: bool, words: &[&'static str]) -> Option<usize> {
        let n = self.find(name, required, &[Kind::Text], "a string");
        if n == NONE {
            return None;
        }
        let text = engine().document().text(n);
        let place = words.iter().position(|w| *w == text);
        if place.is_none() {
            if let Some(out) = problem(self.node, name) {
                out.put(if words.len() > 1 { "must be one of " } else { "must be " });
                for (i, word) in words.iter().enumerate() {
                    out.put(if i > 0 { ", " } else { "" });
                    out.put(word);
                }
                out.put(", not ");
                out.put_quoted(text);
            }
        }
        place
    }

    /// Reads one of several words and returns its place; that of the first when it is none of them, which has been
    /// noted.
    pub fn choice(self, name: &'static str, words: &[&'static str]) -> usize {
        self.choice_of(name, true, words).unwrap_or(0)
    }

    /// Reads one of several words that may be absent.
    pub fn optional_choice(self, name: &'static str, words: &[&'static str]) -> Option<usize> {
        self.choice_of(name, false, words)
    }

    /// Reads {"scale": 2, "mode": "half_up"}; absent, null and mode none give [`EXACT`].
    pub fn rounding(self, name: &'static str) -> Rounding {
        let n = self.find(name, false, &[Kind::Object], "an object with scale and mode");
        if n == NONE {
            return EXACT;
        }
        let r = open(n);
        match r.choice("mode", &Mode::NAMES) {
            0 => {
                r.optional_int("scale", -20, 18);
                EXACT
            }
            mode => Rounding { scale: r.int("scale", -20, 18) as i32, mode: Mode::of(mode) },
        }
    }

    /// Reads parameters of their own.
    pub fn object(self, name: &'static str) -> Params {
        match self.find(name, true, &[Kind::Object], "an object") {
            NONE => Params { node: NONE },
            n => open(n),
        }
    }

    /// Reads parameters of their own that may be absent.
    pub fn optional_object(self, name: &'static str) -> Option<Params> {
        match self.find(name, false, &[Kind::Object], "an object") {
            NONE => None,
            n => Some(open(n)),
        }
    }

    fn children(self, n: u32) -> List {
        if n == NONE {
            return List { next: NONE, count: 0 };
        }
        let node = engine().document().node(n);
        List { next: node.first, count: node.count as usize }
    }

    /// Reads a list of objects that has at least one.
    pub fn list(self, name: &'static str) -> List {
        let n = self.find(name, true, &[Kind::List], "a list");
        let list = self.children(n);
        if n != NONE && list.count == 0 {
            self.fail(name, "must not be empty");
        }
        list
    }

    /// Reads an object whose keys are the catalog's own and whose values are objects; [`Params::key`] tells the key.
    pub fn map(self, name: &'static str) -> List {
        self.children(self.find(name, true, &[Kind::Object], "an object"))
    }

    /// The key of an entry of a map.
    pub fn key(self) -> &'static str {
        if self.node == NONE {
            return "";
        }
        keep_text(engine().document().key(self.node))
    }

    /// Whether a parameter is there and not null, without reading it.
    pub fn present(self, name: &str) -> bool {
        let n = if self.node == NONE { NONE } else { engine().document().child(self.node, name) };
        n != NONE && engine().document().node(n).kind != Kind::Null
    }
}
