//! The two shapes of an instruction: the raw 8-byte slot and the decoded instruction.
//!
//! [`Slot`] is the wire form (RFC 9669, section 3). [`Instr`] is the closed, decoded form that the verifier,
//! the IR and the fuzzers match on: a field that must be zero is not representable in it, so a value of this type
//! is always a legal instruction up to control flow.

use crate::table::Field;

/// A BPF register, r0 to r10 (and r11, which only appears in error messages, never in an [`Instr`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

impl Reg {
    /// Result register.
    pub const R0: Reg = Reg(0);
    /// First argument.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// First callee-saved register.
    pub const R6: Reg = Reg(6);
    /// Second callee-saved register.
    pub const R7: Reg = Reg(7);
    /// Third callee-saved register.
    pub const R8: Reg = Reg(8);
    /// Fourth callee-saved register.
    pub const R9: Reg = Reg(9);
    /// Frame pointer, read only.
    pub const R10: Reg = Reg(10);
    /// How many registers a program can name.
    pub const COUNT: usize = 11;

    /// The register of this number, if a program may name it (0 to 10).
    pub const fn new(n: u8) -> Option<Reg> {
        if n <= 10 { Some(Reg(n)) } else { None }
    }

    /// 0 to 10.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// 0 to 10, as it stands in a register field.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// All registers, r0 first.
    pub fn all() -> impl Iterator<Item = Reg> {
        (0..Self::COUNT as u8).map(Reg)
    }
}

impl std::fmt::Debug for Reg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl std::fmt::Display for Reg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// One 8-byte instruction slot as it lies in an object file (little endian). A 64-bit immediate load takes two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Slot {
    /// Opcode byte: class in the low three bits.
    pub code: u8,
    /// Destination register number, 0 to 15 (four bits).
    pub dst: u8,
    /// Source register number or sub-opcode, 0 to 15 (four bits).
    pub src: u8,
    /// Signed 16-bit offset.
    pub off: i16,
    /// Signed 32-bit immediate.
    pub imm: i32,
}

impl Slot {
    /// Reads a slot from its 8 little-endian bytes.
    pub const fn from_bytes(b: [u8; 8]) -> Slot {
        Slot {
            code: b[0],
            dst: b[1] & 0xf,
            src: b[1] >> 4,
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The 8 little-endian bytes of this slot.
    pub const fn to_bytes(self) -> [u8; 8] {
        let o = self.off.to_le_bytes();
        let i = self.imm.to_le_bytes();
        [self.code, (self.src << 4) | (self.dst & 0xf), o[0], o[1], i[0], i[1], i[2], i[3]]
    }

    /// A field by its name.
    pub const fn field(self, field: Field) -> i64 {
        match field {
            Field::Code => self.code as i64,
            Field::Dst => self.dst as i64,
            Field::Src => self.src as i64,
            Field::Off => self.off as i64,
            Field::Imm => self.imm as i64,
        }
    }
}

/// Operand width of arithmetic and compares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// 32 bits; results are zero-extended to 64.
    W32,
    /// 64 bits.
    W64,
}

impl Width {
    /// Number of bits.
    pub const fn bits(self) -> u32 {
        match self {
            Width::W32 => 32,
            Width::W64 => 64,
        }
    }
}

/// Size of a memory access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Size {
    /// One byte.
    B1,
    /// Two bytes.
    B2,
    /// Four bytes.
    B4,
    /// Eight bytes.
    B8,
}

impl Size {
    /// Number of bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Size::B1 => 1,
            Size::B2 => 2,
            Size::B4 => 4,
            Size::B8 => 8,
        }
    }

    /// Number of bits.
    pub const fn bits(self) -> u32 {
        self.bytes() * 8
    }

    /// The size of this many bits (8, 16, 32, 64).
    pub const fn from_bits(bits: u32) -> Option<Size> {
        match bits {
            8 => Some(Size::B1),
            16 => Some(Size::B2),
            32 => Some(Size::B4),
            64 => Some(Size::B8),
            _ => None,
        }
    }
}

