//! The one table of the instruction set.
//!
//! It exists so that an opcode's byte, its fields, its legality and its name stand in one place. Decoder, encoder and
//! legality read it; generators (fuzzers, exercisers, tests that compile every operation) walk [`rows`] and make
//! instructions with [`Row::instance`] or [`Row::legal_instance`].
//!
//! Invariants: rows of one opcode byte are neighbours and differ in one field, the selector (all others of their fields
//! that carry a sub-code agree); every [`Op`] has at most one row.

mod rows;

use crate::encode::Encoded;
use crate::insn::{AluOp, AtomicOp, ByteOrder, CmpOp, Instr, Operand, Pseudo, Size, Slot, Width};

/// Conformance group (RFC 9669, section 2.4), and names of our own for what the RFC lacks and Linux has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// All that a 32-bit machine needs.
    Base32,
    /// The 64-bit operations.
    Base64,
    /// 32-bit multiplication and division.
    Divmul32,
    /// 64-bit multiplication and division.
    Divmul64,
    /// 32-bit atomics.
    Atomic32,
    /// 64-bit atomics.
    Atomic64,
    /// Legacy packet loads.
    Packet,
    /// Linux: bounded-loop jump.
    MayGoto,
    /// Linux: arena pointer casts.
    AddrSpaceCast,
    /// Linux: load-acquire and store-release.
    AcquireRelease,
}

impl Group {
    /// The group's name: the RFC's, or our own in the same style for extensions of the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Base32 => "base32",
            Group::Base64 => "base64",
            Group::Divmul32 => "divmul32",
            Group::Divmul64 => "divmul64",
            Group::Atomic32 => "atomic32",
            Group::Atomic64 => "atomic64",
            Group::Packet => "packet",
            Group::MayGoto => "linux-may-goto",
            Group::AddrSpaceCast => "linux-addr-space-cast",
            Group::AcquireRelease => "linux-acquire-release",
        }
    }

    /// Whether RFC 9669 names the group.
    pub const fn is_standard(self) -> bool {
        !matches!(self, Group::MayGoto | Group::AddrSpaceCast | Group::AcquireRelease)
    }
}

/// Which kind the second operand is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SrcKind {
    /// An immediate (the `K` bit of the opcode).
    Imm,
    /// A register (the `X` bit of the opcode).
    Reg,
}

impl From<Operand> for SrcKind {
    fn from(operand: Operand) -> SrcKind {
        match operand {
            Operand::Imm(_) => SrcKind::Imm,
            Operand::Reg(_) => SrcKind::Reg,
        }
    }
}

/// An operation: an [`Instr`] without its registers, offsets and immediates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// See [`Instr::Alu`].
    Alu {
        /// Operand width.
        width: Width,
        /// Operation.
        op: AluOp,
        /// Second operand.
        src: SrcKind,
    },
    /// See [`Instr::Neg`].
    Neg {
        /// Operand width.
        width: Width,
    },
    /// See [`Instr::Mov`].
    Mov {
        /// Operand width.
        width: Width,
        /// Source.
        src: SrcKind,
    },
    /// See [`Instr::MovSx`].
    MovSx {
        /// Operand width.
        width: Width,
        /// How many bytes of the source count.
        from: Size,
    },
    /// See [`Instr::AddrSpaceCast`].
    AddrSpaceCast,
    /// See [`Instr::End`].
    End {
        /// Kind.
        order: ByteOrder,
        /// How many bytes.
        size: Size,
    },
    /// See [`Instr::LoadImm64`].
    LoadImm64,
    /// See [`Instr::LoadPseudo`].
    LoadPseudo {
        /// What is named.
        kind: Pseudo,
    },
    /// See [`Instr::Load`].
    Load {
        /// Access size.
        size: Size,
        /// Sign-extending.
        signed: bool,
    },
    /// See [`Instr::Store`].
    Store {
        /// Access size.
        size: Size,
        /// Value.
        src: SrcKind,
    },
    /// See [`Instr::Atomic`].
    Atomic {
        /// Access size.
        size: Size,
        /// Operation.
        op: AtomicOp,
        /// Returns the old value.
        fetch: bool,
    },
    /// See [`Instr::LoadAcquire`].
    LoadAcquire {
        /// Access size.
        size: Size,
    },
    /// See [`Instr::StoreRelease`].
    StoreRelease {
        /// Access size.
        size: Size,
    },
    /// See [`Instr::LegacyLoad`].
    LegacyLoad {
        /// Access size.
        size: Size,
        /// Adds a register to the offset.
        indexed: bool,
    },
    /// See [`Instr::Jump`].
    Jump {
        /// `gotol`.
        long: bool,
    },
    /// See [`Instr::Branch`].
    Branch {
        /// Operand width.
        width: Width,
        /// Condition.
        op: CmpOp,
        /// Second operand.
        src: SrcKind,
    },
    /// See [`Instr::MayGoto`].
    MayGoto,
    /// See [`Instr::CallHelper`].
    CallHelper,
    /// See [`Instr::CallLocal`].
    CallLocal,
    /// See [`Instr::CallKfunc`].
    CallKfunc,
    /// See [`Instr::Exit`].
    Exit,
}

