//! From the decoded instruction to pseudo-C text, as llvm-objdump (with decimal immediates) and bpftool print it.
//!
//! Where those two differ, or have no syntax (kfunc calls, map references), the text here is what [`assemble`](crate::assemble)
//! reads; the property that all text reads back to the same slots is tested over the whole table.

use std::fmt::{self, Display, Formatter, Write};

use crate::decode::decode;
use crate::insn::{AtomicOp, Instr, Operand, Pseudo, Reg, Size, Slot, Width};

/// Something in an instruction that may have a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Name {
    /// The target of a jump, local call or subprogram address: a slot.
    Label(usize),
    /// A helper by its number.
    Helper(i32),
    /// A kfunc.
    Kfunc {
        /// BTF id or index.
        id: i32,
        /// Which module's BTF.
        off: i16,
    },
    /// What a 64-bit immediate load names, subprograms excepted.
    Address {
        /// What kind.
        kind: Pseudo,
        /// First immediate.
        imm: i32,
        /// Second immediate.
        next_imm: i32,
    },
}

/// Says what something is called.
type Namer<'n> = dyn Fn(Name) -> Option<String> + 'n;

/// Prints instructions with names for what they refer to.
///
/// ```
/// use backstop_isa::{Disasm, Instr, Name};
///
/// let names = |name| match name {
///     Name::Helper(5) => Some("bpf_ktime_get_ns".to_owned()),
///     Name::Label(12) => Some("out".to_owned()),
///     _ => None,
/// };
/// let disasm = Disasm::new(&names);
/// assert_eq!(disasm.instr(3, &Instr::CallHelper { id: 5 }).to_string(), "call bpf_ktime_get_ns");
/// assert_eq!(disasm.instr(3, &Instr::Jump { off: 8, long: false }).to_string(), "goto out");
/// ```
#[derive(Clone, Copy)]
pub struct Disasm<'n> {
    names: &'n Namer<'n>,
}

impl<'n> Disasm<'n> {
    /// With a function that names things; where it says `None` the number is printed.
    pub fn new(names: &'n Namer<'n>) -> Disasm<'n> {
        Disasm { names }
    }

    /// The text of one instruction, whose first slot is `at`.
    pub fn instr(&self, at: usize, instr: &Instr) -> impl Display + use<'n> {
        Text { instr: *instr, place: Some((at, self.names)) }
    }

    /// A listing: each instruction on a line with its slot's number before it; a label has a line of its own.
    /// Slots that do not decode are printed raw.
    pub fn listing(&self, slots: &[Slot]) -> String {
        let mut out = String::new();
        walk(slots, |at, decoded| {
            if let Some(label) = (self.names)(Name::Label(at)) {
                let _ = writeln!(out, "{label}:");
            }
            let _ = match decoded {
                Ok(instr) => writeln!(out, "{at:>6}: {}", self.instr(at, &instr)),
                Err(slot) => writeln!(out, "{at:>6}: {}", Raw(slot)),
            };
        });
        out
    }
}

/// Text that [`assemble`](crate::assemble) reads back to exactly these slots, whatever they hold (registers being
/// four bits); one instruction a line,
/// jumps as numbers, slots that do not decode as `.slot`.
pub fn disassemble(slots: &[Slot]) -> String {
    let mut out = String::new();
    walk(slots, |_, decoded| {
        let _ = match decoded {
            Ok(instr) => writeln!(out, "{instr}"),
            Err(slot) => writeln!(out, "{}", Raw(slot)),
        };
    });
    out
}

/// Calls `each` for every instruction and every slot that is none.
fn walk(slots: &[Slot], mut each: impl FnMut(usize, Result<Instr, Slot>)) {
    let mut at = 0;
    while let Some(slot) = slots.get(at) {
        match decode(slots, at) {
            Ok(instr) => {
                each(at, Ok(instr));
                at += instr.slots();
            }
            Err(_) => {
                each(at, Err(*slot));
                at += 1;
            }
        }
    }
}

