//! Machine registers, and where BPF's live.

use backstop_abi::x86;
use backstop_isa::Reg;

/// A general purpose register, by the machine's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gpr(u8);

impl Gpr {
    pub(crate) const RAX: Gpr = Gpr(0);
    pub(crate) const RCX: Gpr = Gpr(1);
    pub(crate) const RDX: Gpr = Gpr(2);
    pub(crate) const RSP: Gpr = Gpr(4);
    pub(crate) const RBP: Gpr = Gpr(5);
    pub(crate) const RSI: Gpr = Gpr(6);
    pub(crate) const RDI: Gpr = Gpr(7);
    /// The run's context.
    pub(crate) const CONTEXT: Gpr = Gpr(x86::CONTEXT);
    /// Free within an operation.
    pub(crate) const SCRATCH0: Gpr = Gpr(x86::SCRATCH0);
    /// Free within an operation.
    pub(crate) const SCRATCH1: Gpr = Gpr(x86::SCRATCH1);
    /// The sixth argument at calls and at entry; otherwise free within an operation.
    pub(crate) const ARG6: Gpr = Gpr(x86::ARG6);

    /// A register by the machine's number.
    pub(crate) const fn machine(number: u8) -> Gpr {
        Gpr(number)
    }

    /// Where a BPF register lives.
    pub(crate) fn of(reg: Reg) -> Gpr {
        Gpr(x86::BPF[reg.index()])
    }

    /// The machine's number, 0 to 15.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }

    /// Its low byte is encodable only with a REX prefix (spl, bpl, sil, dil).
    pub(crate) const fn byte_needs_rex(self) -> bool {
        self.0 >= 4 && self.0 < 8
    }
}

impl From<Gpr> for u8 {
    fn from(reg: Gpr) -> u8 {
        reg.0
    }
}

/// A memory operand: base + index * 2^scale + disp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Addr {
    pub(crate) base: Gpr,
    pub(crate) index: Option<Index>,
    /// Bytes.
    pub(crate) disp: i32,
}

/// The scaled register of a memory operand. It can't be rsp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Index {
    pub(crate) reg: Gpr,
    /// 0 to 3: times 1, 2, 4, 8.
    pub(crate) scale: u8,
}

impl Addr {
    pub(crate) fn new(base: Gpr, disp: i32) -> Addr {
        Addr { base, index: None, disp }
    }

    pub(crate) fn indexed(base: Gpr, reg: Gpr, scale: u8, disp: i32) -> Addr {
        Addr { base, index: Some(Index { reg, scale }), disp }
    }
}
