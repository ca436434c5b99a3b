//! The compact code: fixed-size operations, and the one table that enum, lowering and loop are made from.
//!
//! An operation is 16 bytes. Names say the operand forms: `RR` two registers, `RI` register and immediate, then the width. Fused
//! operations do exactly what their parts did, in order. Invariants of a [`crate::Code`]'s operations, checked when it is made:
//! every target is the index of an operation, and the last operation never goes on to the next.

use backstop_isa::{AluOp, AtomicOp, CmpOp, Operand, Reg, Size, Width};

/// A register whose number the compiler knows to be in range, so that the register file is indexed without a check.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum R {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

impl From<Reg> for R {
    fn from(reg: Reg) -> R {
        const ALL: [R; Reg::COUNT] = [R::R0, R::R1, R::R2, R::R3, R::R4, R::R5, R::R6, R::R7, R::R8, R::R9, R::R10];
        ALL[reg.index()]
    }
}

impl std::fmt::Debug for R {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "r{}", *self as u8)
    }
}

/// Hands the families of operations to another macro: `op_tables!(name)` expands to `name! { family { rows } .. }`.
///
/// A row of `alu`, `alu3`, `branch` and `add_branch` has the forms RR64, RI64, RR32, RI32.
macro_rules! op_tables {
    ($then:ident) => {
        $then! {
            // dst = dst op src
            alu {
                Add AddRR64 AddRI64 AddRR32 AddRI32;
                Sub SubRR64 SubRI64 SubRR32 SubRI32;
                Mul MulRR64 MulRI64 MulRR32 MulRI32;
                Div DivRR64 DivRI64 DivRR32 DivRI32;
                Sdiv SdivRR64 SdivRI64 SdivRR32 SdivRI32;
                Mod ModRR64 ModRI64 ModRR32 ModRI32;
                Smod SmodRR64 SmodRI64 SmodRR32 SmodRI32;
                Or OrRR64 OrRI64 OrRR32 OrRI32;
                And AndRR64 AndRI64 AndRR32 AndRI32;
                Xor XorRR64 XorRI64 XorRR32 XorRI32;
                Lsh LshRR64 LshRI64 LshRR32 LshRI32;
                Rsh RshRR64 RshRI64 RshRR32 RshRI32;
                Arsh ArshRR64 ArshRI64 ArshRR32 ArshRI32;
            }
            // dst = a op src, from a move and an operation; src is not dst
            alu3 {
                Add Add3RR64 Add3RI64 Add3RR32 Add3RI32;
                Sub Sub3RR64 Sub3RI64 Sub3RR32 Sub3RI32;
                Mul Mul3RR64 Mul3RI64 Mul3RR32 Mul3RI32;
                Or Or3RR64 Or3RI64 Or3RR32 Or3RI32;
                And And3RR64 And3RI64 And3RR32 And3RI32;
                Xor Xor3RR64 Xor3RI64 Xor3RR32 Xor3RI32;
                Lsh Lsh3RR64 Lsh3RI64 Lsh3RR32 Lsh3RI32;
                Rsh Rsh3RR64 Rsh3RI64 Rsh3RR32 Rsh3RI32;
                Arsh Arsh3RR64 Arsh3RI64 Arsh3RR32 Arsh3RI32;
            }
            // if dst cond src goto target
            branch {
                Eq JEqRR64 JEqRI64 JEqRR32 JEqRI32;
                Ne JNeRR64 JNeRI64 JNeRR32 JNeRI32;
                Set JSetRR64 JSetRI64 JSetRR32 JSetRI32;
                Gt JGtRR64 JGtRI64 JGtRR32 JGtRI32;
                Ge JGeRR64 JGeRI64 JGeRR32 JGeRI32;
                Lt JLtRR64 JLtRI64 JLtRR32 JLtRI32;
                Le JLeRR64 JLeRI64 JLeRR32 JLeRI32;
                Sgt JSgtRR64 JSgtRI64 JSgtRR32 JSgtRI32;
                Sge JSgeRR64 JSgeRI64 JSgeRR32 JSgeRI32;
                Slt JSltRR64 JSltRI64 JSltRR32 JSltRI32;
                Sle JSleRR64 JSleRI64 JSleRR32 JSleRI32;
            }
            // dst += imm; if dst cond src goto target; src is not dst
            add_branch {
                Eq AddJEqRR64 AddJEqRI64 AddJEqRR32 AddJEqRI32;
                Ne AddJNeRR64 AddJNeRI64 AddJNeRR32 AddJNeRI32;
                Gt AddJGtRR64 AddJGtRI64 AddJGtRR32 AddJGtRI32;
                Ge AddJGeRR64 AddJGeRI64 AddJGeRR32 AddJGeRI32;
                Lt AddJLtRR64 AddJLtRI64 AddJLtRR32 AddJLtRI32;
                Le AddJLeRR64 AddJLeRI64 AddJLeRR32 AddJLeRI32;
                Sgt AddJSgtRR64 AddJSgtRI64 AddJSgtRR32 AddJSgtRI32;
                Sge AddJSgeRR64 AddJSgeRI64 AddJSgeRR32 AddJSgeRI32;
                Slt AddJSltRR64 AddJSltRI64 AddJSltRR32 AddJSltRI32;
                Sle AddJSleRR64 AddJSleRI64 AddJSleRR32 AddJSleRI32;
            }
            // dst = *(size *)(base + off): access type, type whose sign counts
            load {
                LoadU8 u8 u8;
                LoadU16 u16 u16;
                LoadU32 u32 u32;
                LoadU64 u64 u64;
                LoadS8 u8 i8;
                LoadS16 u16 i16;
                LoadS32 u32 i32;
            }
            // *(size *)(base + off) = register or immediate
            store {
                StoreR8 StoreI8 u8 B1;
                StoreR16 StoreI16 u16 B2;
                StoreR32 StoreI32 u32 B4;
                StoreR64 StoreI64 u64 B8;
            }
            // dst = zero-extended *(size *)(base + off); acc = acc op dst
            load_alu {
                LoadAdd64U8 u8 B1 alu64 Add W64;
                LoadAdd64U16 u16 B2 alu64 Add W64;
                LoadAdd64U32 u32 B4 alu64 Add W64;
                LoadAdd64U64 u64 B8 alu64 Add W64;
                LoadAdd32U8 u8 B1 alu32 Add W32;
                LoadAdd32U16 u16 B2 alu32 Add W32;
                LoadAdd32U32 u32 B4 alu32 Add W32;
                LoadAdd32U64 u64 B8 alu32 Add W32;
                LoadXor64U8 u8 B1 alu64 Xor W64;
                LoadXor64U16 u16 B2 alu64 Xor W64;
                LoadXor64U32 u32 B4 alu64 Xor W64;
                LoadXor64U64 u64 B8 alu64 Xor W64;
            }
            // dst = zero-extended *(size *)(base + off); if dst cond imm goto target, over 64 bits
            load_branch {
                LoadJEqU8 u8 B1 Eq;
                LoadJEqU16 u16 B2 Eq;
                LoadJEqU32 u32 B4 Eq;
                LoadJEqU64 u64 B8 Eq;
                LoadJNeU8 u8 B1 Ne;
                LoadJNeU16 u16 B2 Ne;
                LoadJNeU32 u32 B4 Ne;
                LoadJNeU64 u64 B8 Ne;
            }
        }
    };
}
pub(crate) use op_tables;

