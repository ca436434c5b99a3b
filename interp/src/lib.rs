//! Backstop's interpreter: runs the verified IR on any machine.
//!
//! [`Code::new`] turns IR into compact code: fixed-size operations, the commonest sequences fused. [`run`] executes it in one
//! loop, which is generic over how memory is accessed and who watches: by proof alone and nobody, or, with [`run_checked`], each access
//! checked against the regions that the run was handed ([`Checks`]), and by whoever wants to see each instruction. What a program needs of
//! the outside (helpers, tail calls, packets) it asks of the runtime's [`Services`]. A throw unwinds the interpreter's own frames to
//! the boundary, whose exception callback takes its place.
//!
//! Life cycle: a `Code` is immutable and may be shared by any number of runs at once; a [`Stack`] serves one run at a time.

#![deny(unsafe_code)]

mod access;
mod alu;
mod checked;
mod code;
mod fuse;
mod lower;
mod memory;
mod op;
mod run;
mod services;
mod stack;
mod throw;

pub use checked::{
    Checks, Direction, Fault, Faulted, Found, FrameView, Guarded, Kind, Nearest, Reason, Region, Rights, Rules, View,
    Watch,
};
pub use code::{Bindings, CheckedCode, Code, CompileError};
pub use memory::{run, run_checked};
pub use services::{CallBack, Halt, Services, Stop, WalkedFrame};
pub use stack::Stack;