/// A slot that is no instruction: opcode, destination, source, offset, immediate.
struct Raw(Slot);

impl Display for Raw {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Slot { code, dst, src, off, imm } = self.0;
        write!(f, ".slot {code:#04x}, {dst}, {src}, {off}, {imm}")
    }
}

impl Display for Instr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Text { instr: *self, place: None }.fmt(f)
    }
}

struct Text<'n> {
    instr: Instr,
    /// The first slot, and who names things; without, numbers are printed.
    place: Option<(usize, &'n Namer<'n>)>,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.instr {
            Instr::Alu { width, op, dst, src } => {
                write!(f, "{} {} {}", Wide(width, dst), op.symbol(), Source(width, src))
            }
            Instr::Neg { width, dst } => write!(f, "{0} = -{0}", Wide(width, dst)),
            Instr::Mov { width, dst, src } => {
                write!(f, "{} = {}", Wide(width, dst), Source(width, src))
            }
            Instr::MovSx { width, from, dst, src } => {
                write!(f, "{} = ({}){}", Wide(width, dst), from.signed(), Wide(width, src))
            }
            Instr::AddrSpaceCast { dst, src, to, from } => {
                write!(f, "{dst} = addr_space_cast({src}, {to}, {from})")
            }
            Instr::End { order, size, dst } => {
                write!(f, "{dst} = {}{} {dst}", order.name(), size.bits())
            }
            Instr::LoadImm64 { dst, imm } => write!(f, "{dst} = {imm:#x} ll"),
            Instr::LoadPseudo { dst, kind, imm, next_imm } => {
                write!(f, "{dst} = ")?;
                self.address(f, kind, imm, next_imm)?;
                f.write_str(" ll")
            }
            Instr::Load { size, signed, dst, base, off } => {
                let ty = if signed { size.signed() } else { size.unsigned() };
                write!(f, "{dst} = *({ty} *)({})", Place(base, off))
            }
            Instr::Store { size, base, off, src } => {
                let place = Place(base, off);
                write!(f, "*({} *)({place}) = {}", size.unsigned(), Source(Width::W64, src))
            }
            Instr::Atomic { size, op, fetch, base, off, src } => atomic(f, size, op, fetch, Place(base, off), src),
            Instr::LoadAcquire { size, dst, base, off } => {
                write!(f, "{dst} = load_acquire(({} *)({}))", size.unsigned(), Place(base, off))
            }
            Instr::StoreRelease { size, base, off, src } => {
                write!(f, "store_release(({} *)({}), {src})", size.unsigned(), Place(base, off))
            }
            Instr::LegacyLoad { size, index, imm } => packet(f, size, index, imm),
            Instr::Jump { off, long } => {
                let long = long || i16::try_from(off).is_err();
                f.write_str(if long { "gotol " } else { "goto " })?;
                self.target(f, off)
            }
            Instr::Branch { width, op, dst, src, off } => {
                let (dst, src) = (Wide(width, dst), Source(width, src));
                write!(f, "if {dst} {} {src} goto ", op.symbol())?;
                self.target(f, off.into())
            }
            Instr::MayGoto { off } => {
                f.write_str("may_goto ")?;
                self.target(f, off.into())
            }
            Instr::CallHelper { id } => self.helper(f, id),
            Instr::CallLocal { off } => {
                f.write_str("call ")?;
                self.target(f, off)
            }
            Instr::CallKfunc { id, off } => self.kfunc(f, id, off),
            Instr::Exit => f.write_str("exit"),
        }
    }
}

