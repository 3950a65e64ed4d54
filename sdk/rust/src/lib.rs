//! Tariffs for the billing engine Tollway, in Rust: no_std, no dependencies, Rust 1.63 or newer.
//!
//! ```ignore
//! #![no_std]
//! use tollway_tariff::prelude::*;
//!
//! struct Simple {
//!     price: Decimal,
//!     usage: Line,
//! }
//!
//! impl Tariff for Simple {
//!     const NAME: &'static str = "simple";
//!
//!     fn configure(c: &mut Config) -> Self {
//!         Simple { price: c.params.decimal("unit_price"), usage: c.line("usage", "Usage") }
//!     }
//!
//!     fn event(&self, s: &mut Slot, e: &Event) -> Result<()> {
//!         let units = self.usage.quantity(s).add(e.quantity())?;
//!         self.usage.set(s, units, units.mul(self.price, EXACT)?);
//!         Ok(())
//!     }
//! }
//!
//! tollway_tariff::export!(Simple);
//! ```
//!
//! An event may return an error at any point: what it wrote to lines and cells is undone, and the event becomes a dead
//! letter. Lines are complete: the slot's period so far, not what one event adds. What an event does may depend on the
//! slot, the event and the parameters alone; keep nothing in statics, for memory is put back before every batch.
//!
//! The names and titles of the tariffs and the JSON Schemas of their parameters stand in `manifest.json` beside the
//! crate, and `tollway plugin build` appends them. The engine's side of the contract is written down in sdk/ABI.md.
#![no_std]
#![deny(missing_docs)]

#[cfg(not(target_arch = "wasm32"))]
extern crate std;

mod decimal;
mod engine;
mod json;
mod memory;
mod params;
mod price;
mod slot;
mod text;
mod wide;

pub use decimal::{Decimal, Error, Mode, Result, Rounding, EXACT};
pub use engine::{export_arena, export_configure, export_price, reject, Entry, Listed, Made, Tariff};
#[cfg(not(target_arch = "wasm32"))]
pub use engine::arena_for_tests;
pub use params::{Config, List, Params};
pub use price::{graduated_cost, multiply, Adder, Flat, Graduated, Package, PerUnit, Tier, Tiers, Volume};
pub use slot::{Cell, Dimension, Event, Line, Slot, SumCell};
pub use wide::Sum;

/// Everything that a tariff uses.
pub mod prelude {
    pub use crate::{
        graduated_cost, multiply, reject, Adder, Cell, Config, Decimal, Dimension, Error, Event, Flat, Graduated, Line, List, Mode, Package,
        Params, PerUnit, Result, Rounding, Slot, Sum, SumCell, Tariff, Tier, Tiers, Volume, EXACT,
    };
}

/// Makes the exports of the module: `export!(Simple, Other);`, once in a crate.
#[macro_export]
macro_rules! export {
    ($($tariff:ty),+ $(,)?) => {
        const TOLLWAY_TARIFFS: &[$crate::Entry] = &[$(<$tariff as $crate::Listed>::ENTRY),+];

        #[no_mangle]
        extern "C" fn tariff_abi_v1() -> i32 {
            0
        }

        #[no_mangle]
        extern "C" fn tariff_arena(size: u32) -> u32 {
            $crate::export_arena(size)
        }

        #[no_mangle]
        extern "C" fn tariff_configure(handle: u32, length: u32) -> i32 {
            $crate::export_configure(TOLLWAY_TARIFFS, handle, length)
        }

        #[no_mangle]
        extern "C" fn tariff_price(pointer: u32) -> i32 {
            $crate::export_price(pointer)
        }

        // A panic traps: the engine prices the event alone, and if it traps again, it is a dead letter.
        #[cfg(all(target_arch = "wasm32", not(test)))]
        #[panic_handler]
        fn tollway_panic(_: &core::panic::PanicInfo) -> ! {
            core::arch::wasm32::unreachable()
        }
    };
}