/// A register or a 32-bit immediate, which is sign-extended to 64 bits where the width is 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// An immediate.
    Imm(i32),
}

/// Two-operand arithmetic. `mov`, `neg`, sign-extending moves and byte swaps stand apart in [`Instr`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AluOp {
    /// dst + src
    Add,
    /// dst - src
    Sub,
    /// dst * src
    Mul,
    /// Unsigned; by zero gives 0.
    Div,
    /// Signed; by zero gives 0; MIN / -1 gives MIN.
    Sdiv,
    /// Unsigned; by zero leaves dst (its low 32 bits zero-extended for W32).
    Mod,
    /// Signed; by zero leaves dst; MIN % -1 gives 0.
    Smod,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Bitwise exclusive or.
    Xor,
    /// Shift left by src masked to the width.
    Lsh,
    /// Logical shift right by src masked to the width.
    Rsh,
    /// Arithmetic shift right by src masked to the width.
    Arsh,
}

/// Condition of a branch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CmpOp {
    /// dst == src
    Eq,
    /// dst != src
    Ne,
    /// dst & src != 0
    Set,
    /// unsigned >
    Gt,
    /// unsigned >=
    Ge,
    /// unsigned <
    Lt,
    /// unsigned <=
    Le,
    /// signed >
    Sgt,
    /// signed >=
    Sge,
    /// signed <
    Slt,
    /// signed <=
    Sle,
}

/// What an atomic instruction does to memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AtomicOp {
    /// Adds src.
    Add,
    /// Ors src.
    Or,
    /// Ands src.
    And,
    /// Xors src.
    Xor,
    /// Exchanges with src (always fetches into src).
    Xchg,
    /// If memory equals r0, stores src; r0 receives the old value (always fetches).
    Cmpxchg,
}

/// Byte order operation of the `End` instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ByteOrder {
    /// To little endian: truncates on a little-endian machine.
    Le,
    /// To big endian: swaps on a little-endian machine.
    Be,
    /// Unconditional swap (cpu v4).
    Swap,
}

/// What a two-slot immediate load names besides a plain number (the source register field, RFC 9669 section 5.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pseudo {
    /// src 1: map by file descriptor.
    MapFd,
    /// src 2: address of a map's value, by file descriptor, plus an offset (the second immediate).
    MapValueFd,
    /// src 3: address of a kernel variable, by BTF id.
    BtfId,
    /// src 4: address of a subprogram, relative in slots to the slot after the first one of the load.
    Func,
    /// src 5: map by index into the program's map table.
    MapIdx,
    /// src 6: address of a map's value, by index, plus an offset (the second immediate).
    MapValueIdx,
}

