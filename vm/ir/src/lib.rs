//! Backstop's verified IR: the border between the proof and the engines.
//!
//! `lower` turns a proof into [`Ir`]`<Proven>`, the only form that the JIT and the trusted interpreter take; it prints as text.
#![forbid(unsafe_code)]

mod ir;
mod lower;
mod print;
mod shape;
mod signature;

pub use ir::{
    Block, BlockId, Callee, CalleeId, Func, FuncId, Ir, MapId, Mem, Op, OpId, OpKind, Position, Proven, Role, Term,
    Unproven, Unwind,
};
pub use lower::{LowerError, lower, lower_unproven};
pub use shape::BrokenIr;

/// For the engines' own tests: makes an [`Ir`]`<Proven>` of code that nobody proved.
///
/// Behind the feature `testing`, which no product crate turns on. Running the result can do anything to the process.
#[cfg(feature = "testing")]
pub fn assume_proven(ir: Ir<Unproven>) -> Ir<Proven> {
    Ir {
        funcs: ir.funcs,
        callees: ir.callees,
        positions: ir.positions,
        exception_callback: ir.exception_callback,
        program: ir.program,
        state: std::marker::PhantomData,
    }
}

/// For tests that plant faults: the same program with its functions changed, which nobody proved.
///
/// Behind the feature `testing`, as [`assume_proven`]. Running the result can do anything to the process.
#[cfg(feature = "testing")]
pub fn rewrite(mut ir: Ir<Proven>, change: impl FnOnce(&mut Vec<Func>)) -> Ir<Proven> {
    change(&mut ir.funcs);
    ir
}