impl Text<'_> {
    fn name(&self, name: Name) -> Option<String> {
        self.place.and_then(|(_, names)| names(name))
    }

    fn target(&self, f: &mut Formatter<'_>, off: i32) -> fmt::Result {
        let label = self.place.and_then(|(at, names)| {
            let next = i64::try_from(at.checked_add(1)?).ok()?;
            let target = usize::try_from(next.checked_add(off.into())?).ok()?;
            names(Name::Label(target))
        });
        match label {
            Some(label) => f.write_str(&label),
            None => write!(f, "{off:+}"),
        }
    }

    fn helper(&self, f: &mut Formatter<'_>, id: i32) -> fmt::Result {
        match self.name(Name::Helper(id)) {
            Some(name) => write!(f, "call {name}"),
            // A signed number after `call` is a local call.
            None if id < 0 => write!(f, "call helper#{id}"),
            None => write!(f, "call {id}"),
        }
    }

    fn kfunc(&self, f: &mut Formatter<'_>, id: i32, off: i16) -> fmt::Result {
        match self.name(Name::Kfunc { id, off }) {
            Some(name) => write!(f, "call {name}"),
            None if off == 0 => write!(f, "call kfunc#{id}"),
            None => write!(f, "call kfunc#{id}@{off}"),
        }
    }

    fn address(&self, f: &mut Formatter<'_>, kind: Pseudo, imm: i32, next_imm: i32) -> fmt::Result {
        if kind == Pseudo::Func {
            write!(f, "{} ", kind.name())?;
            return self.target(f, imm);
        }
        if let Some(name) = self.name(Name::Address { kind, imm, next_imm }) {
            return f.write_str(&name);
        }
        write!(f, "{}[{imm}]", kind.name())?;
        match kind {
            Pseudo::MapValueFd | Pseudo::MapValueIdx => write!(f, "[{next_imm}]"),
            Pseudo::BtfId if next_imm != 0 => write!(f, "[{next_imm}]"),
            Pseudo::BtfId | Pseudo::MapFd | Pseudo::MapIdx | Pseudo::Func => Ok(()),
        }
    }
}

fn atomic(f: &mut Formatter<'_>, size: Size, op: AtomicOp, fetch: bool, place: Place, src: Reg) -> fmt::Result {
    let ty = size.unsigned();
    let (width, suffix) = match size {
        Size::B8 => (Width::W64, "_64"),
        Size::B1 | Size::B2 | Size::B4 => (Width::W32, "32_32"),
    };
    let src = Wide(width, src);
    match (op.symbol(), fetch, op) {
        (Some(symbol), false, _) => write!(f, "lock *({ty} *)({place}) {symbol} {src}"),
        (Some(_), true, _) => {
            write!(f, "{src} = atomic_fetch_{}(({ty} *)({place}), {src})", op.name())
        }
        (None, _, AtomicOp::Cmpxchg) => {
            let old = Wide(width, Reg::R0);
            write!(f, "{old} = cmpxchg{suffix}({place}, {old}, {src})")
        }
        (None, ..) => write!(f, "{src} = xchg{suffix}({place}, {src})"),
    }
}

fn packet(f: &mut Formatter<'_>, size: Size, index: Option<Reg>, imm: i32) -> fmt::Result {
    write!(f, "r0 = *({} *)skb[", size.unsigned())?;
    match index {
        None => write!(f, "{imm}]"),
        // clang's syntax has the register alone.
        Some(index) if imm == 0 => write!(f, "{index}]"),
        Some(index) => write!(f, "{index} {}]", Signed(imm)),
    }
}

/// A register with the letter of its width.
struct Wide(Width, Reg);

impl Display for Wide {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.letter(), self.1.number())
    }
}

/// A register or an immediate.
struct Source(Width, Operand);

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.1 {
            Operand::Reg(reg) => Wide(self.0, reg).fmt(f),
            Operand::Imm(imm) => imm.fmt(f),
        }
    }
}

/// `r1 + 8`
struct Place(Reg, i16);

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, Signed(self.1.into()))
    }
}

/// `+ 8`
struct Signed(i32);

impl Display for Signed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.0 < 0 { '-' } else { '+' }, self.0.unsigned_abs())
    }
}
