//! The engine's side of the contract: sdk/ABI.md. There is one module at work, one call at a time, in one thread; its
//! state is a static of which each function takes what it needs.

use crate::decimal::{Decimal, Error, Result};
use crate::json::{Document, Kind, Node, NONE};
use crate::memory::{bytes, keep, keep_list, keep_text, make_room, Buffer};
use crate::params::{open, refuse_unknown, Config};
use crate::price::Adder;
use crate::slot::{Cell as StateCell, Event, EventRow, Rows, Slot, SlotRow};
use core::cell::{Cell, UnsafeCell};
use core::fmt::Write;
use core::mem::{size_of, MaybeUninit};

/// A way of pricing, with its parameters.
pub trait Tariff: Sized + 'static {
    /// What a catalog calls it, `[a-z][a-z0-9_]{0,62}`.
    const NAME: &'static str;

    /// Reads the parameters and claims lines and state. It is called once per set of parameters.
    fn configure(c: &mut Config) -> Self;

    /// Brings the slot up to date with one event. An error rejects the event: the slot is then as it was before.
    fn event(&self, slot: &mut Slot, event: &Event) -> Result<()>;

    /// The price that is all there is to an event, if `event` does nothing but add the event's quantity to it. Stretches of
    /// such events are then priced in one loop, which comes to the same.
    fn all(&self) -> Option<&dyn Adder> {
        None
    }

    /// Does what falls due when a period ends; it is called for slots without events as well. There is no event to
    /// reject: an error stops the closing of the period.
    fn close(&self, _slot: &mut Slot) -> Result<()> {
        Ok(())
    }
}

/// A tariff with its parameters, whatever its type.
trait Priced {
    fn event(&self, slot: &mut Slot, event: &Event) -> Result<()>;
    fn all(&self) -> Option<&dyn Adder>;
    fn close(&self, slot: &mut Slot) -> Result<()>;
}

impl<T: Tariff> Priced for T {
    fn event(&self, slot: &mut Slot, event: &Event) -> Result<()> {
        Tariff::event(self, slot, event)
    }

    fn all(&self) -> Option<&dyn Adder> {
        Tariff::all(self)
    }

    fn close(&self, slot: &mut Slot) -> Result<()> {
        Tariff::close(self, slot)
    }
}

/// A tariff of a module, for [`crate::export!`].
pub struct Entry {
    name: &'static str,
    configure: fn(&mut Config) -> Made,
}

