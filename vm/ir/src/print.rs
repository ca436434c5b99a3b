//! The IR as text. Tests read it, `backstop disasm --ir` prints it.

use std::fmt;

use backstop_isa::{AluOp, AtomicOp, ByteOrder, CmpOp, Operand, Reg, Size, Width};

use crate::{Callee, Func, Ir, Mem, OpKind, Role, Term, Unwind};

impl<S> fmt::Display for Ir<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, func) in self.funcs().iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.header(f, index, func)?;
            for (b, block) in func.blocks.iter().enumerate() {
                writeln!(f, "b{b}:")?;
                for op in &block.ops {
                    write!(f, "    ")?;
                    self.op(f, &op.kind)?;
                    writeln!(f)?;
                }
                writeln!(f, "    {}", Terminator(&block.term))?;
            }
        }
        Ok(())
    }
}

impl<S> Ir<S> {
    fn header(&self, f: &mut fmt::Formatter<'_>, index: usize, func: &Func) -> fmt::Result {
        let role = match func.role {
            Role::Main if self.exception_callback().is_some() => "main, boundary",
            Role::Main => "main",
            Role::Subprogram { callback: true } => "subprogram, called back",
            Role::Subprogram { callback: false } => "subprogram",
            Role::ExceptionCallback { .. } => "exception callback",
        };
        write!(f, "func f{index} {} ({role}, stack {}", func.name, func.stack)?;
        if func.may_goto {
            write!(f, ", may_goto")?;
        }
        writeln!(f, ")")
    }

    fn op(&self, f: &mut fmt::Formatter<'_>, op: &OpKind) -> fmt::Result {
        match *op {
            OpKind::Alu { width, op, dst, src } => {
                write!(f, "{dst} = {}{} {dst}, {}", alu(op), suffix(width), Value(src))
            }
            OpKind::Neg { width, dst } => write!(f, "{dst} = neg{} {dst}", suffix(width)),
            OpKind::Mov { width, dst, src } => write!(f, "{dst} = mov{} {}", suffix(width), Value(src)),
            OpKind::MovSx { width, from, dst, src } => {
                write!(f, "{dst} = movsx{} s{} {src}", suffix(width), from.bits())
            }
            OpKind::End { order, size, dst } => write!(f, "{dst} = {}{} {dst}", byte_order(order), size.bits()),
            OpKind::Const { dst, value } => write!(f, "{dst} = const {value:#x}"),
            OpKind::MapAddr { dst, map } => write!(f, "{dst} = map {}", self.map_name(map.0)),
            OpKind::MapValueAddr { dst, map, off } => write!(f, "{dst} = map_value {}+{off}", self.map_name(map.0)),
            OpKind::FuncAddr { dst, func } => write!(f, "{dst} = func f{}", func.0),
            OpKind::AddrSpaceCast { dst, src, to, from } => write!(f, "{dst} = addr_space_cast {src}, {to}, {from}"),
            OpKind::Load { size, signed, dst, base, off, mem } => {
                write!(f, "{dst} = load.{}{} {}", if signed { "s" } else { "u" }, size.bits(), Place(mem, base, off))
            }
            OpKind::Store { size, base, off, src, mem } => {
                write!(f, "store.{} {}, {}", size.bits(), Place(mem, base, off), Value(src))
            }
            OpKind::Atomic { size, op, fetch, base, off, src, mem } => {
                let fetch = if fetch { "fetch_" } else { "" };
                write!(f, "atomic_{fetch}{}.{} {}, {src}", atomic(op), size.bits(), Place(mem, base, off))
            }
            OpKind::LoadAcquire { size, dst, base, off, mem } => {
                write!(f, "{dst} = load_acquire.u{} {}", size.bits(), Place(mem, base, off))
            }
            OpKind::StoreRelease { size, base, off, src, mem } => {
                write!(f, "store_release.{} {}, {src}", size.bits(), Place(mem, base, off))
            }
            OpKind::LegacyLoad { size, index, imm } => self.legacy(f, size, index, imm),
            OpKind::CallNative { callee, unwind } => {
                write!(f, "r0 = call {}", self.callee_name(callee.0))?;
                if unwind == Unwind::Propagate { write!(f, " unwind") } else { Ok(()) }
            }
            OpKind::CallFunc { func, .. } => write!(f, "r0 = call f{}", func.0),
            OpKind::Throw => write!(f, "throw r1"),
            OpKind::TailCall { map, index } => {
                write!(f, "tail_call")?;
                if let Some(map) = map {
                    write!(f, " {}", self.map_name(map.0))?;
                }
                if let Some(index) = index { write!(f, "[{index}]") } else { Ok(()) }
            }
        }
    }

