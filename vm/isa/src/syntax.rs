//! The words that assembler and disassembler share, so that they can't drift apart.

use crate::insn::{AluOp, AtomicOp, ByteOrder, CmpOp, Pseudo, Size, Width};

impl AluOp {
    /// All of them.
    pub const ALL: [AluOp; 13] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::Sdiv,
        AluOp::Mod,
        AluOp::Smod,
        AluOp::Or,
        AluOp::And,
        AluOp::Xor,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Arsh,
    ];

    /// The assignment operator of pseudo-C: `+=`, `s/=`, `s>>=`.
    pub const fn symbol(self) -> &'static str {
        match self {
            AluOp::Add => "+=",
            AluOp::Sub => "-=",
            AluOp::Mul => "*=",
            AluOp::Div => "/=",
            AluOp::Sdiv => "s/=",
            AluOp::Mod => "%=",
            AluOp::Smod => "s%=",
            AluOp::Or => "|=",
            AluOp::And => "&=",
            AluOp::Xor => "^=",
            AluOp::Lsh => "<<=",
            AluOp::Rsh => ">>=",
            AluOp::Arsh => "s>>=",
        }
    }
}

impl CmpOp {
    /// All of them.
    pub const ALL: [CmpOp; 11] = [
        CmpOp::Eq,
        CmpOp::Ne,
        CmpOp::Set,
        CmpOp::Gt,
        CmpOp::Ge,
        CmpOp::Lt,
        CmpOp::Le,
        CmpOp::Sgt,
        CmpOp::Sge,
        CmpOp::Slt,
        CmpOp::Sle,
    ];

    /// The operator of pseudo-C: `==`, `&`, `s>`.
    pub const fn symbol(self) -> &'static str {
        match self {
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
}

impl AtomicOp {
    /// All of them.
    pub const ALL: [AtomicOp; 6] =
        [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];

    /// The word in `atomic_fetch_add` and its like.
    pub const fn name(self) -> &'static str {
        match self {
            AtomicOp::Add => "add",
            AtomicOp::Or => "or",
            AtomicOp::And => "and",
            AtomicOp::Xor => "xor",
            AtomicOp::Xchg => "xchg",
            AtomicOp::Cmpxchg => "cmpxchg",
        }
    }

    /// The operator of `lock *(u64 *)(r1 + 0) += r2`; the two exchanges have none.
    pub const fn symbol(self) -> Option<&'static str> {
        match self {
            AtomicOp::Add => Some("+="),
            AtomicOp::Or => Some("|="),
            AtomicOp::And => Some("&="),
            AtomicOp::Xor => Some("^="),
            AtomicOp::Xchg | AtomicOp::Cmpxchg => None,
        }
    }
}

impl ByteOrder {
    /// All of them.
    pub const ALL: [ByteOrder; 3] = [ByteOrder::Le, ByteOrder::Be, ByteOrder::Swap];

    /// The word before the number of bits in `be16`.
    pub const fn name(self) -> &'static str {
        match self {
            ByteOrder::Le => "le",
            ByteOrder::Be => "be",
            ByteOrder::Swap => "bswap",
        }
    }
}

impl Pseudo {
    /// All of them.
    pub const ALL: [Pseudo; 6] =
        [Pseudo::MapFd, Pseudo::MapValueFd, Pseudo::BtfId, Pseudo::Func, Pseudo::MapIdx, Pseudo::MapValueIdx];

    /// The word before the bracket in `r1 = map[0] ll`; for subprograms, before the target.
    pub const fn name(self) -> &'static str {
        match self {
            Pseudo::MapFd | Pseudo::MapValueFd => "map_fd",
            Pseudo::BtfId => "btf_id",
            Pseudo::Func => "func",
            Pseudo::MapIdx | Pseudo::MapValueIdx => "map",
        }
    }
}

impl Size {
    /// All of them.
    pub const ALL: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

    /// The C type of this size: `u8` to `u64`.
    pub const fn unsigned(self) -> &'static str {
        match self {
            Size::B1 => "u8",
            Size::B2 => "u16",
            Size::B4 => "u32",
            Size::B8 => "u64",
        }
    }

    /// The C type of this size: `s8` to `s64`.
    pub const fn signed(self) -> &'static str {
        match self {
            Size::B1 => "s8",
            Size::B2 => "s16",
            Size::B4 => "s32",
            Size::B8 => "s64",
        }
    }
}

impl Width {
    /// The letter before a register's number: `w` for 32 bits, `r` for 64.
    pub const fn letter(self) -> char {
        match self {
            Width::W32 => 'w',
            Width::W64 => 'r',
        }
    }
}