impl Op {
    /// The operation's row; `None` for a combination that the set lacks (an atomic add of one byte).
    pub fn row(self) -> Option<&'static Row> {
        rows::ROWS.get(self.place()?)
    }

    /// Place of the operation's row among [`rows`].
    pub fn place(self) -> Option<usize> {
        BY_OP.get(self.number()).map(|place| usize::from(*place)).filter(|place| *place < rows::ROWS.len())
    }

    /// A number below [`OPS`] that no other operation has.
    const fn number(self) -> usize {
        let (variant, of_it) = match self {
            Op::Alu { width, op, src } => (0, (op as usize * 2 + width as usize) * 2 + src as usize),
            Op::Neg { width } => (1, width as usize),
            Op::Mov { width, src } => (2, width as usize * 2 + src as usize),
            Op::MovSx { width, from } => (3, width as usize * 4 + from as usize),
            Op::AddrSpaceCast => (4, 0),
            Op::End { order, size } => (5, order as usize * 4 + size as usize),
            Op::LoadImm64 => (6, 0),
            Op::LoadPseudo { kind } => (7, kind as usize),
            Op::Load { size, signed } => (8, size as usize * 2 + signed as usize),
            Op::Store { size, src } => (9, size as usize * 2 + src as usize),
            Op::Atomic { size, op, fetch } => (10, (op as usize * 4 + size as usize) * 2 + fetch as usize),
            Op::LoadAcquire { size } => (11, size as usize),
            Op::StoreRelease { size } => (12, size as usize),
            Op::LegacyLoad { size, indexed } => (13, size as usize * 2 + indexed as usize),
            Op::Jump { long } => (14, long as usize),
            Op::Branch { width, op, src } => (15, (op as usize * 2 + width as usize) * 2 + src as usize),
            Op::MayGoto => (16, 0),
            Op::CallHelper => (17, 0),
            Op::CallLocal => (18, 0),
            Op::CallKfunc => (19, 0),
            Op::Exit => (20, 0),
        };
        variant * VARIANT + of_it
    }
}

/// Numbers of one variant of [`Op`], at most.
const VARIANT: usize = 64;
/// Numbers of operations.
const OPS: usize = 21 * VARIANT;
/// Place of each operation's row, by number.
static BY_OP: [u16; OPS] = by_op();

const fn by_op() -> [u16; OPS] {
    let mut places = [u16::MAX; OPS];
    let mut at = 0;
    while at < rows::ROWS.len() {
        places[rows::ROWS[at].op.number()] = at as u16;
        at += 1;
    }
    places
}

