//! A program in compact code.

use std::fmt;
use std::marker::PhantomData;

use backstop_ir::{BrokenIr, CalleeId, Ir, MapId, Proven};

use crate::checked::{Guarded, Marks, mark};
use crate::lower::{Form, Lowering};
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

/// A program that the interpreter can run. `C` stands for a native callee. `Mode` says how it may run: [`Proven`] without checks,
/// [`Guarded`] with a check of each access.
pub struct Code<C, Mode = Proven> {
    /// All functions, one after the other; see [`crate::op`] for the invariants.
    pub(crate) ops: Box<[Op]>,
    /// IR operation that each began as, beside `ops`.
    pub(crate) ids: Box<[u32]>,
    pub(crate) funcs: Box<[Function]>,
    pub(crate) callees: Box<[C]>,
    /// Index into `funcs`.
    pub(crate) exception_callback: Option<u32>,
    pub(crate) code_id: u64,
    /// Added to a function's index to make what the program holds as its address.
    pub(crate) func_base: u64,
    /// What the checked interpreter knows of each operation, beside `ops`; empty in proven code.
    pub(crate) marks: Box<[Marks]>,
    mode: PhantomData<fn() -> Mode>,
}

/// A program for the checked interpreter.
pub type CheckedCode<C> = Code<C, Guarded>;

/// A function of a [`Code`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    /// Its first operation.
    pub(crate) entry: u32,
    /// Bytes of BPF stack.
    pub(crate) frame: u32,
    /// Native code may call it.
    pub(crate) callback: bool,
    /// Its first slot in the program; `u32::MAX` for hidden code.
    pub(crate) slot: u32,
}

/// What functions' addresses are counted from in checked code: numbers that are no address of a process (bits 47 to 63 differ), so
/// that a watcher tells them from all others.
pub(crate) const CHECKED_FUNCTIONS: u64 = 0x0bcf_0000_0000_0000;

impl<C> Code<C> {
    /// Makes compact code.
    ///
    /// # Errors
    /// Any [`CompileError`].
    pub fn new(ir: &Ir<Proven>, bindings: &Bindings<'_, C>) -> Result<Code<C>, CompileError> {
        ir.check()?;
        Code::lowered(ir, bindings, Form::Fused)
    }
}

impl<C> CheckedCode<C> {
    /// Makes code for the checked interpreter, of a program that was proved or not. Nothing is fused: each instruction of the
    /// program is an operation of its own.
    ///
    /// # Errors
    /// Any [`CompileError`].
    pub fn checked<S>(ir: &Ir<S>, bindings: &Bindings<'_, C>) -> Result<CheckedCode<C>, CompileError> {
        ir.check()?;
        let mut code = Code::lowered(ir, bindings, Form::Single)?;
        code.marks = mark(ir, &code.ops, &code.ids)?;
        Ok(code)
    }
}

impl<C, Mode> Code<C, Mode> {
    fn lowered<S>(ir: &Ir<S>, bindings: &Bindings<'_, C>, form: Form) -> Result<Code<C, Mode>, CompileError> {
        let func_base = if form == Form::Single { CHECKED_FUNCTIONS } else { 0 };
        let (ops, ids, funcs) = Lowering::new(ir, bindings.map_addr, bindings.map_value_addr, form, func_base).run()?;
        let callees = (0..ir.callees().len() as u32).map(|i| (bindings.callee)(CalleeId(i))).collect();
        Ok(Code {
            ops,
            ids,
            funcs,
            callees,
            exception_callback: ir.exception_callback().map(|f| f.0),
            code_id: bindings.code_id,
            func_base,
            marks: Box::default(),
            mode: PhantomData,
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
impl<C, Mode> fmt::Display for Code<C, Mode> {
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

impl<C, Mode> fmt::Debug for Code<C, Mode> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("ops", &self.ops.len()).field("code_id", &self.code_id).finish_non_exhaustive()
    }
}
