//! From IR to machine code, one file for each class of operation.

mod alu;
mod atomic;
mod branch;
mod call;
mod cold;
mod div;
mod exception;
mod frame;
mod fuse;
mod loops;
mod memory;
mod program;
mod stack;
mod tail_call;
mod thread;

use backstop_ir::{Block, BlockId, Func, FuncId, Op, OpId, OpKind};
use backstop_isa::Operand;

use crate::emit::Label;
use crate::error::CompileError;
use crate::live::{Liveness, RegSet};
use crate::masm::Masm;
use crate::options::CompileOptions;
use crate::regs::Gpr;
use crate::upper::ZeroUpper;
use cold::Cold;
use frame::Frame;

pub(crate) use program::image;

/// What is found of a function before it is compiled: once, for both rounds.
struct Found {
    /// For each block where going there ends up.
    destinations: Vec<BlockId>,
    /// For each block the number that its place is to be a multiple of; empty if none is aligned.
    alignments: Vec<usize>,
    /// For each operation of each block what is read after it.
    live: Vec<Vec<RegSet>>,
}

impl Found {
    fn of(func: &Func, options: &CompileOptions) -> Found {
        let liveness = Liveness::of(func);
        Found {
            destinations: thread::destinations(func),
            alignments: if options.align_loops { loops::alignments(func) } else { Vec::new() },
            live: func.blocks.iter().map(|block| liveness.after_ops(&block.ops, &block.term)).collect(),
        }
    }
}

/// One function being compiled.
struct Lowering<'c, 'p> {
    m: &'c mut Masm<'p>,
    options: &'c CompileOptions,
    funcs: &'c [Func],
    /// Entry of each function.
    entries: &'c [Label],
    id: FuncId,
    func: &'c Func,
    frame: Frame,
    /// Start of each block.
    blocks: Vec<Label>,
    found: &'c Found,
    /// The block that is emitted next: no jump is needed to get there.
    next: Option<BlockId>,
    /// The operation being compiled.
    op: OpId,
    /// What is read after the operation being compiled.
    live: RegSet,
    cold: Vec<Cold>,
    /// Whether any of it may leave otherwise than by its return: see [`crate::Image::leaves_through`].
    leaves_through: bool,
}

impl<'c, 'p> Lowering<'c, 'p> {
    /// Compiles the function's blocks; its prologue is the caller's.
    fn body(&mut self) -> Result<(), CompileError> {
        let (func, found) = (self.func, self.found);
        let has_code = |&(i, _): &(usize, &Block)| found.destinations.get(i) == Some(&BlockId(i as u32));
        let emitted: Vec<(usize, &Block)> = func.blocks.iter().enumerate().filter(has_code).collect();
        let followers = emitted.iter().skip(1).map(|&(i, _)| Some(BlockId(i as u32))).chain([None]);
        for (&(i, block), next) in emitted.iter().zip(followers) {
            if let Some(&to) = found.alignments.get(i)
                && to > 1
            {
                self.m.align_loop(to);
            }
            let label = self.block_label(BlockId(i as u32))?;
            self.m.bind(label);
            self.next = next;
            self.block(block, found.live.get(i).map_or(&[], Vec::as_slice))?;
        }
        self.cold_paths()
    }

    fn block(&mut self, block: &Block, mut live: &[RegSet]) -> Result<(), CompileError> {
        let mut ops = block.ops.as_slice();
        let mut upper = ZeroUpper::default();
        while let (Some(op), Some(&after)) = (ops.first(), live.first()) {
            self.begin(op.id, after);
            let used = self.fused(ops, live)?.max(1);
            if used == 1 && !(self.options.fuse && upper.makes_idle(&op.kind)) {
                self.operation(op)?;
            }
            let (done, rest) = ops.split_at(used.min(ops.len()));
            done.iter().for_each(|op| upper.step(&op.kind));
            ops = rest;
            live = live.get(used..).unwrap_or_default();
        }
        self.begin(block.term_id, RegSet::default());
        self.terminator(&block.term)
    }

    fn begin(&mut self, op: OpId, live: RegSet) {
        self.op = op;
        self.live = live;
        self.m.mark(op);
    }

    fn operation(&mut self, op: &Op) -> Result<(), CompileError> {
        match op.kind {
            OpKind::Alu { width, op, dst, src } => self.alu(width, op, dst, src),
            OpKind::Neg { width, dst } => self.m.e.neg(width, Gpr::of(dst)),
            OpKind::Mov { width, dst, src } => self.mov(width, dst, src),
            OpKind::MovSx { width, from, dst, src } => self.m.e.movsx(width, from, Gpr::of(dst), Gpr::of(src)),
            OpKind::End { order, size, dst } => self.byte_order(order, size, dst),
            OpKind::Const { dst, value } => self.m.load_const(Gpr::of(dst), value),
            OpKind::MapAddr { dst, map } => self.map_address(dst, map),
            OpKind::MapValueAddr { dst, map, off } => self.map_value_address(dst, map, off),
            OpKind::FuncAddr { dst, func } => self.function_address(dst, func)?,
            OpKind::AddrSpaceCast { .. } => return Err(self.unsupported("address space casts")),
            OpKind::Load { size, signed, dst, base, off, mem } => self.load(size, signed, dst, base, off, mem)?,
            OpKind::Store { size, base, off, src, mem } => self.store(size, base, off, src, mem)?,
            OpKind::Atomic { size, op, fetch, base, off, src, mem } => {
                self.atomic(size, op, fetch, base, off, src, mem)?
            }
            OpKind::LoadAcquire { size, dst, base, off, mem } => self.load(size, false, dst, base, off, mem)?,
            OpKind::StoreRelease { size, base, off, src, mem } => {
                self.store(size, base, off, Operand::Reg(src), mem)?
            }
            OpKind::LegacyLoad { size, index, imm } => self.legacy_load(size, index, imm),
            OpKind::CallNative { callee, unwind } => self.call_native(callee, unwind),
            OpKind::CallFunc { func, unwind: _ } => self.call_function(func)?,
            OpKind::Throw => self.throw(),
            OpKind::TailCall { map: _, index } => self.tail_call(index),
        }
        Ok(())
    }

    fn unsupported(&self, what: &'static str) -> CompileError {
        CompileError::Unsupported { what, op: self.op }
    }

    fn malformed(&self, what: &'static str) -> CompileError {
        CompileError::Malformed { what, func: self.id.0 }
    }

    fn destination(&self, block: BlockId) -> BlockId {
        self.found.destinations.get(block.0 as usize).copied().unwrap_or(block)
    }

    fn block_label(&self, block: BlockId) -> Result<Label, CompileError> {
        self.blocks.get(block.0 as usize).copied().ok_or_else(|| self.malformed("a jump leaves the function"))
    }
}
