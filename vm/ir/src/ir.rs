//! The verified IR: what both engines run.
//!
//! It keeps BPF's registers, in basic blocks. Dead code is gone, maps and calls are resolved to tables, context accesses are
//! native accesses, memory accesses carry their region. Invariants (checked by [`crate::Ir::check`], relied on by the engines):
//!
//! - `funcs[0]` is the main function; block 0 of a function is its entry; every target is in range.
//! - Operation ids are dense and unique over the program, in the order of `funcs`, blocks and operations; a block's terminator has the id after its
//!   last operation's. Tables name operation ids only, never registers, positions or frame offsets.
//! - An operation after which nothing runs (`Throw`, a call that never returns) is the last of its block, and the
//!   block's terminator is [`Term::Unreachable`].
//!
//! `State` says who vouches: [`Proven`] comes from [`crate::lower`] only, [`Unproven`] from [`crate::lower_unproven`].

use std::marker::PhantomData;
use std::sync::Arc;

use backstop_isa::{AluOp, AtomicOp, ByteOrder, CmpOp, Operand, Reg, Size, Width};
use backstop_model::{Kfunc, MapSpec, Program};

/// The program was proved safe; engines may run it without checks.
#[derive(Clone, Copy, Debug)]
pub enum Proven {}

/// Decoding and control-flow checks alone; only the checked interpreter takes it.
#[derive(Clone, Copy, Debug)]
pub enum Unproven {}

/// A program in IR.
#[derive(Clone, Debug)]
pub struct Ir<State> {
    /// Functions, main first; a hidden exception callback, if any, is the last.
    pub(crate) funcs: Vec<Func>,
    /// What calls name.
    pub(crate) callees: Vec<Callee>,
    /// Where each operation came from, by id.
    pub(crate) positions: Vec<Position>,
    /// The exception callback; `Some` exactly if the main function is a boundary.
    pub(crate) exception_callback: Option<FuncId>,
    /// The program that this was made from: maps, kfuncs, source lines.
    pub(crate) program: Arc<Program>,
    pub(crate) state: PhantomData<State>,
}

/// Index into [`Ir::funcs`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FuncId(pub u32);

/// Index into [`Func::blocks`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockId(pub u32);

/// Identity of an operation or terminator over the whole program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId(pub u32);

/// Index into [`Ir::callees`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CalleeId(pub u32);

/// Index into the program's map table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MapId(pub u32);

/// Where an operation came from. With inlining, `inlined_at` leads to the call that it was inlined at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Slot in the program; `None` for hidden code.
    pub slot: Option<u32>,
    /// The function it belongs to.
    pub func: FuncId,
    /// The call operation that this one was inlined at.
    pub inlined_at: Option<OpId>,
}

/// What a function is to the engines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Entered by the host or by a tail call.
    Main,
    /// Called by the program's own code, and by native code if `callback`.
    Subprogram {
        /// Native code may call it (its address is taken).
        callback: bool,
    },
    /// Entered by a throw only. Its single argument is the cookie.
    ExceptionCallback {
        /// Made by the lowering: `r0 = r1; exit`.
        hidden: bool,
    },
}

/// A function.
#[derive(Clone, Debug)]
pub struct Func {
    /// Name from BTF (`<exception callback>` if hidden).
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Basic blocks, entry first, in the program's order.
    pub blocks: Vec<Block>,
    /// Bytes of BPF stack, a multiple of 8.
    pub stack: u32,
    /// Whether r6, r7, r8, r9 are written by this function itself.
    pub writes: [bool; 4],
    /// It has a `may_goto` counter (a hidden cell, [`backstop_abi::MAY_GOTO_ROUNDS`] at entry).
    pub may_goto: bool,
    /// It contains a tail call.
    pub tail_calls: bool,
}

/// A basic block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Operations.
    pub ops: Vec<Op>,
    /// How it ends.
    pub term: Term,
    /// Identity of the terminator.
    pub term_id: OpId,
}

/// An operation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Op {
    /// Identity.
    pub id: OpId,
    /// What it does.
    pub kind: OpKind,
}

/// What an access's base points to. Engines may treat all but `Probe` and `Arena` as plain memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mem {
    /// BPF stack of this or a caller's frame.
    Stack,
    /// The native context.
    Ctx,
    /// Packet.
    Packet,
    /// Map value.
    MapValue,
    /// Other exact regions, or several of the above by path.
    Plain,
    /// Loads only: a fault gives 0 (stale kernel-typed objects).
    Probe,
    /// Offset into the arena.
    Arena,
    /// Not proved ([`Unproven`] only).
    Unknown,
}

/// What leaves a call other than by return. (Landing pads will be a third variant.)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unwind {
    /// Nothing can end in it.
    Never,
    /// The end passes on to the caller.
    Propagate,
}