/// What configure made, for the module's own use.
pub struct Made(&'static dyn Priced);

/// Gives each tariff its entry, for [`crate::export!`].
pub trait Listed {
    /// The entry.
    const ENTRY: Entry;
}

impl<T: Tariff> Listed for T {
    const ENTRY: Entry = Entry { name: T::NAME, configure: configure::<T> };
}

fn configure<T: Tariff>(c: &mut Config) -> Made {
    Made(keep(T::configure(c)))
}

const OK: i32 = 0;
const FAULT: i32 = 1;
const REJECTS_FULL: i32 = 3;

const MAGIC: u32 = 0x314c_5754;
const HEADER_SIZE: usize = 128;
const FAULT_TEXT_MAX: usize = 4096;
const REJECT_TEXT_MAX: usize = 184;
const LINE_SIZE: u32 = 32;
const CELL_SIZE: u32 = 16;
const FINAL: u32 = 2;

#[repr(C)]
struct Header {
    magic: u32,
    major: u16,
    minor: u16,
    header_size: u32,
    n_events: u32,
    n_slots: u32,
    event_off: u32,
    event_stride: u32,
    slot_off: u32,
    slot_stride: u32,
    n_dims: u32,
    value_off: u32,
    n_values: u32,
    string_off: u32,
    string_len: u32,
    reject_off: u32,
    reject_stride: u32,
    n_rejects_max: u32,
    arena_size: u32,
    n_rejects: u32,
    reply_len: u32,
    err_len: u32,
    units_max: u32,
    n_finals: u32,
    reserved: [u32; 9],
}

// These do not compile when a layout differs from the contract's.
const _: [(); HEADER_SIZE] = [(); size_of::<Header>()];
const _: [(); 96] = [(); size_of::<SlotRow>()];
const _: [(); 48] = [(); size_of::<EventRow>()];

/// A tariff with its parameters and claims.
#[derive(Clone, Copy)]
struct Configured {
    priced: &'static dyn Priced,
    all: Option<&'static dyn Adder>, // see Tariff::all; nothing where it cannot price runs
    lines: u32,
    state_size: u32,
    dims: u32,
    carried: &'static [u32], // cells that go into the next period
}

/// A number as it was before the unit of work at hand wrote to it.
#[derive(Clone, Copy)]
struct Before {
    place: *mut [u64; 2],
    was: [u64; 2],
}

/// A list that grows, in memory that is never given back.
struct Grown<T: Copy> {
    place: Cell<*mut T>,
    length: Cell<usize>,
    room: Cell<usize>,
}

impl<T: Copy> Grown<T> {
    fn new() -> Grown<T> {
        Grown { place: Cell::new(core::ptr::null_mut()), length: Cell::new(0), room: Cell::new(0) }
    }

    #[inline]
    fn push(&self, value: T) {
        self.push_all([value]);
    }

    /// Appends some that come together, at most 64.
    #[inline]
    fn push_all<const N: usize>(&self, values: [T; N]) {
        let length = self.length.get();
        if length + N > self.room.get() {
            self.grow();
        }
        unsafe { (self.place.get().add(length) as *mut [T; N]).write(values) }
        self.length.set(length + N);
    }

    #[inline(never)]
    fn grow(&self) {
        let room = (2 * self.room.get()).max(64);
        let place = bytes(room * size_of::<T>()) as *mut T;
        if self.length.get() > 0 {
            unsafe { place.copy_from_nonoverlapping(self.place.get(), self.length.get()) }
        }
        self.place.set(place);
        self.room.set(room);
    }

    fn pop(&self) -> Option<T> {
        self.length.set(self.length.get().checked_sub(1)?);
        Some(unsafe { *self.place.get().add(self.length.get()) })
    }
}

/// The module at work. What a tariff's code changes while a method runs is in cells.
pub(crate) struct Engine {
    arena: *mut u8,
    size: usize,
    configs: Grown<Configured>,
    undo: Grown<Before>,
    reason: Cell<&'static str>, // of the rejection at hand
    detail: UnsafeCell<Buffer>,

    // While a request is answered:
    document: UnsafeCell<Option<Document>>,
    asked: Cell<*mut (u32, &'static str)>,
    asked_room: Cell<usize>,
    asked_count: Cell<usize>,
    pub(crate) root: Cell<u32>, // the node of the parameters
    problems: UnsafeCell<Buffer>,
    pub(crate) problem_count: Cell<u32>,
    lines: UnsafeCell<Buffer>, // of the reply
}

static mut ENGINE: MaybeUninit<Engine> = MaybeUninit::uninit();
static mut MADE: bool = false;

/// Whether tariff_arena was called. Each of the other exports asks before it works; what works does not ask again.
fn made() -> bool {
    unsafe { MADE }
}

/// The module at work: one thread.
#[inline]
pub(crate) fn engine() -> &'static Engine {
    debug_assert!(made());
    unsafe { &*(core::ptr::addr_of!(ENGINE) as *const Engine) }
}

/// The export tariff_arena.
pub fn export_arena(size: u32) -> u32 {
    if made() || size < 1024 || size > 1 << 30 {
        return 0;
    }
    let room = |n| UnsafeCell::new(Buffer::new(keep_list(n, |_| 0)));
    let arena = bytes(size as usize);
    let e = Engine {
        arena, size: size as usize, configs: Grown::new(), undo: Grown::new(), reason: Cell::new(""), detail: room(REJECT_TEXT_MAX),
        document: UnsafeCell::new(None), asked: Cell::new(core::ptr::null_mut()), asked_room: Cell::new(0), asked_count: Cell::new(0),
        root: Cell::new(NONE), problems: room(FAULT_TEXT_MAX), problem_count: Cell::new(0), lines: room(0),
    };
    unsafe {
        *core::ptr::addr_of_mut!(ENGINE) = MaybeUninit::new(e);
        MADE = true;
    }
    arena as usize as u32
}

/// The arena of a native run, whose place does not fit the result of tariff_arena.
#[cfg(not(target_arch = "wasm32"))]
pub fn arena_for_tests() -> *mut u8 {
    engine().arena
}

/// The export tariff_configure.
pub fn export_configure(tariffs: &'static [Entry], handle: u32, length: u32) -> i32 {
    if !made() {
        return FAULT;
    }
    engine().configure(tariffs, handle as usize, length as usize)
}

/// The export tariff_price.
pub fn export_price(pointer: u32) -> i32 {
    if !made() || pointer != engine().arena as usize as u32 {
        return FAULT;
    }
    engine().price()
}

/// Rejects the event: `return Err(reject("no_price", format_args!("{} has no price", sku)))`. The reason is
/// `[a-z][a-z0-9_]{0,62}`, for machines; the detail, best at most 120 bytes, is for people.
pub fn reject(reason: &'static str, detail: impl core::fmt::Display) -> Error {
    let e = engine();
    e.reason.set(reason);
    e.detail().clear();
    let _ = write!(e.detail(), "{}", detail); // it is cut, never an error
    Error::Rejected
}

/// The reason of an error that a tariff returned.
fn reason(e: Error) -> &'static str {
    match e {
        Error::Overflow => "overflow",
        Error::DivisionByZero => "division_by_zero",
        Error::Inexact => "inexact",
        _ => "tariff_error",
    }
}

