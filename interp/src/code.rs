//! A program in compact code.

use std::fmt;

use backstop_ir::{BrokenIr, CalleeId, Ir, MapId, Proven};

use crate::lower::Lowering;
use crate::op::Op;

/// What the runtime puts in the place of what the IR names.
pub struct Bindings<'a, C> {
    /// Address of a map's native object: what helpers get for it.
    pub map_addr: &'a dyn Fn(MapId) -> u64,
    /// Address of an array map's first value plus a byte offset.
    pub map_value_addr: &'a dyn Fn(MapId, u32) -> u64,
    /// What the services call for a callee.
    pub callee: &'a dyn Fn(CalleeId) -> C,
    /// Names this code in the frames that a throw reports.
    pub code_id: u64,
}

/// Why there is no compact code for an IR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The interpreter has no form for an operation.
    #[error("operation {op}: the interpreter does not run {what} yet")]
    Unsupported {
        /// The IR operation.
        op: u32,
        /// What it is.
        what: &'static str,
    },
    /// A function's frame is larger than a program may have.
    #[error("function `{func}` uses {stack} bytes of stack, more than {max}", max = backstop_abi::MAX_STACK)]
    FrameTooLarge {
        /// The function.
        func: String,
        /// Bytes.
        stack: u32,
    },
    /// More operations than an index can name.
    #[error("the program has too many operations")]
    TooLarge,
    /// A defect of the lowering to IR.
    #[error(transparent)]
    Broken(#[from] BrokenIr),
}

/// A program that the interpreter can run. `C` stands for a native callee.
pub struct Code<C> {
    /// All functions, one after the other; see [`crate::op`] for the invariants.
    pub(crate) ops: Box<[Op]>,
    /// IR operation that each began as, beside `ops`.
    pub(crate) ids: Box<[u32]>,
    pub(crate) funcs: Box<[Function]>,
    pub(crate) callees: Box<[C]>,
    /// Index into `funcs`.
    pub(crate) exception_callback: Option<u32>,
    pub(crate) code_id: u64,
}

/// A function of a [`Code`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    /// Its first operation.
    pub(crate) entry: u32,
    /// Bytes of BPF stack.
    pub(crate) frame: u32,
    /// Native code may call it.
    pub(crate) callback: bool,
}

impl<C> Code<C> {
    /// Makes compact code.
    ///
    /// # Errors
    /// Any [`CompileError`].
    pub fn new(ir: &Ir<Proven>, bindings: &Bindings<'_, C>) -> Result<Code<C>, CompileError> {
        ir.check()?;
        let (ops, ids, funcs) = Lowering::new(ir, bindings.map_addr, bindings.map_value_addr).run()?;
        let callees = (0..ir.callees().len() as u32).map(|i| (bindings.callee)(CalleeId(i))).collect();
        Ok(Code {
            ops,
            ids,
            funcs,
            callees,
            exception_callback: ir.exception_callback().map(|f| f.0),
            code_id: bindings.code_id,
        })
    }

    /// Bytes that operations take, without tables.
    pub fn size(&self) -> usize {
        size_of_val(&*self.ops)
    }

    pub(crate) fn func(&self, index: u32) -> Option<Function> {
        self.funcs.get(index as usize).copied()
    }

    /// The IR operation that an operation began as.
    pub(crate) fn id(&self, pc: usize) -> u32 {
        self.ids.get(pc).copied().unwrap_or(u32::MAX)
    }
}

/// One operation a line, with its index; functions begin with `fN:`.
impl<C> fmt::Display for Code<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, op) in self.ops.iter().enumerate() {
            if let Some(func) = self.funcs.iter().position(|func| func.entry as usize == index) {
                writeln!(f, "f{func}:")?;
            }
            writeln!(f, "{index:5}  {op:?}")?;
        }
        Ok(())
    }
}

impl<C> fmt::Debug for Code<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("ops", &self.ops.len()).field("code_id", &self.code_id).finish_non_exhaustive()
    }
}
