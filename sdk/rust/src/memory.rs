//! Memory is handed out and never taken back: what a batch takes, the engine's snapshot gives back.

use core::mem::{align_of, size_of};

#[cfg(target_arch = "wasm32")]
static mut HEAP: usize = 0;

/// Makes room for what a batch takes, so that none has to grow the memory: the first to do so would work more than
/// those after it.
pub(crate) fn make_room() {
    #[cfg(target_arch = "wasm32")]
    unsafe {
        let heap = HEAP;
        bytes(1 << 17);
        HEAP = heap;
    }
}

/// Zeroed bytes, aligned to 16. Traps when there are no more.
#[cfg(target_arch = "wasm32")]
pub(crate) fn bytes(size: usize) -> *mut u8 {
    use core::arch::wasm32::{memory_grow, memory_size, unreachable};
    extern "C" {
        static __heap_base: u8;
    }
    // One thread, and nothing else touches HEAP or what lies behind it.
    unsafe {
        if HEAP == 0 {
            HEAP = &__heap_base as *const u8 as usize;
        }
        let at = (HEAP + 15) & !15;
        let end = match at.checked_add(size) {
            Some(end) => end,
            None => unreachable(),
        };
        let have = memory_size(0) << 16;
        if end > have && memory_grow(0, (end - have + 0xffff) >> 16) == usize::MAX {
            unreachable()
        }
        HEAP = end;
        let place = at as *mut u8;
        place.write_bytes(0, size);
        place
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn bytes(size: usize) -> *mut u8 {
    let words = std::vec![0u128; size / 16 + 1];
    std::boxed::Box::leak(words.into_boxed_slice()).as_mut_ptr() as *mut u8
}

/// Keeps a value as long as the module runs.
pub(crate) fn keep<T>(value: T) -> &'static T {
    debug_assert!(align_of::<T>() <= 16);
    let place = bytes(size_of::<T>()) as *mut T;
    unsafe {
        place.write(value);
        &*place
    }
}

/// Keeps a list of so many values, each made by `make`.
pub(crate) fn keep_list<T>(count: usize, mut make: impl FnMut(usize) -> T) -> &'static mut [T] {
    debug_assert!(align_of::<T>() <= 16);
    let place = bytes(size_of::<T>() * count) as *mut T;
    unsafe {
        for i in 0..count {
            place.add(i).write(make(i));
        }
        core::slice::from_raw_parts_mut(place, count)
    }
}

/// Keeps a copy of a text.
pub(crate) fn keep_text(text: &str) -> &'static str {
    let from = text.as_bytes();
    let copy = keep_list(from.len(), |i| from[i]);
    unsafe { core::str::from_utf8_unchecked(copy) }
}

/// A text that is put together, cut at its room but not inside a character.
pub(crate) struct Buffer {
    pub(crate) room: &'static mut [u8],
    pub(crate) length: usize,
    pub(crate) full: bool,
}

impl Buffer {
    pub(crate) fn new(room: &'static mut [u8]) -> Buffer {
        Buffer { room, length: 0, full: false }
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
        self.full = false;
    }

    pub(crate) fn put(&mut self, text: &str) {
        let mut size = text.len().min(self.room.len() - self.length);
        if self.full {
            return;
        }
        self.full = size < text.len();
        while !text.is_char_boundary(size) {
            size -= 1;
        }
        self.room[self.length..][..size].copy_from_slice(&text.as_bytes()[..size]);
        self.length += size;
    }

    pub(crate) fn put_number(&mut self, n: i64) {
        let mut digits = [0; 20];
        let (mut at, mut left) = (digits.len(), n.unsigned_abs());
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if n < 0 {
            self.put("-");
        }
        self.put(core::str::from_utf8(&digits[at..]).unwrap_or(""));
    }

    /// Puts a text as a JSON string.
    pub(crate) fn put_quoted(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.put("\"");
        let mut from = 0;
        for (i, c) in text.bytes().enumerate() {
            if c >= b' ' && c != b'"' && c != b'\\' {
                continue;
            }
            self.put(&text[from..i]);
            from = i + 1;
            let escape = [b'\\', b'u', b'0', b'0', HEX[(c >> 4) as usize], HEX[(c & 15) as usize]];
            match c {
                b'"' => self.put("\\\""),
                b'\\' => self.put("\\\\"),
                _ => self.put(core::str::from_utf8(&escape).unwrap_or("")),
            }
        }
        self.put(&text[from..]);
        self.put("\"");
    }

    pub(crate) fn text(&self) -> &str {
        core::str::from_utf8(&self.room[..self.length]).unwrap_or("")
    }
}

impl core::fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.put(text);
        Ok(())
    }
}