impl Instr {
    /// Which operation this is. A jump that does not fit 16 bits is a long one, whatever its `long` says.
    pub fn op(&self) -> Op {
        match *self {
            Instr::Alu { width, op, src, .. } => Op::Alu { width, op, src: src.into() },
            Instr::Neg { width, .. } => Op::Neg { width },
            Instr::Mov { width, src, .. } => Op::Mov { width, src: src.into() },
            Instr::MovSx { width, from, .. } => Op::MovSx { width, from },
            Instr::AddrSpaceCast { .. } => Op::AddrSpaceCast,
            Instr::End { order, size, .. } => Op::End { order, size },
            Instr::LoadImm64 { .. } => Op::LoadImm64,
            Instr::LoadPseudo { kind, .. } => Op::LoadPseudo { kind },
            Instr::Load { size, signed, .. } => Op::Load { size, signed },
            Instr::Store { size, src, .. } => Op::Store { size, src: src.into() },
            Instr::Atomic { size, op, fetch, .. } => Op::Atomic { size, op, fetch },
            Instr::LoadAcquire { size, .. } => Op::LoadAcquire { size },
            Instr::StoreRelease { size, .. } => Op::StoreRelease { size },
            Instr::LegacyLoad { size, index, .. } => Op::LegacyLoad { size, indexed: index.is_some() },
            Instr::Jump { off, long } => Op::Jump { long: long || i16::try_from(off).is_err() },
            Instr::Branch { width, op, src, .. } => Op::Branch { width, op, src: src.into() },
            Instr::MayGoto { .. } => Op::MayGoto,
            Instr::CallHelper { .. } => Op::CallHelper,
            Instr::CallLocal { .. } => Op::CallLocal,
            Instr::CallKfunc { .. } => Op::CallKfunc,
            Instr::Exit => Op::Exit,
        }
    }
}

/// What a register field carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RegField {
    /// Must be 0.
    Zero,
    /// A sub-code that selects the row.
    Code(u8),
    /// A register that is read.
    Read,
    /// A register that is written.
    Write,
    /// A register that is read, then written.
    ReadWrite,
}

impl RegField {
    /// Whether the field names a register.
    pub const fn is_register(self) -> bool {
        matches!(self, RegField::Read | RegField::Write | RegField::ReadWrite)
    }

    /// Whether the field names a register that is written.
    pub const fn is_written(self) -> bool {
        matches!(self, RegField::Write | RegField::ReadWrite)
    }

    fn fill(self, n: u8) -> u8 {
        match self {
            RegField::Zero => 0,
            RegField::Code(code) => code,
            RegField::Read | RegField::Write | RegField::ReadWrite => n % 11,
        }
    }
}

/// What the 16-bit offset field carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OffField {
    /// Must be 0.
    Zero,
    /// A sub-code that selects the row.
    Code(i16),
    /// Bytes added to the base register.
    Memory,
    /// Slots to jump over.
    Jump,
    /// Which module's BTF a kfunc's id is in.
    KfuncBtf,
}

impl OffField {
    fn fill(self, off: i16) -> i16 {
        match self {
            OffField::Zero => 0,
            OffField::Code(code) => code,
            OffField::Memory | OffField::Jump | OffField::KfuncBtf => off,
        }
    }
}

/// What the 32-bit immediate field carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ImmField {
    /// Must be 0.
    Zero,
    /// A sub-code that selects the row.
    Code(i32),
    /// Any number.
    Value,
    /// A shift count; legal below the width in bits.
    Shift(Width),
    /// A divisor; legal if not 0.
    Divisor,
    /// Slots to jump over, or to the subprogram that is meant.
    Jump,
    /// A helper's number.
    Helper,
    /// A kfunc's BTF id, or index.
    Kfunc,
    /// Address spaces (target << 16 | source); legal are 0 to 1 and 1 to 0.
    AddrSpaces,
}

impl ImmField {
    fn fill(self, imm: i32) -> i32 {
        match self {
            ImmField::Zero => 0,
            ImmField::Code(code) => code,
            ImmField::Value
            | ImmField::Shift(_)
            | ImmField::Divisor
            | ImmField::Jump
            | ImmField::Helper
            | ImmField::Kfunc
            | ImmField::AddrSpaces => imm,
        }
    }

    fn legal(self, imm: i32) -> i32 {
        match self {
            ImmField::Shift(width) => imm & (width.bits() as i32 - 1),
            ImmField::Divisor if imm == 0 => 1,
            ImmField::AddrSpaces => {
                if imm & 1 == 0 {
                    0x1_0000
                } else {
                    1
                }
            }
            _ => imm,
        }
    }
}

/// What the second slot's immediate carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NextField {
    /// There is no second slot.
    None,
    /// There is one, and its immediate must be 0.
    Zero,
    /// There is one, with any number.
    Value,
}

