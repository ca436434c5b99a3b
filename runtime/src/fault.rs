//! Faults that tests plant in compiled code, to see whether a comparison of engines finds them.
//!
//! There is nothing here in a product: the feature `testing`, which no product crate turns on, makes [`crate::Config::fault`] exist.

use std::borrow::Cow;

use backstop_ir::{Ir, Proven};
use backstop_jit_x86::Image;

use crate::engine::Engine;

/// What compiled code has wrong. The other engines get the program as it was proved.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Default)]
pub struct PlantedFault {
    /// Changes the functions that the JIT compiles.
    pub functions: Option<fn(&mut Vec<backstop_ir::Func>)>,
    /// Changes the machine code.
    pub image: Option<fn(&mut [u8])>,
}

/// The IR that the JIT of this engine compiles.
pub(crate) fn planted<'i>(engine: &Engine, ir: &'i Ir<Proven>) -> Cow<'i, Ir<Proven>> {
    #[cfg(feature = "testing")]
    if let Some(change) = engine.config().fault.functions {
        return Cow::Owned(backstop_ir::rewrite(ir.clone(), change));
    }
    let _ = engine;
    Cow::Borrowed(ir)
}

/// The image as the JIT of this engine publishes it.
pub(crate) fn patched(engine: &Engine, image: Image) -> Image {
    #[cfg(feature = "testing")]
    if let Some(change) = engine.config().fault.image {
        let mut image = image;
        change(&mut image.code);
        // Whatever it does to registers: the border keeps its own.
        image.leaves_through = true;
        return image;
    }
    let _ = engine;
    image
}
