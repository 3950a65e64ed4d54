//! A strict reader of JSON into a flat list of nodes, for the requests of the engine. Strings are unescaped in place.

use core::cell::Cell;

pub(crate) const NONE: u32 = u32::MAX;

const DEPTH_MAX: u32 = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    /// How problems call a value of the kind.
    pub(crate) fn name(self) -> &'static str {
        ["null", "true or false", "a number", "a string", "a list", "an object"][self as usize]
    }
}

/// One value. Members of an object and elements of a list are chained by next.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) used: Cell<bool>,   // a reader asked for it
    pub(crate) opened: Cell<bool>, // an object whose members are parameters
    key: (u32, u32),         // where its texts begin and end
    text: (u32, u32),
    pub(crate) parent: u32,
    pub(crate) first: u32,
    pub(crate) next: u32,
    pub(crate) index: u32, // in a list
    pub(crate) count: u32, // of children
}

/// What is wrong with a text, and at which byte.
pub(crate) type Problem = (usize, &'static str);

/// A JSON text that has been read. nodes[0] is the whole.
pub(crate) struct Document {
    text: &'static mut [u8],
    nodes: &'static mut [core::mem::MaybeUninit<Node>],
    count: usize,
    at: usize,
    depth: u32,
}

type Done<T> = Result<T, Problem>;

impl Document {
    /// Reads one value. The nodes go into the given room.
    pub(crate) fn read(text: &'static mut [u8], nodes: &'static mut [core::mem::MaybeUninit<Node>]) -> Done<Document> {
        if core::str::from_utf8(text).is_err() {
            return Err((0, "not UTF-8"));
        }
        let mut d = Document { text, nodes, count: 0, at: 0, depth: 0 };
        d.value(NONE, (0, 0))?;
        d.space();
        if d.at < d.text.len() {
            return d.wrong("text behind the value");
        }
        Ok(d)
    }

    pub(crate) fn len(&self) -> u32 {
        self.count as u32
    }

    pub(crate) fn node(&self, n: u32) -> &Node {
        assert!((n as usize) < self.count);
        unsafe { self.nodes[n as usize].assume_init_ref() } // those below count have been written
    }

    fn node_mut(&mut self, n: u32) -> &mut Node {
        assert!((n as usize) < self.count);
        unsafe { self.nodes[n as usize].assume_init_mut() }
    }

    fn slice(&self, (from, to): (u32, u32)) -> &str {
        core::str::from_utf8(&self.text[from as usize..to as usize]).unwrap_or("")
    }

    /// The name of a member.
    pub(crate) fn key(&self, n: u32) -> &str {
        self.slice(self.node(n).key)
    }

    /// Of a string its content, of another value what was written.
    pub(crate) fn text(&self, n: u32) -> &str {
        self.slice(self.node(n).text)
    }

    /// The member of an object, or NONE.
    pub(crate) fn child(&self, object: u32, key: &str) -> u32 {
        let mut n = self.node(object).first;
        while n != NONE && self.key(n) != key {
            n = self.node(n).next;
        }
        n
    }

    fn wrong<T>(&self, what: &'static str) -> Done<T> {
        Err((self.at, what))
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn take(&mut self, c: u8) -> bool {
        let there = self.at < self.text.len() && self.text[self.at] == c;
        self.at += there as usize;
        there
    }

    fn value(&mut self, parent: u32, key: (u32, u32)) -> Done<u32> {
        self.space();
        if self.count == self.nodes.len() {
            return self.wrong("more values than there is room for");
        }
        let n = self.count as u32;
        self.count += 1;
        self.nodes[n as usize].write(Node {
            kind: Kind::Null, used: Cell::new(false), opened: Cell::new(false), key, text: (0, 0), parent, first: NONE, next: NONE, index: 0, count: 0,
        });
        let start = self.at;
        let kind = match self.peek() {
            c @ (b'{' | b'[') => {
                if self.depth == DEPTH_MAX {
                    return self.wrong("nested too deep");
                }
                self.at += 1;
                self.depth += 1;
                self.children(n, c == b'{')?;
                self.depth -= 1;
                return Ok(n);
            }
            b'"' => {
                self.node_mut(n).text = self.string()?;
                self.node_mut(n).kind = Kind::Text;
                return Ok(n);
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                Kind::Number
            }
            _ => self.literal()?,
        };
        let end = self.at;
        let node = self.node_mut(n);
        node.kind = kind;
        node.text = (start as u32, end as u32);
        Ok(n)
    }

    fn literal(&mut self) -> Done<Kind> {
        for (word, kind) in [("null", Kind::Null), ("true", Kind::Bool), ("false", Kind::Bool)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(kind);
            }
        }
        self.wrong("not a value")
    }

    fn children(&mut self, parent: u32, object: bool) -> Done<()> {
        let end = if object { b'}' } else { b']' };
        self.node_mut(parent).kind = if object { Kind::Object } else { Kind::List };
        self.space();
        if self.take(end) {
            return Ok(());
        }
        let mut last = NONE;
        loop {
            let mut key = (0, 0);
            self.space();
            if object {
                if self.peek() != b'"' {
                    return self.wrong("a key is missing");
                }
                key = self.string()?;
                if self.child(parent, self.slice(key)) != NONE {
                    return self.wrong("a key is there twice");
                }
                self.space();
                if !self.take(b':') {
                    return self.wrong("a colon is missing");
                }
            }
            let child = self.value(parent, key)?;
            let index = self.node(parent).count;
            self.node_mut(parent).count += 1;
            self.node_mut(child).index = index;
            if last == NONE {
                self.node_mut(parent).first = child;
            } else {
                self.node_mut(last).next = child;
            }
            last = child;
            self.space();
            if self.take(end) {
                return Ok(());
            }
            if !self.take(b',') {
                return self.wrong("a comma or the end is missing");
            }
        }
    }

    fn digits(&mut self) -> Done<()> {
        if !self.peek().is_ascii_digit() {
            return self.wrong("a digit is missing");
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Done<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// Reads a string and returns where its content is.
    fn string(&mut self) -> Done<(u32, u32)> {
        self.at += 1; // the opening quote
        let start = self.at;
        let mut to = start;
        while self.at < self.text.len() {
            let c = self.text[self.at];
            self.at += 1;
            match c {
                b'"' => return Ok((start as u32, to as u32)),
                b'\\' => to += self.escape(to)?,
                0..=0x1f => return self.wrong("control character in a string"),
                _ => {
                    self.text[to] = c;
                    to += 1;
                }
            }
        }
        self.wrong("a string does not end")
    }

    /// Reads what follows a backslash and writes it to a place before it; returns its length.
    fn escape(&mut self, to: usize) -> Done<usize> {
        let c = self.peek();
        self.at += 1;
        let char = match c {
            b'"' | b'\\' | b'/' => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode()?,
            _ => return self.wrong("unknown escape"),
        };
        Ok(char.encode_utf8(&mut self.text[to..]).len())
    }

    fn unicode(&mut self) -> Done<char> {
        let mut code = self.hex4()?;
        if (0xd800..0xdc00).contains(&code) && self.take(b'\\') && self.take(b'u') {
            let low = self.hex4()?;
            if !(0xdc00..0xe000).contains(&low) {
                return self.wrong("half of a surrogate pair");
            }
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        char::from_u32(code).map_or_else(|| self.wrong("half of a surrogate pair"), Ok)
    }

    fn hex4(&mut self) -> Done<u32> {
        let mut n = 0;
        for _ in 0..4 {
            match (self.peek() as char).to_digit(16) {
                Some(digit) => n = n << 4 | digit,
                None => return self.wrong("four hexadecimal digits are missing"),
            }
            self.at += 1;
        }
        Ok(n)
    }
}