#[cfg(target_arch = "wasm32")]
fn begin(index: u32) {
    #[link(wasm_import_module = "tollway_v1")]
    extern "C" {
        #[link_name = "begin"]
        fn tollway_begin(index: u32);
    }
    unsafe { tollway_begin(index) }
}

#[cfg(target_arch = "wasm32")]
fn begin_many(index: u32, count: u32) {
    #[link(wasm_import_module = "tollway_v1")]
    extern "C" {
        #[link_name = "begin_many"]
        fn tollway_begin_many(index: u32, count: u32);
    }
    unsafe { tollway_begin_many(index, count) }
}

#[cfg(not(target_arch = "wasm32"))]
fn begin(_index: u32) {}

#[cfg(not(target_arch = "wasm32"))]
fn begin_many(_index: u32, _count: u32) {}

/// How many events are announced at once, at first and at most. They share the fuel of one; those that trap together are
/// priced again one by one, so this is a matter of speed alone.
const AHEAD_MIN: u32 = 4;
const AHEAD_MAX: u32 = 64;
const AHEAD_PLAIN: u32 = 256; // of events whose price is all there is to them

impl Engine {
    #[inline]
    fn header(&self) -> &'static mut Header {
        unsafe { &mut *(self.arena as *mut Header) }
    }

    /// A place in the arena. The header and the slot rows, which say where things are, have been checked.
    #[inline]
    pub(crate) fn at<T>(&self, off: u32) -> *mut T {
        unsafe { self.arena.add(off as usize) as *mut T }
    }

    /// Replaces a number and notes what it was.
    #[inline]
    pub(crate) fn write(&self, place: *mut [u64; 2], v: Decimal) {
        unsafe {
            self.undo.push(Before { place, was: *place });
            *place = [v.0 as u64, (v.0 >> 64) as u64];
        }
    }

    /// The same for two that stand together.
    #[inline]
    pub(crate) fn write_pair(&self, place: *mut [u64; 2], first: Decimal, second: Decimal) {
        let words = |d: Decimal| [d.0 as u64, (d.0 >> 64) as u64];
        unsafe {
            let next = place.add(1);
            self.undo.push_all([Before { place, was: *place }, Before { place: next, was: *next }]);
            *place = words(first);
            *next = words(second);
        }
    }

    // What follows is short-lived: no caller keeps one of these while it calls what could ask for it again.

    #[allow(clippy::mut_from_ref)]
    pub(crate) fn lines(&self) -> &mut Buffer {
        unsafe { &mut *self.lines.get() }
    }

    #[allow(clippy::mut_from_ref)]
    pub(crate) fn problems(&self) -> &mut Buffer {
        unsafe { &mut *self.problems.get() }
    }

    #[allow(clippy::mut_from_ref)]
    fn detail(&self) -> &mut Buffer {
        unsafe { &mut *self.detail.get() }
    }

    /// An event's value of a dimension.
    pub(crate) fn value(&self, row: *const EventRow, dimension: u32) -> &str {
        let h = self.header();
        assert!(dimension < h.n_dims);
        unsafe {
            let id = *(row.add(1) as *const u32).add(dimension as usize);
            assert!(id < h.n_values);
            let place: *mut u32 = self.at(h.value_off + 8 * id);
            let (off, length) = (*place, *place.add(1));
            assert!(off as u64 + length as u64 <= h.string_len as u64);
            let bytes = core::slice::from_raw_parts(self.at::<u8>(h.string_off + off), length as usize);
            core::str::from_utf8_unchecked(bytes) // the engine's values are UTF-8
        }
    }

    pub(crate) fn document(&self) -> &Document {
        match unsafe { &*self.document.get() } {
            Some(d) => d,
            None => panic!("parameters are read in configure only"),
        }
    }

    fn set_document(&self, d: Option<Document>) {
        unsafe { *self.document.get() = d }
    }

    /// Notes a parameter that was asked for, so that who wrote an unknown one learns the known ones.
    pub(crate) fn note_asked(&self, object: u32, name: &'static str) {
        let n = self.asked_count.get();
        if n < self.asked_room.get() {
            unsafe { self.asked.get().add(n).write((object, name)) }
            self.asked_count.set(n + 1);
        }
    }

    pub(crate) fn asked(&self) -> &[(u32, &'static str)] {
        if self.asked_count.get() == 0 {
            return &[];
        }
        unsafe { core::slice::from_raw_parts(self.asked.get(), self.asked_count.get()) }
    }

    /// The bytes behind the header from one place to the end of the arena.
    fn behind(&self, from: usize) -> &'static mut [u8] {
        unsafe { core::slice::from_raw_parts_mut(self.arena.add(from), self.size - from) }
    }

    /// Answers code 1: why the call is refused as a whole.
    #[cold]
    #[inline(never)]
    fn fault(&self, text: core::fmt::Arguments) -> i32 {
        let room = self.behind(HEADER_SIZE);
        let limit = room.len().min(FAULT_TEXT_MAX);
        let mut out = Buffer::new(&mut room[..limit]);
        let _ = out.write_fmt(text); // it is cut, never an error
        self.header().err_len = out.length as u32;
        FAULT
    }

    fn configure(&self, tariffs: &'static [Entry], handle: usize, length: usize) -> i32 {
        if length > self.size - HEADER_SIZE || handle > self.configs.length.get() {
            return self.fault(format_args!("configure: there can be no handle {}, or the request is too long", handle));
        }
        if let Err((at, what)) = self.read(length) {
            return self.fault(format_args!("configure: request: at byte {}: {}", at, what));
        }
        let doc = self.document();
        let named = doc.child(0, "tariff");
        let name = if named == NONE { "" } else { keep_text(doc.text(named)) };
        let root = doc.child(0, "params");
        if root == NONE || doc.node(root).kind != Kind::Object {
            return self.refuse("params: must be an object", length);
        }
        let currency = doc.child(0, "currency");
        let currency = if currency == NONE { "" } else { keep_text(doc.text(currency)) };
        let entry = match tariffs.iter().find(|t| t.name == name) {
            Some(entry) => entry,
            None => return self.unknown_tariff(name, tariffs, length),
        };
        self.root.set(root);
        open(root);
        let mut c = Config::new(root, currency);
        let made = (entry.configure)(&mut c);
        if refuse_unknown() {
            let text = keep_text(self.problems().text());
            return self.refuse(text, length);
        }
        self.add_config(handle, &c, made.0);
        if self.undo.room.get() == 0 {
            self.undo.grow();
        }
        make_room();
        self.accept(&c, length)
    }

    fn unknown_tariff(&self, name: &str, tariffs: &[Entry], length: usize) -> i32 {
        let out = self.problems();
        out.put("tariff ");
        out.put_quoted(name);
        out.put(" is not in this module; it has ");
        for (i, t) in tariffs.iter().enumerate() {
            out.put(if i > 0 { ", " } else { "" });
            out.put(t.name);
        }
        let text = keep_text(out.text());
        self.refuse(text, length)
    }

    /// Reads the request in the arena. Its nodes, and the list of what was asked for, share what is free behind it.
    fn read(&self, length: usize) -> core::result::Result<(), (usize, &'static str)> {
        self.problems().clear();
        self.problem_count.set(0);
        self.lines().clear();
        self.asked_count.set(0);
        let start = (HEADER_SIZE + length + 15) & !15;
        let enough = length * 32;
        let (place, room) = if start + enough <= self.size {
            (unsafe { self.arena.add(start) }, self.size - start)
        } else {
            (bytes(enough + 65536), enough + 65536) // a request that fills the arena has its nodes elsewhere
        };
        let nodes = room / 4 * 3 / size_of::<Node>();
        let asked = room / 8 / size_of::<(u32, &'static str)>();
        let text = &mut self.behind(HEADER_SIZE)[..length];
        let nodes = unsafe {
            let behind = place.add((nodes * size_of::<Node>() + 15) & !15);
            self.asked.set(behind as *mut (u32, &'static str));
            self.asked_room.set(asked);
            core::slice::from_raw_parts_mut(place as *mut MaybeUninit<Node>, nodes)
        };
        let document = Document::read(text, nodes)?;
        if document.node(0).kind != Kind::Object {
            return Err((0, "the request is not an object"));
        }
        self.set_document(Some(document));
        Ok(())
    }

    /// Puts a reply together behind the request, and moves it to its place.
    fn reply(&self, length: usize, fill: impl FnOnce(&mut Buffer)) -> i32 {
        let mut out = Buffer::new(self.behind(HEADER_SIZE + length));
        fill(&mut out);
        self.set_document(None);
        if out.full {
            return self.fault(format_args!("configure: the reply is longer than the arena"));
        }
        let size = out.length;
        self.behind(HEADER_SIZE).copy_within(length..length + size, 0);
        self.header().reply_len = size as u32;
        OK
    }

    fn refuse(&self, why: &str, length: usize) -> i32 {
        self.reply(length, |out| {
            out.put("{\"error\":");
            out.put_quoted(why);
            out.put("}");
        })
    }

    fn accept(&self, c: &Config, length: usize) -> i32 {
        let lines = self.lines().text();
        self.reply(length, |out| {
            out.put("{\"lines\":[");
            out.put(lines);
            out.put("],\"state_size\":");
            out.put_number((c.cells * CELL_SIZE) as i64);
            if c.carried_count > 0 {
                out.put(",\"carry_size\":");
                out.put_number(c.carried_count as i64 * CELL_SIZE as i64);
            }
            out.put(",\"dimensions\":[");
            for (i, d) in c.dimensions[..c.dimension_count].iter().enumerate() {
                out.put(if i > 0 { "," } else { "" });
                out.put_quoted(d);
            }
            out.put("]}");
        })
    }

    /// Keeps what was claimed under a handle.
    fn add_config(&self, handle: usize, c: &Config, priced: &'static dyn Priced) {
        let carried = keep_list(c.carried_count, |i| c.carried[i]);
        let made =
            Configured { priced, all: priced.all().filter(|p| p.runs()), lines: c.lines, state_size: c.cells * CELL_SIZE, dims: c.dimension_count as u32, carried };
        if handle == self.configs.length.get() {
            self.configs.push(made);
        } else {
            unsafe { *self.configs.place.get().add(handle) = made }
        }
    }

    /// The configuration of a slot, whose handle has been checked.
    #[inline]
    fn config(&self, handle: u32) -> &'static Configured {
        unsafe { &*self.configs.place.get().add(handle as usize) }
    }

    /// Whether a region of the header or of a slot lies inside the arena.
    #[inline]
    fn inside(&self, off: u32, count: u32, stride: u32) -> bool {
        off as u64 + count as u64 * stride as u64 <= self.header().arena_size as u64
    }

    /// Holds the header against this version and the arena.
    fn check(&self) -> core::result::Result<(), &'static str> {
        let h = self.header();
        if h.magic != MAGIC || h.major != 1 || (h.header_size as usize) < HEADER_SIZE || h.arena_size as usize > self.size {
            return Err("batch: the arena is of another version or size");
        }
        let widest = 48 + 4 * h.n_dims as u64;
        if h.n_dims > 16 || (h.event_stride as u64) < widest || h.slot_stride < 96 || h.reject_stride < 192 {
            return Err("batch: rows are narrower than this version's");
        }
        let odd = h.event_off | h.event_stride | h.slot_off | h.slot_stride | h.value_off | h.reject_off | h.reject_stride;
        if odd & 15 != 0 {
            return Err("batch: rows are not aligned");
        }
        let regions = [
            (h.event_off, h.n_events, h.event_stride), (h.slot_off, h.n_slots, h.slot_stride), (h.value_off, h.n_values, 8),
            (h.string_off, h.string_len, 1), (h.reject_off, h.n_rejects_max, h.reject_stride),
        ];
        if !regions.iter().all(|r| self.inside(r.0, r.1, r.2)) {
            return Err("batch: a region ends outside the arena");
        }
        Ok(())
    }

    #[inline]
    fn slot(&self, index: u32) -> Slot {
        let h = self.header();
        Slot { row: self.at(h.slot_off + index * h.slot_stride) }
    }

    /// Holds a slot row against its configuration and the arena, and gives a slot without a state its first. The length
    /// stays 0 until an event is accepted: a slot of rejected events only is as it was.
    #[inline(never)]
    fn open_slot(&self, slot: &mut Slot) -> bool {
        let s = slot.row();
        let c = self.config(s.handle);
        let carry = c.carried.len() as u32 * CELL_SIZE;
        let fits = s.lines == c.lines
            && c.dims == self.header().n_dims
            && c.state_size <= s.state_cap
            && (s.state_len == 0 || s.state_len == c.state_size)
            && (s.carry_in_len == 0 || s.carry_in_len == carry)
            && (s.flags & FINAL == 0 || s.carry_out_cap >= carry)
            && (s.line_off | s.state_off | s.carry_in_off | s.carry_out_off) & 15 == 0
            && self.inside(s.line_off, c.lines, LINE_SIZE)
            && self.inside(s.state_off, s.state_cap, 1)
            && self.inside(s.carry_in_off, s.carry_in_len, 1)
            && self.inside(s.carry_out_off, s.carry_out_cap, 1);
        if fits && s.state_len == 0 {
            unsafe { self.at::<u8>(s.state_off).write_bytes(0, c.state_size as usize) };
            for (i, cell) in c.carried.iter().enumerate().filter(|_| s.carry_in_len != 0) {
                let from: *mut [u64; 2] = self.at(s.carry_in_off + i as u32 * CELL_SIZE);
                unsafe { *slot.cell_at(StateCell { index: *cell }) = *from };
            }
        }
        fits
    }

    /// Undoes the event at hand and notes why.
    #[inline(never)]
    fn reject(&self, event: u32, error: Error) -> i32 {
        while let Some(before) = self.undo.pop() {
            unsafe { *before.place = before.was };
        }
        if error != Error::Rejected {
            reject(reason(error), error.text());
        }
        let h = self.header();
        if h.n_rejects >= h.n_rejects_max {
            return REJECTS_FULL;
        }
        let row: *mut u32 = self.at(h.reject_off + h.n_rejects * h.reject_stride);
        h.n_rejects += 1;
        let room = unsafe { core::slice::from_raw_parts_mut(row.add(2) as *mut u8, REJECT_TEXT_MAX) };
        let mut out = Buffer::new(room);
        out.put(&self.reason.get()[..self.reason.get().len().min(63)]);
        let reason_length = out.length as u32;
        out.put(self.detail().text());
        unsafe {
            *row = event;
            *row.add(1) = reason_length | (out.length as u32 - reason_length) << 16;
        }
        OK
    }

    /// Opens the final slots, before the first event: a look at all slots later on would be paid from the fuel of the
    /// last.
    fn open_finals(&self) -> core::result::Result<&'static [u32], u32> {
        let h = self.header();
        if h.n_finals == 0 {
            return Ok(&[]);
        }
        let list = keep_list(h.n_finals as usize, |_| 0);
        let mut count = 0;
        for i in 0..h.n_slots {
            let mut slot = self.slot(i);
            if slot.row().flags & FINAL == 0 {
                continue;
            }
            if slot.row().handle as usize >= self.configs.length.get() || !self.open_slot(&mut slot) || count == list.len() {
                return Err(i);
            }
            list[count] = i;
            count += 1;
        }
        Ok(&list[..count])
    }

    fn close(&self, index: u32) -> i32 {
        let mut slot = self.slot(index);
        let c = self.config(slot.row().handle);
        begin(self.header().n_events + index);
        if let Err(error) = c.priced.close(&mut slot) {
            return self.fault(format_args!("finish of slot {}: {}", index, error.text()));
        }
        for (i, cell) in c.carried.iter().enumerate() {
            let to: *mut [u64; 2] = self.at(slot.row().carry_out_off + i as u32 * CELL_SIZE);
            unsafe { *to = *slot.cell_at(StateCell { index: *cell }) };
        }
        slot.row_mut().carry_out_len = c.carried.len() as u32 * CELL_SIZE;
        slot.row_mut().state_len = c.state_size;
        self.undo.length.set(0);
        OK
    }

    /// Prices the events, and announces them.
    #[inline(never)]
    fn price_events(&self) -> i32 {
        let h = self.header();
        let (n_events, n_slots, units_max) = (h.n_events, h.n_slots, h.units_max);
        let (mut begun, mut ahead) = (0, AHEAD_MIN);
        let (mut row, stride): (*const u8, usize) = (self.at(h.event_off), h.event_stride as usize);
        let mut i = 0;
        while i < n_events {
            // The events of a slot that stand together.
            let index = unsafe { (*(row as *const EventRow)).slot };
            if index >= n_slots {
                return self.fault(format_args!("event {} names slot {} of {}", i, index, n_slots));
            }
            let mut slot = self.slot(index);
            if slot.row().handle as usize >= self.configs.length.get() {
                return self.fault(format_args!("slot {}: its configuration is unknown", index));
            }
            let c = self.config(slot.row().handle);
            loop {
                if i >= begun {
                    let n = ahead.min(units_max).min(n_events - i);
                    if n > 1 {
                        begin_many(i, n);
                    } else {
                        begin(i);
                    }
                    begun = i + n.max(1);
                    ahead = (2 * ahead).min(if c.all.is_some() { AHEAD_PLAIN } else { AHEAD_MAX });
                }
                if (slot.row().state_len != c.state_size || slot.row().lines != c.lines) && !self.open_slot(&mut slot) {
                    return self.fault(format_args!("slot {}: does not fit its configuration", index));
                }
                let mut done = 1;
                let run = c.all.map_or(0, |all| all.run(&mut slot, Rows { first: row, stride, count: begun - i }));
                if run > 0 {
                    slot.row_mut().state_len = c.state_size;
                    done = run;
                } else {
                    match c.priced.event(&mut slot, &Event { row: row as *const EventRow }) {
                        Ok(()) => {
                            self.undo.length.set(0);
                            slot.row_mut().state_len = c.state_size;
                        }
                        Err(error) => {
                            let code = self.reject(i, error);
                            if code != OK {
                                return code;
                            }
                        }
                    }
                }
                i += done;
                row = row.wrapping_add(done as usize * stride);
                if i >= n_events || unsafe { (*(row as *const EventRow)).slot } != index {
                    break;
                }
            }
        }
        OK
    }

    fn price(&self) -> i32 {
        if let Err(problem) = self.check() {
            return self.fault(format_args!("{}", problem));
        }
        let h = self.header();
        h.n_rejects = 0;
        self.undo.length.set(0);
        let finals = match self.open_finals() {
            Ok(finals) => finals,
            Err(slot) => return self.fault(format_args!("slot {}: does not fit its configuration", slot)),
        };
        let code = self.price_events();
        if code != OK {
            return code;
        }
        for index in finals {
            let code = self.close(*index);
            if code != OK {
                return code;
            }
        }
        OK
    }
}