/// One decoded instruction. Offsets are in slots, relative to the slot after the instruction's last one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Instr {
    /// dst = dst op src
    Alu {
        /** Operand width. */
        width: Width,
        /** Operation. */
        op: AluOp,
        /** Destination. */
        dst: Reg,
        /** Second operand. */
        src: Operand,
    },
    /// dst = -dst
    Neg {
        /** Operand width. */
        width: Width,
        /** Destination. */
        dst: Reg,
    },
    /// dst = src
    Mov {
        /** Operand width. */
        width: Width,
        /** Destination. */
        dst: Reg,
        /** Source. */
        src: Operand,
    },
    /// dst = sign-extended low `from` of src (B1, B2, and for W64 B4)
    MovSx {
        /** Operand width. */
        width: Width,
        /** How many bytes of src count. */
        from: Size,
        /** Destination. */
        dst: Reg,
        /** Source. */
        src: Reg,
    },
    /// Cast of an arena pointer between address spaces (imm = to << 16 | from).
    AddrSpaceCast {
        /** Destination. */
        dst: Reg,
        /** Source. */
        src: Reg,
        /** Target address space. */
        to: u16,
        /** Source address space. */
        from: u16,
    },
    /// Byte order conversion of the low `size` bytes (B2, B4, B8), zero-extended.
    End {
        /** Kind. */
        order: ByteOrder,
        /** How many bytes. */
        size: Size,
        /** Destination. */
        dst: Reg,
    },
    /// dst = 64-bit immediate (two slots)
    LoadImm64 {
        /** Destination. */
        dst: Reg,
        /** Value. */
        imm: u64,
    },
    /// dst = an address that the loader resolves (two slots)
    LoadPseudo {
        /** Destination. */
        dst: Reg,
        /** What is named. */
        kind: Pseudo,
        /** First immediate. */
        imm: i32,
        /** Second immediate. */
        next_imm: i32,
    },
    /// dst = *(size *)(base + off)
    Load {
        /** Access size. */
        size: Size,
        /** Sign-extend to 64 bits (never for B8). */
        signed: bool,
        /** Destination. */
        dst: Reg,
        /** Base. */
        base: Reg,
        /** Byte offset. */
        off: i16,
    },
    /// *(size *)(base + off) = src
    Store {
        /** Access size. */
        size: Size,
        /** Base. */
        base: Reg,
        /** Byte offset. */
        off: i16,
        /** Value. */
        src: Operand,
    },
    /// Atomic read-modify-write (B4 or B8)
    Atomic {
        /** Access size. */
        size: Size,
        /** Operation. */
        op: AtomicOp,
        /** Old value goes to src (r0 for cmpxchg). */
        fetch: bool,
        /** Base. */
        base: Reg,
        /** Byte offset. */
        off: i16,
        /** Operand. */
        src: Reg,
    },
    /// dst = load_acquire((size *)(base + off))
    LoadAcquire {
        /** Access size. */
        size: Size,
        /** Destination. */
        dst: Reg,
        /** Base. */
        base: Reg,
        /** Byte offset. */
        off: i16,
    },
    /// store_release((size *)(base + off), src)
    StoreRelease {
        /** Access size. */
        size: Size,
        /** Base. */
        base: Reg,
        /** Byte offset. */
        off: i16,
        /** Value. */
        src: Reg,
    },
    /// r0 = big-endian load from the packet at `imm` (+ index); ends the program with 0 beyond the packet's end
    LegacyLoad {
        /** Access size (not B8). */
        size: Size,
        /** Register added to the offset. */
        index: Option<Reg>,
        /** Offset in bytes. */
        imm: i32,
    },
    /// pc += off (`goto`, or `gotol` if the offset needs 32 bits or `long` is set)
    Jump {
        /** Slots. */
        off: i32,
        /** Encoded as gotol. */
        long: bool,
    },
    /// if dst op src, pc += off
    Branch {
        /** Operand width. */
        width: Width,
        /** Condition. */
        op: CmpOp,
        /** First operand. */
        dst: Reg,
        /** Second operand. */
        src: Operand,
        /** Slots. */
        off: i16,
    },
    /// May go on with the next instruction, or jump: ends loops that the verifier can't bound.
    MayGoto {
        /** Slots. */
        off: i16,
    },
    /// Calls a helper by its number.
    CallHelper {
        /** Helper number. */
        id: i32,
    },
    /// Calls a subprogram of the program.
    CallLocal {
        /** Slots. */
        off: i32,
    },
    /// Calls a kfunc by BTF id (or by index into the program's kfunc table, see the model crate).
    CallKfunc {
        /** BTF id or index. */
        id: i32,
        /** Which module's BTF; 0 is the runtime's own. */
        off: i16,
    },
    /// Leaves the function.
    Exit,
}

impl Instr {
    /// How many slots it takes: 2 for 64-bit immediate loads, else 1.
    pub const fn slots(&self) -> usize {
        match self {
            Instr::LoadImm64 { .. } | Instr::LoadPseudo { .. } => 2,
            _ => 1,
        }
    }
}