/// Operations. Registers are BPF's; offsets and sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum OpKind {
    /// dst = dst op src
    Alu {
        /** Width. */
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
        /** Width. */
        width: Width,
        /** Destination. */
        dst: Reg,
    },
    /// dst = src
    Mov {
        /** Width. */
        width: Width,
        /** Destination. */
        dst: Reg,
        /** Source. */
        src: Operand,
    },
    /// dst = sign-extended low `from` bytes of src
    MovSx {
        /** Width. */
        width: Width,
        /** Bytes that count. */
        from: Size,
        /** Destination. */
        dst: Reg,
        /** Source. */
        src: Reg,
    },
    /// Byte order conversion
    End {
        /** Kind. */
        order: ByteOrder,
        /** Bytes. */
        size: Size,
        /** Destination. */
        dst: Reg,
    },
    /// dst = constant
    Const {
        /** Destination. */
        dst: Reg,
        /** Value. */
        value: u64,
    },
    /// dst = address of a map's native object
    MapAddr {
        /** Destination. */
        dst: Reg,
        /** Map. */
        map: MapId,
    },
    /// dst = address of an array map's first value + off
    MapValueAddr {
        /** Destination. */
        dst: Reg,
        /** Map. */
        map: MapId,
        /** Byte offset. */
        off: u32,
    },
    /// dst = what native code needs to call this function back
    FuncAddr {
        /** Destination. */
        dst: Reg,
        /** Function. */
        func: FuncId,
    },
    /// dst = arena pointer cast between address spaces
    AddrSpaceCast {
        /** Destination. */
        dst: Reg,
        /** Source. */
        src: Reg,
        /** Target space. */
        to: u16,
        /** Source space. */
        from: u16,
    },
    /// dst = *(size *)(base + off), zero- or sign-extended
    Load {
        /** Size. */
        size: Size,
        /** Sign-extend to 64 bits. */
        signed: bool,
        /** Destination. */
        dst: Reg,
        /** Base. */
        base: Reg,
        /** Offset. */
        off: i32,
        /** Region. */
        mem: Mem,
    },
    /// *(size *)(base + off) = src
    Store {
        /** Size. */
        size: Size,
        /** Base. */
        base: Reg,
        /** Offset. */
        off: i32,
        /** Value. */
        src: Operand,
        /** Region. */
        mem: Mem,
    },
    /// Atomic read-modify-write, sequentially consistent if it fetches
    Atomic {
        /** Size. */
        size: Size,
        /** Operation. */
        op: AtomicOp,
        /** Old value to src (r0 for cmpxchg). */
        fetch: bool,
        /** Base. */
        base: Reg,
        /** Offset. */
        off: i32,
        /** Operand. */
        src: Reg,
        /** Region. */
        mem: Mem,
    },
    /// Load with acquire order, zero-extended
    LoadAcquire {
        /** Size. */
        size: Size,
        /** Destination. */
        dst: Reg,
        /** Base. */
        base: Reg,
        /** Offset. */
        off: i32,
        /** Region. */
        mem: Mem,
    },
    /// Store with release order
    StoreRelease {
        /** Size. */
        size: Size,
        /** Base. */
        base: Reg,
        /** Offset. */
        off: i32,
        /** Value. */
        src: Reg,
        /** Region. */
        mem: Mem,
    },
    /// r0 = big-endian packet load at imm + index (low 32 bits of the register); beyond the packet the function returns 0. Context in r6; r1-r5 are lost
    LegacyLoad {
        /** Size. */
        size: Size,
        /** Index register. */
        index: Option<Reg>,
        /** Offset. */
        imm: i32,
    },
    /// r0 = native callee(r1..r5)
    CallNative {
        /** Whom. */
        callee: CalleeId,
        /** How it may end. */
        unwind: Unwind,
    },
    /// r0 = function(r1..r5)
    CallFunc {
        /** Whom. */
        func: FuncId,
        /** How it may end. */
        unwind: Unwind,
    },
    /// bpf_throw(r1): never returns
    Throw,
    /// Tail call (r1 context, r2 map, r3 index): replaces this function's frame, or goes on with the next operation
    /// and r0 unchanged (the verifier treats r0 as unknown after it)
    TailCall {
        /** Map, if always the same. */
        map: Option<MapId>,
        /** Index, if always the same and in range. */
        index: Option<u32>,
    },
}

/// How a block ends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Term {
    /// Goes to a block.
    Jump(BlockId),
    /// Goes to `then` if dst op src, else to `otherwise`.
    Branch {
        /** Width. */
        width: Width,
        /** Condition. */
        op: CmpOp,
        /** First operand. */
        dst: Reg,
        /** Second operand. */
        src: Operand,
        /** Taken. */
        then: BlockId,
        /** Not taken. */
        otherwise: BlockId,
    },
    /// Takes one round from the function's counter: `exit` if none is left, else `next`.
    MayGoto {
        /** No round left. */
        exit: BlockId,
        /** Goes on. */
        next: BlockId,
    },
    /// Leaves the function with r0.
    Return,
    /// Never reached.
    Unreachable,
}

/// What a [`OpKind::CallNative`] calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Callee {
    /// A helper by Linux's number.
    Helper(u32),
    /// A kfunc, by index into [`Program::kfuncs`].
    Kfunc(u32),
}

impl<S> Ir<S> {
    /// Functions, main first.
    pub fn funcs(&self) -> &[Func] {
        &self.funcs
    }

    /// A function.
    pub fn func(&self, id: FuncId) -> Option<&Func> {
        self.funcs.get(id.0 as usize)
    }

    /// What native calls name.
    pub fn callees(&self) -> &[Callee] {
        &self.callees
    }

    /// Where an operation came from.
    pub fn position(&self, id: OpId) -> Option<&Position> {
        self.positions.get(id.0 as usize)
    }

    /// How many operations and terminators there are.
    pub fn op_count(&self) -> u32 {
        self.positions.len() as u32
    }

    /// The exception callback; `Some` exactly if the main function is a boundary.
    pub fn exception_callback(&self) -> Option<FuncId> {
        self.exception_callback
    }

    /// The program that this was made from.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Maps, by [`MapId`].
    pub fn maps(&self) -> &[Arc<MapSpec>] {
        &self.program.maps
    }

    /// A kfunc, by the index in [`Callee::Kfunc`].
    pub fn kfunc(&self, index: u32) -> Option<&Arc<Kfunc>> {
        self.program.kfuncs.get(index as usize)
    }
}