macro_rules! define {
    (
        alu { $($alu:ident $alu_rr64:ident $alu_ri64:ident $alu_rr32:ident $alu_ri32:ident;)* }
        alu3 { $($alu3:ident $alu3_rr64:ident $alu3_ri64:ident $alu3_rr32:ident $alu3_ri32:ident;)* }
        branch { $($br:ident $br_rr64:ident $br_ri64:ident $br_rr32:ident $br_ri32:ident;)* }
        add_branch { $($ab:ident $ab_rr64:ident $ab_ri64:ident $ab_rr32:ident $ab_ri32:ident;)* }
        load { $($load:ident $load_word:ident $load_as:ident;)* }
        store { $($store_r:ident $store_i:ident $store_word:ident $store_size:ident;)* }
        load_alu { $($la:ident $la_word:ident $la_size:ident $la_handler:ident $la_op:ident $la_width:ident;)* }
        load_branch { $($lb:ident $lb_word:ident $lb_size:ident $lb_cond:ident;)* }
    ) => {
        /// One operation of the compact code.
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub(crate) enum Op {
            $($alu_rr64(R, R), $alu_ri64(R, i32), $alu_rr32(R, R), $alu_ri32(R, i32),)*
            /// dst, a, src.
            $($alu3_rr64(R, R, R), $alu3_ri64(R, R, i32), $alu3_rr32(R, R, R), $alu3_ri32(R, R, i32),)*
            $($br_rr64(R, R, u32), $br_ri64(R, i32, u32), $br_rr32(R, R, u32), $br_ri32(R, i32, u32),)*
            /// dst, what is added, what is compared with, target.
            $($ab_rr64(R, i32, R, u32), $ab_ri64(R, i32, i32, u32), $ab_rr32(R, i32, R, u32), $ab_ri32(R, i32, i32, u32),)*
            /// dst, base, offset.
            $($load(R, R, i32),)*
            /// base, offset, value.
            $($store_r(R, i32, R), $store_i(R, i32, i32),)*
            /// dst, base, offset, acc.
            $($la(R, R, i32, R),)*
            /// dst, base, offset, what is compared with, target.
            $($lb(R, R, i16, i32, u32),)*
            Neg64(R),
            Neg32(R),
            Mov64(R, R),
            Mov32(R, R),
            /// Two moves: first dst and src, then the second's.
            MovMov(R, R, R, R),
            Const(R, u64),
            Sx8To64(R, R),
            Sx16To64(R, R),
            Sx32To64(R, R),
            Sx8To32(R, R),
            Sx16To32(R, R),
            Swap16(R),
            Swap32(R),
            Swap64(R),
            Trunc16(R),
            /// base, offset, operand.
            Atomic32 { op: AtomicOp, fetch: bool, base: R, off: i32, src: R },
            Atomic64 { op: AtomicOp, fetch: bool, base: R, off: i32, src: R },
            LoadAcquire(Size, R, R, i32),
            StoreRelease(Size, R, i32, R),
            PacketLoad { size: Size, index: Option<R>, imm: i32 },
            /// Index into the code's callees.
            CallNative(u32),
            /// First operation of the function, and bytes of its frame.
            CallFunc { target: u32, frame: u32 },
            Throw,
            TailCall,
            Jump(u32),
            /// Target if no round is left.
            MayGoto(u32),
            Return,
            Unreachable,
        }

        impl Op {
            pub(crate) fn alu(op: AluOp, width: Width, dst: R, src: Operand) -> Op {
                match (op, width, src) {
                    $(
                        (AluOp::$alu, Width::W64, Operand::Reg(src)) => Op::$alu_rr64(dst, src.into()),
                        (AluOp::$alu, Width::W64, Operand::Imm(imm)) => Op::$alu_ri64(dst, imm),
                        (AluOp::$alu, Width::W32, Operand::Reg(src)) => Op::$alu_rr32(dst, src.into()),
                        (AluOp::$alu, Width::W32, Operand::Imm(imm)) => Op::$alu_ri32(dst, imm),
                    )*
                }
            }

            /// `None` where there is no such operation: division is slow enough alone.
            pub(crate) fn alu3(op: AluOp, width: Width, dst: R, a: R, src: Operand) -> Option<Op> {
                Some(match (op, width, src) {
                    $(
                        (AluOp::$alu3, Width::W64, Operand::Reg(src)) => Op::$alu3_rr64(dst, a, src.into()),
                        (AluOp::$alu3, Width::W64, Operand::Imm(imm)) => Op::$alu3_ri64(dst, a, imm),
                        (AluOp::$alu3, Width::W32, Operand::Reg(src)) => Op::$alu3_rr32(dst, a, src.into()),
                        (AluOp::$alu3, Width::W32, Operand::Imm(imm)) => Op::$alu3_ri32(dst, a, imm),
                    )*
                    (AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod, _, _) => return None,
                })
            }

            pub(crate) fn branch(cond: CmpOp, width: Width, dst: R, src: Operand, target: u32) -> Op {
                match (cond, width, src) {
                    $(
                        (CmpOp::$br, Width::W64, Operand::Reg(src)) => Op::$br_rr64(dst, src.into(), target),
                        (CmpOp::$br, Width::W64, Operand::Imm(imm)) => Op::$br_ri64(dst, imm, target),
                        (CmpOp::$br, Width::W32, Operand::Reg(src)) => Op::$br_rr32(dst, src.into(), target),
                        (CmpOp::$br, Width::W32, Operand::Imm(imm)) => Op::$br_ri32(dst, imm, target),
                    )*
                }
            }

            /// `None` for tests of bits, which do not end loops.
            pub(crate) fn add_branch(cond: CmpOp, width: Width, dst: R, add: i32, src: Operand, target: u32) -> Option<Op> {
                Some(match (cond, width, src) {
                    $(
                        (CmpOp::$ab, Width::W64, Operand::Reg(src)) => Op::$ab_rr64(dst, add, src.into(), target),
                        (CmpOp::$ab, Width::W64, Operand::Imm(imm)) => Op::$ab_ri64(dst, add, imm, target),
                        (CmpOp::$ab, Width::W32, Operand::Reg(src)) => Op::$ab_rr32(dst, add, src.into(), target),
                        (CmpOp::$ab, Width::W32, Operand::Imm(imm)) => Op::$ab_ri32(dst, add, imm, target),
                    )*
                    (CmpOp::Set, _, _) => return None,
                })
            }

            pub(crate) fn store(size: Size, base: R, off: i32, src: Operand) -> Op {
                match (size, src) {
                    $(
                        (Size::$store_size, Operand::Reg(src)) => Op::$store_r(base, off, src.into()),
                        (Size::$store_size, Operand::Imm(imm)) => Op::$store_i(base, off, imm),
                    )*
                }
            }

            /// `None` where there is no such operation.
            pub(crate) fn load_alu(size: Size, dst: R, base: R, off: i32, op: AluOp, width: Width, acc: R) -> Option<Op> {
                match (size, op, width) {
                    $((Size::$la_size, AluOp::$la_op, Width::$la_width) => Some(Op::$la(dst, base, off, acc)),)*
                    _ => None,
                }
            }

            /// `None` where there is no such operation.
            pub(crate) fn load_branch(size: Size, dst: R, base: R, off: i16, cond: CmpOp, imm: i32, target: u32) -> Option<Op> {
                match (size, cond) {
                    $((Size::$lb_size, CmpOp::$lb_cond) => Some(Op::$lb(dst, base, off, imm, target)),)*
                    _ => None,
                }
            }

            /// Where the operation may lead besides the next one.
            pub(crate) fn target_mut(&mut self) -> Option<&mut u32> {
                match self {
                    $(Op::$br_rr64(.., to) | Op::$br_ri64(.., to) | Op::$br_rr32(.., to) | Op::$br_ri32(.., to) => Some(to),)*
                    $(Op::$ab_rr64(.., to) | Op::$ab_ri64(.., to) | Op::$ab_rr32(.., to) | Op::$ab_ri32(.., to) => Some(to),)*
                    $(Op::$lb(.., to) => Some(to),)*
                    Op::Jump(to) | Op::MayGoto(to) | Op::CallFunc { target: to, .. } => Some(to),
                    _ => None,
                }
            }
        }
    };
}
op_tables!(define);

const _: () = assert!(size_of::<Op>() == 16, "an operation of the compact code is 16 bytes");

impl Op {
    pub(crate) fn load(size: Size, signed: bool, dst: R, base: R, off: i32) -> Op {
        match (size, signed) {
            (Size::B1, false) => Op::LoadU8(dst, base, off),
            (Size::B2, false) => Op::LoadU16(dst, base, off),
            (Size::B4, false) => Op::LoadU32(dst, base, off),
            (Size::B8, _) => Op::LoadU64(dst, base, off),
            (Size::B1, true) => Op::LoadS8(dst, base, off),
            (Size::B2, true) => Op::LoadS16(dst, base, off),
            (Size::B4, true) => Op::LoadS32(dst, base, off),
        }
    }

    /// Whether the next operation is never run after this one.
    pub(crate) fn ends(&self) -> bool {
        matches!(self, Op::Jump(_) | Op::Return | Op::Throw | Op::Unreachable)
    }
}
