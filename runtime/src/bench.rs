//! For the project's benches: what no host needs. No part of the public interface.
//!
//! Only numbers go in and out; an address is looked up and never followed.

use std::ops::Range;

use crate::program::Program;

/// Addresses of a compiled program's image; `None` if it is interpreted.
#[must_use]
pub fn code_range<H>(program: &Program<H>) -> Option<Range<usize>> {
    program.code().image_range()
}

/// The lookup of a throw's walk: the first address of the image that holds `address`, as long as its program is loaded.
#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
#[inline]
#[must_use]
pub fn image_at(address: usize) -> Option<usize> {
    let arena = crate::native::arena::Arena::get().ok()?;
    arena.registry().lookup(address).map(|found| found.base)
}

/// The lookup of a throw's walk; without a JIT there are no images.
#[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux")))]
#[must_use]
pub fn image_at(_address: usize) -> Option<usize> {
    None
}
