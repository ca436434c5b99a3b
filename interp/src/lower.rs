//! From IR to compact code: blocks in the IR's order, jumps to operations.

use backstop_ir::{Block, Func, FuncId, Ir, MapId, Mem, OpId, OpKind, Role, Term};
use backstop_isa::{ByteOrder, Instr, Operand, Size, Width, decode};

use crate::alu::{sign_extended, zero_extended};
use crate::code::{CompileError, Function};
use crate::fuse::{self, Branch};
use crate::op::{Op, R};

/// How blocks become operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// The commonest sequences fused.
    Fused,
    /// One operation for each instruction of the program, in its order; those without an effect are there too.
    Single,
}

pub(crate) struct Lowering<'a, S> {
    ir: &'a Ir<S>,
    form: Form,
    /// Address of function 0.
    func_base: u64,
    map_addr: &'a dyn Fn(MapId) -> u64,
    map_value_addr: &'a dyn Fn(MapId, u32) -> u64,
    ops: Vec<Op>,
    ids: Vec<u32>,
    funcs: Vec<Function>,
}

type Parts = (Box<[Op]>, Box<[u32]>, Box<[Function]>);

impl<'a, S> Lowering<'a, S> {
    pub(crate) fn new(
        ir: &'a Ir<S>,
        map_addr: &'a dyn Fn(MapId) -> u64,
        map_value_addr: &'a dyn Fn(MapId, u32) -> u64,
        form: Form,
        func_base: u64,
    ) -> Lowering<'a, S> {
        let (ops, ids, funcs) = (Vec::new(), Vec::new(), Vec::new());
        Lowering { ir, form, func_base, map_addr, map_value_addr, ops, ids, funcs }
    }

    /// The operations, the IR operation of each, and the functions.
    pub(crate) fn run(mut self) -> Result<Parts, CompileError> {
        for func in self.ir.funcs() {
            self.function(func)?;
        }
        for op in &mut self.ops {
            if let Op::CallFunc { target, .. } = op {
                *target = self.funcs.get(*target as usize).ok_or(CompileError::TooLarge)?.entry;
            }
        }
        let len = u32::try_from(self.ops.len()).map_err(|_| CompileError::TooLarge)?;
        let inside = self.ops.iter_mut().all(|op| op.target_mut().is_none_or(|to| *to < len));
        if !inside || !self.ops.last().is_some_and(Op::ends) {
            return Err(CompileError::TooLarge);
        }
        Ok((self.ops.into(), self.ids.into(), self.funcs.into()))
    }

    fn function(&mut self, func: &Func) -> Result<(), CompileError> {
        if func.stack > backstop_abi::MAX_STACK {
            return Err(CompileError::FrameTooLarge { func: func.name.clone(), stack: func.stack });
        }
        let entry = self.ops.len();
        let callback = func.role == Role::Subprogram { callback: true };
        let at = u32::try_from(entry).map_err(|_| CompileError::TooLarge)?;
        let first = func.blocks.first().map(|block| block.ops.first().map_or(block.term_id, |op| op.id));
        let slot = first.and_then(|op| self.slot(op)).unwrap_or(u32::MAX);
        self.funcs.push(Function { entry: at, frame: func.stack, callback, slot });
        let mut starts = Vec::with_capacity(func.blocks.len());
        for (index, block) in func.blocks.iter().enumerate() {
            starts.push(u32::try_from(self.ops.len()).map_err(|_| CompileError::TooLarge)?);
            match self.form {
                Form::Fused => self.block(func, index as u32, block)?,
                Form::Single => self.block_in_full(func, index as u32, block)?,
            }
        }
        // Until here a target is a block.
        for op in self.ops.iter_mut().skip(entry).filter(|op| !matches!(op, Op::CallFunc { .. })) {
            if let Some(target) = op.target_mut() {
                *target = starts.get(*target as usize).copied().ok_or(CompileError::TooLarge)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, func: &Func, index: u32, block: &Block) -> Result<(), CompileError> {
        let branch = Branch::of(&block.term, index + 1);
        let mut rest = &block.ops[..];
        while let [first, after @ ..] = rest {
            if let ([], Some((branch, otherwise))) = (after, &branch)
                && let Some(op) = self.supported(first.id.0, &first.kind).map(|()| branch.with(&first.kind))?
            {
                self.push(first.id.0, op);
                self.jump(func, block.term_id.0, *otherwise, index + 1);
                return Ok(());
            }
            if let [second, third @ ..] = after {
                self.supported(first.id.0, &first.kind)?;
                self.supported(second.id.0, &second.kind)?;
                if let Some(op) = fuse::pair(&first.kind, &second.kind, third.first().map(|op| &op.kind)) {
                    self.push(first.id.0, op);
                    rest = third;
                    continue;
                }
            }
            self.single(first.id.0, &first.kind)?;
            rest = after;
        }
        self.terminator(func, index, block, branch);
        Ok(())
    }

    /// As `block`, an operation for each instruction.
    fn block_in_full(&mut self, func: &Func, index: u32, block: &Block) -> Result<(), CompileError> {
        for op in &block.ops {
            let before = self.ops.len();
            self.single(op.id.0, &op.kind)?;
            if let (true, Some(dst)) = (self.ops.len() == before, op.kind.writes()) {
                self.push(op.id.0, Op::Mov64(dst.into(), dst.into()));
            }
        }
        let jumps = self
            .instr(block.term_id)
            .is_some_and(|instr| matches!(instr, Instr::Jump { .. } | Instr::Branch { .. } | Instr::MayGoto { .. }));
        match block.term {
            Term::Jump(to) if jumps => self.push(block.term_id.0, Op::Jump(to.0)),
            _ => self.terminator(func, index, block, Branch::of(&block.term, index + 1)),
        }
        Ok(())
    }

    fn slot(&self, op: OpId) -> Option<u32> {
        self.ir.position(op)?.slot
    }

    fn instr(&self, op: OpId) -> Option<Instr> {
        decode(&self.ir.program().slots, self.slot(op)? as usize).ok()
    }

    fn terminator(&mut self, func: &Func, index: u32, block: &Block, branch: Option<(Branch, Option<u32>)>) {
        let (id, next) = (block.term_id.0, index + 1);
        if let Some((branch, otherwise)) = branch {
            self.push(id, branch.op());
            self.jump(func, id, otherwise, next);
            return;
        }
        match block.term {
            Term::Jump(to) => self.jump(func, id, Some(to.0), next),
            Term::MayGoto { exit, next: on } => {
                self.push(id, Op::MayGoto(exit.0));
                self.jump(func, id, Some(on.0), next);
            }
            Term::Return => self.push(id, Op::Return),
            // A throw ends the block by itself.
            Term::Unreachable if block.ops.last().is_some_and(|op| op.kind == OpKind::Throw) => {}
            Term::Unreachable | Term::Branch { .. } => self.push(id, Op::Unreachable),
        }
    }

    /// Goes to a block unless it is the next one.
    fn jump(&mut self, func: &Func, id: u32, to: Option<u32>, next: u32) {
        let Some(to) = to.filter(|to| *to != next) else { return };
        let target = func.blocks.get(to as usize).filter(|_| self.form == Form::Fused);
        let returns = target.is_some_and(|b| b.ops.is_empty() && b.term == Term::Return);
        self.push(id, if returns { Op::Return } else { Op::Jump(to) });
    }

    fn push(&mut self, id: u32, op: Op) {
        self.ops.push(op);
        self.ids.push(id);
    }

    fn supported(&self, op: u32, kind: &OpKind) -> Result<(), CompileError> {
        let mem = match *kind {
            OpKind::AddrSpaceCast { .. } => {
                return Err(CompileError::Unsupported { op, what: "casts between address spaces" });
            }
            OpKind::Load { mem, .. }
            | OpKind::Store { mem, .. }
            | OpKind::Atomic { mem, .. }
            | OpKind::LoadAcquire { mem, .. }
            | OpKind::StoreRelease { mem, .. } => mem,
            _ => return Ok(()),
        };
        match mem {
            Mem::Probe => Err(CompileError::Unsupported { op, what: "loads that may fault" }),
            Mem::Arena => Err(CompileError::Unsupported { op, what: "arena accesses" }),
            Mem::Stack | Mem::Ctx | Mem::Packet | Mem::MapValue | Mem::Plain | Mem::Unknown => Ok(()),
        }
    }

    fn single(&mut self, id: u32, kind: &OpKind) -> Result<(), CompileError> {
        self.supported(id, kind)?;
        let op = match *kind {
            OpKind::Alu { width, op, dst, src } => Op::alu(op, width, dst.into(), src),
            OpKind::Neg { width: Width::W64, dst } => Op::Neg64(dst.into()),
            OpKind::Neg { width: Width::W32, dst } => Op::Neg32(dst.into()),
            OpKind::Mov { width: Width::W64, dst, src: Operand::Reg(src) } if dst == src => return Ok(()),
            OpKind::Mov { width: Width::W64, dst, src: Operand::Reg(src) } => Op::Mov64(dst.into(), src.into()),
            OpKind::Mov { width: Width::W32, dst, src: Operand::Reg(src) } => Op::Mov32(dst.into(), src.into()),
            OpKind::Mov { width: Width::W64, dst, src: Operand::Imm(imm) } => Op::Const(dst.into(), sign_extended(imm)),
            OpKind::Mov { width: Width::W32, dst, src: Operand::Imm(imm) } => Op::Const(dst.into(), zero_extended(imm)),
            OpKind::MovSx { width, from, dst, src } => sign_extension(width, from, dst.into(), src.into()),
            OpKind::End { order, size, dst } => match byte_order(order, size, dst.into()) {
                Some(op) => op,
                None => return Ok(()),
            },
            OpKind::Const { dst, value } => Op::Const(dst.into(), value),
            OpKind::MapAddr { dst, map } => Op::Const(dst.into(), (self.map_addr)(map)),
            OpKind::MapValueAddr { dst, map, off } => Op::Const(dst.into(), (self.map_value_addr)(map, off)),
            OpKind::FuncAddr { dst, func } => Op::Const(dst.into(), self.func_base + u64::from(func.0)),
            OpKind::AddrSpaceCast { .. } => Op::Unreachable,
            OpKind::Load { size, signed, dst, base, off, .. } => Op::load(size, signed, dst.into(), base.into(), off),
            OpKind::Store { size, base, off, src, .. } => Op::store(size, base.into(), off, src),
            OpKind::Atomic { size: Size::B8, op, fetch, base, off, src, .. } => {
                Op::Atomic64 { op, fetch, base: base.into(), off, src: src.into() }
            }
            OpKind::Atomic { size: Size::B4, op, fetch, base, off, src, .. } => {
                Op::Atomic32 { op, fetch, base: base.into(), off, src: src.into() }
            }
            OpKind::Atomic { size: Size::B1 | Size::B2, .. } => {
                return Err(CompileError::Unsupported { op: id, what: "atomics of 8 or 16 bits" });
            }
            OpKind::LoadAcquire { size, dst, base, off, .. } => Op::LoadAcquire(size, dst.into(), base.into(), off),
            OpKind::StoreRelease { size, base, off, src, .. } => Op::StoreRelease(size, base.into(), off, src.into()),
            OpKind::LegacyLoad { size, index, imm } => Op::PacketLoad { size, index: index.map(R::from), imm },
            OpKind::CallNative { callee, .. } => Op::CallNative(callee.0),
            OpKind::CallFunc { func, .. } => Op::CallFunc { target: func.0, frame: self.frame(func) },
            OpKind::Throw => Op::Throw,
            OpKind::TailCall { .. } => Op::TailCall,
        };
        self.push(id, op);
        Ok(())
    }

    fn frame(&self, func: FuncId) -> u32 {
        self.ir.func(func).map_or(0, |f| f.stack)
    }
}

fn sign_extension(width: Width, from: Size, dst: R, src: R) -> Op {
    match (width, from) {
        (Width::W64, Size::B1) => Op::Sx8To64(dst, src),
        (Width::W64, Size::B2) => Op::Sx16To64(dst, src),
        (Width::W64, Size::B4) => Op::Sx32To64(dst, src),
        (Width::W64, Size::B8) => Op::Mov64(dst, src),
        (Width::W32, Size::B1) => Op::Sx8To32(dst, src),
        (Width::W32, Size::B2) => Op::Sx16To32(dst, src),
        (Width::W32, Size::B4 | Size::B8) => Op::Mov32(dst, src),
    }
}

/// `None` if the value stays as it is.
fn byte_order(order: ByteOrder, size: Size, dst: R) -> Option<Op> {
    let swap = match order {
        ByteOrder::Swap => true,
        ByteOrder::Be => cfg!(target_endian = "little"),
        ByteOrder::Le => cfg!(target_endian = "big"),
    };
    match (swap, size) {
        (true, Size::B2) => Some(Op::Swap16(dst)),
        (true, Size::B4) => Some(Op::Swap32(dst)),
        (true, Size::B8) => Some(Op::Swap64(dst)),
        (false, Size::B2) => Some(Op::Trunc16(dst)),
        (false, Size::B4) => Some(Op::Mov32(dst, dst)),
        (false, Size::B8) => None,
        (_, Size::B1) => Some(Op::AndRI64(dst, 0xff)),
    }
}