/// Names a field of a slot, in tables and errors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Field {
    /// The opcode byte.
    Code,
    /// The destination register's four bits.
    Dst,
    /// The source register's four bits.
    Src,
    /// The 16-bit offset.
    Off,
    /// The 32-bit immediate.
    Imm,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Field::Code => "opcode",
            Field::Dst => "dst_reg",
            Field::Src => "src_reg",
            Field::Off => "offset",
            Field::Imm => "imm",
        })
    }
}

/// One row: an operation, its opcode byte, and what each field of its slot carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Opcode byte. Rows that share one are told apart by [`Row::selector`].
    pub code: u8,
    /// A name, unique in the table: for reports and for choosing rows in tests.
    pub name: &'static str,
    /// Conformance group.
    pub group: Group,
    /// The operation.
    pub op: Op,
    /// Destination register field.
    pub dst: RegField,
    /// Source register field.
    pub src: RegField,
    /// Offset field.
    pub off: OffField,
    /// Immediate field.
    pub imm: ImmField,
    /// Second slot.
    pub next: NextField,
}

/// Raw material for an instance of a row: a generator puts anything here, the row keeps what fits it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Fill {
    /// Taken modulo 11 where the field is a register.
    pub dst: u8,
    /// Taken modulo 11 where the field is a register.
    pub src: u8,
    /// Offset.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
    /// Second slot's immediate.
    pub next_imm: i32,
}

impl Row {
    /// The field, and its value, that tells this row from others of its opcode byte.
    pub const fn selector(&self) -> Option<(Field, i64)> {
        if let RegField::Code(v) = self.src {
            return Some((Field::Src, v as i64));
        }
        if let OffField::Code(v) = self.off {
            return Some((Field::Off, v as i64));
        }
        if let ImmField::Code(v) = self.imm {
            return Some((Field::Imm, v as i64));
        }
        None
    }

    /// Whether the sub-code in this slot (if the row has one) is the row's.
    pub const fn selects(&self, slot: Slot) -> bool {
        match self.selector() {
            None => true,
            Some((field, value)) => slot.field(field) == value,
        }
    }

    /// How many slots an instance takes.
    pub const fn slots(&self) -> usize {
        match self.next {
            NextField::None => 1,
            NextField::Zero | NextField::Value => 2,
        }
    }

    /// An instance that [`decode`](crate::decode()) accepts, from any raw material.
    pub fn instance(&self, fill: Fill) -> Encoded {
        let first = Slot {
            code: self.code,
            dst: self.dst.fill(fill.dst),
            src: self.src.fill(fill.src),
            off: self.off.fill(fill.off),
            imm: self.imm.fill(fill.imm),
        };
        match self.next {
            NextField::None => Encoded::one(first),
            NextField::Zero => Encoded::two(first, 0),
            NextField::Value => Encoded::two(first, fill.next_imm),
        }
    }

    /// An instance that also passes [`Instr::check_legal`]: no write to r10, a shift count within the width, a divisor
    /// that is not 0, address spaces that exist.
    pub fn legal_instance(&self, fill: Fill) -> Encoded {
        let writable = |field: RegField, n: u8| if field.is_written() { n % 10 } else { n };
        self.instance(Fill {
            dst: writable(self.dst, fill.dst),
            src: writable(self.src, fill.src),
            imm: self.imm.legal(fill.imm),
            ..fill
        })
    }
}

/// All rows. Their number and order may change between versions.
pub fn rows() -> impl ExactSizeIterator<Item = &'static Row> + Clone {
    rows::ROWS.iter()
}

/// The rows of an opcode byte; none if it is unknown.
pub fn rows_of(code: u8) -> &'static [Row] {
    let (start, len) = INDEX[code as usize];
    rows::ROWS.get(start as usize..start as usize + len as usize).unwrap_or(&[])
}

/// Where the rows of each opcode byte start, and how many they are.
static INDEX: [(u16, u16); 256] = index();

const fn index() -> [(u16, u16); 256] {
    let mut index = [(0u16, 0u16); 256];
    let mut i = 0;
    while i < rows::ROWS.len() {
        let entry = &mut index[rows::ROWS[i].code as usize];
        if entry.1 == 0 {
            entry.0 = i as u16;
        }
        assert!(entry.0 as usize + entry.1 as usize == i, "rows of one opcode byte must be neighbours");
        entry.1 += 1;
        i += 1;
    }
    index
}