    fn legacy(&self, f: &mut fmt::Formatter<'_>, size: Size, index: Option<Reg>, imm: i32) -> fmt::Result {
        write!(f, "r0 = packet_load.{} {imm}", size.bits())?;
        if let Some(index) = index { write!(f, " + {index}") } else { Ok(()) }
    }

    fn map_name(&self, map: u32) -> String {
        self.maps().get(map as usize).map_or_else(|| format!("#{map}"), |m| m.name.clone())
    }

    fn callee_name(&self, callee: u32) -> String {
        match self.callees().get(callee as usize) {
            Some(Callee::Helper(id)) => {
                backstop_model::helpers::name(*id).map_or_else(|| format!("helper#{id}"), |name| format!("bpf_{name}"))
            }
            Some(Callee::Kfunc(index)) => {
                self.kfunc(*index).map_or_else(|| format!("kfunc#{index}"), |k| k.name.clone())
            }
            None => format!("#{callee}"),
        }
    }
}

struct Terminator<'a>(&'a Term);

impl fmt::Display for Terminator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Term::Jump(to) => write!(f, "jump b{}", to.0),
            Term::Branch { width, op, dst, src, then, otherwise } => {
                write!(
                    f,
                    "branch{} {dst} {} {} ? b{} : b{}",
                    suffix(width),
                    compare(op),
                    Value(src),
                    then.0,
                    otherwise.0
                )
            }
            Term::MayGoto { exit, next } => write!(f, "may_goto b{} : b{}", exit.0, next.0),
            Term::Return => write!(f, "return"),
            Term::Unreachable => write!(f, "unreachable"),
        }
    }
}

struct Value(Operand);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Operand::Reg(r) => write!(f, "{r}"),
            Operand::Imm(i) => write!(f, "{i}"),
        }
    }
}

struct Place(Mem, Reg, i32);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mem = match self.0 {
            Mem::Stack => "stack",
            Mem::Ctx => "ctx",
            Mem::Packet => "packet",
            Mem::MapValue => "map_value",
            Mem::Plain => "mem",
            Mem::Probe => "probe",
            Mem::Arena => "arena",
            Mem::Unknown => "unknown",
        };
        write!(f, "{mem}[{}{:+}]", self.1, self.2)
    }
}

fn suffix(width: Width) -> &'static str {
    match width {
        Width::W32 => ".32",
        Width::W64 => ".64",
    }
}

fn alu(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "add",
        AluOp::Sub => "sub",
        AluOp::Mul => "mul",
        AluOp::Div => "div",
        AluOp::Sdiv => "sdiv",
        AluOp::Mod => "mod",
        AluOp::Smod => "smod",
        AluOp::Or => "or",
        AluOp::And => "and",
        AluOp::Xor => "xor",
        AluOp::Lsh => "lsh",
        AluOp::Rsh => "rsh",
        AluOp::Arsh => "arsh",
    }
}

fn compare(op: CmpOp) -> &'static str {
    match op {
        CmpOp::Eq => "==",
        CmpOp::Ne => "!=",
        CmpOp::Set => "&",
        CmpOp::Gt => ">",
        CmpOp::Ge => ">=",
        CmpOp::Lt => "<",
        CmpOp::Le => "<=",
        CmpOp::Sgt => "s>",
        CmpOp::Sge => "s>=",
        CmpOp::Slt => "s<",
        CmpOp::Sle => "s<=",
    }
}

fn atomic(op: AtomicOp) -> &'static str {
    match op {
        AtomicOp::Add => "add",
        AtomicOp::Or => "or",
        AtomicOp::And => "and",
        AtomicOp::Xor => "xor",
        AtomicOp::Xchg => "xchg",
        AtomicOp::Cmpxchg => "cmpxchg",
    }
}

fn byte_order(order: ByteOrder) -> &'static str {
    match order {
        ByteOrder::Le => "le",
        ByteOrder::Be => "be",
        ByteOrder::Swap => "bswap",
    }
}
