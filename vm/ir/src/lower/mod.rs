//! From a proof (or from bare control-flow checks) to IR.
//!
//! Lowering cuts what no verified path reaches, splits functions into blocks, turns context accesses into native ones, and
//! resolves what instructions name into ids of the IR's tables.

mod blocks;
mod func;
mod op;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use backstop_isa::{Instr, Operand, Reg, Width, decode};
use backstop_model::{BuiltinKfunc, KfuncIdentity, Program};
use backstop_verifier::{Facts, SlotFact, Subprogram, Verified};

use crate::{Block, Callee, CalleeId, Func, FuncId, Ir, Op, OpId, OpKind, Position, Proven, Role, Term, Unproven};

/// Why a program has no IR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// An instruction that can't be decoded stands where control can reach it.
    #[error("instruction {slot}: {reason}")]
    Decode {
        /// The slot.
        slot: u32,
        /// The decoder's words.
        reason: String,
    },
    /// A jump or call leads out of its function or into the middle of an instruction.
    #[error("instruction {slot}: jump to {target} leaves the function or splits an instruction")]
    BadTarget {
        /// The slot.
        slot: u32,
        /// The target slot.
        target: i64,
    },
    /// Control runs past the end of a function.
    #[error("instruction {slot}: control runs off the end of the function")]
    RunsOff {
        /// The last slot.
        slot: u32,
    },
    /// The IR has no form for this instruction yet.
    #[error(
        "instruction {slot}: {what} has no implementation in the engines yet; the program can be verified but not run"
    )]
    Unsupported {
        /// The slot.
        slot: u32,
        /// What it is.
        what: String,
    },
    /// A table index of the program is out of range.
    #[error("instruction {slot}: {table} {index} does not exist")]
    BadIndex {
        /// The slot.
        slot: u32,
        /// Which table.
        table: &'static str,
        /// The index.
        index: i64,
    },
    /// The proof exports nothing of an access that it reached: a defect of the verifier.
    #[error("instruction {slot}: the proof does not say what this access reaches")]
    MissingFact {
        /// The slot.
        slot: u32,
    },
    /// The program has no instruction.
    #[error("the program is empty")]
    Empty,
    /// A program that nobody proved writes its frame pointer.
    #[error("instruction {slot}: r10, the frame pointer, is read-only; copy it to another register first")]
    FramePointer {
        /// The slot.
        slot: u32,
    },
    /// A program that nobody proved has more functions than the verifier would take.
    #[error("the program has {count} functions, more than {MAX_FUNCTIONS}")]
    TooManyFunctions {
        /// How many.
        count: usize,
    },
    /// A program that nobody proved has an instruction whose CO-RE relocation found nothing.
    #[error("instruction {slot}: its CO-RE relocation found no match: {wanted}")]
    Poisoned {
        /// The slot.
        slot: u32,
        /// What was wanted.
        wanted: String,
    },
}

/// Functions of a program at most (Linux: `BPF_MAX_SUBPROGS`).
const MAX_FUNCTIONS: usize = 256;

/// Lowers a proved program.
///
/// # Errors
/// [`LowerError::Unsupported`] for what the verifier judges but no engine runs; the others are defects of the proof.
pub fn lower(verified: &Verified) -> Result<Ir<Proven>, LowerError> {
    let facts = verified.facts();
    let named = blocks::named_functions(verified.program(), facts);
    let keep = |s: &Subprogram| {
        let entered = s.reached && (facts.throws || !s.in_exception_callback);
        entered || named.contains(&s.start)
    };
    let mut spans = Vec::new();
    for (index, sub) in facts.subprograms.iter().enumerate().filter(|(_, s)| keep(s)) {
        let role = if index == 0 {
            Role::Main
        } else if facts.exception_callback == Some(index) {
            Role::ExceptionCallback { hidden: false }
        } else {
            Role::Subprogram { callback: sub.callback || named.contains(&sub.start) }
        };
        let stack = sub.stack_depth.next_multiple_of(8);
        spans.push(Span { start: sub.start, end: sub.end, name: sub.name.clone(), role, stack });
    }
    let mut lowering = Lowering::new(verified.program(), Some(facts), spans)?;
    lowering.functions()?;
    let custom = lowering.spans.iter().position(|s| matches!(s.role, Role::ExceptionCallback { .. }));
    let callback = match (facts.throws, custom) {
        (false, _) => None,
        (true, Some(i)) => Some(FuncId(i as u32)),
        (true, None) => Some(lowering.hidden_callback()),
    };
    Ok(lowering.finish(callback))
}

/// Lowers a program on which nothing was proved: every instruction decodes, none writes r10 (which the BPF ABI has read-only), jumps and calls
/// lead to instructions of their function and to functions, control never runs off an end, and what is named is in its table.
///
/// Functions are what is called or has its address taken; each gets a whole stack. Context accesses stay as the program wrote them.
///
/// # Errors
/// Any [`LowerError`]; the first rule found broken.
pub fn lower_unproven(program: &Arc<Program>) -> Result<Ir<Unproven>, LowerError> {
    if let Some(poisoned) = program.poisoned.first() {
        return Err(LowerError::Poisoned { slot: poisoned.slot, wanted: poisoned.wanted.clone() });
    }
    let spans = blocks::discover_functions(program)?;
    if spans.len() > MAX_FUNCTIONS {
        return Err(LowerError::TooManyFunctions { count: spans.len() });
    }
    let mut lowering = Lowering::new(program, None, spans)?;
    lowering.functions()?;
    let callback = lowering.throws.then(|| lowering.hidden_callback());
    Ok(lowering.finish(callback))
}

/// A function's place in the program.
struct Span {
    start: u32,
    end: u32,
    name: String,
    role: Role,
    stack: u32,
}

/// State of one lowering.
struct Lowering<'a> {
    program: &'a Arc<Program>,
    facts: Option<&'a Facts>,
    /// Decoded instruction of each slot that starts one, in functions that are kept.
    instrs: Vec<Option<Instr>>,
    spans: Vec<Span>,
    funcs: Vec<Func>,
    callees: Vec<Callee>,
    callee_ids: BTreeMap<(u8, u32), CalleeId>,
    positions: Vec<Position>,
    throws: bool,
}

impl<'a> Lowering<'a> {
    fn new(program: &'a Arc<Program>, facts: Option<&'a Facts>, spans: Vec<Span>) -> Result<Self, LowerError> {
        if program.slots.is_empty() || spans.is_empty() {
            return Err(LowerError::Empty);
        }
        let mut instrs = vec![None; program.slots.len()];
        for span in &spans {
            let mut at = span.start as usize;
            while at < (span.end as usize).min(instrs.len()) {
                let instr = decode(&program.slots, at)
                    .map_err(|e| LowerError::Decode { slot: at as u32, reason: e.to_string() })?;
                instrs[at] = Some(instr);
                at += instr.slots();
            }
        }
        Ok(Lowering {
            program,
            facts,
            instrs,
            spans,
            funcs: Vec::new(),
            callees: Vec::new(),
            callee_ids: BTreeMap::new(),
            positions: Vec::new(),
            throws: false,
        })
    }

    fn functions(&mut self) -> Result<(), LowerError> {
        for index in 0..self.spans.len() {
            let func = self.function(index)?;
            self.funcs.push(func);
        }
        Ok(())
    }

    /// `r0 = r1; exit`: makes the cookie the result where a program names no callback of its own.
    fn hidden_callback(&mut self) -> FuncId {
        let id = FuncId(self.funcs.len() as u32);
        let hidden = Position { slot: None, func: id, inlined_at: None };
        let first = OpId(self.positions.len() as u32);
        self.positions.extend([hidden, hidden]);
        let mov = OpKind::Mov { width: Width::W64, dst: Reg::R0, src: Operand::Reg(Reg::R1) };
        self.funcs.push(Func {
            name: "<exception callback>".to_owned(),
            role: Role::ExceptionCallback { hidden: true },
            blocks: vec![Block {
                ops: vec![Op { id: first, kind: mov }],
                term: Term::Return,
                term_id: OpId(first.0 + 1),
            }],
            stack: 0,
            writes: [false; 4],
            may_goto: false,
            tail_calls: false,
        });
        id
    }

    fn finish<S>(self, exception_callback: Option<FuncId>) -> Ir<S> {
        Ir {
            funcs: self.funcs,
            callees: self.callees,
            positions: self.positions,
            exception_callback,
            program: Arc::clone(self.program),
            state: PhantomData,
        }
    }

    fn instr(&self, slot: u32) -> Option<Instr> {
        self.instrs.get(slot as usize).copied().flatten()
    }

    fn fact(&self, slot: u32) -> Option<&SlotFact> {
        self.facts.and_then(|f| f.slots.get(slot as usize))
    }

    /// Without a proof everything counts as reached.
    fn reached(&self, slot: u32) -> bool {
        self.facts.is_none() || self.fact(slot).is_some_and(|f| f.reached)
    }

    fn func_at(&self, slot: u32, target: i64) -> Result<FuncId, LowerError> {
        let found = self.spans.iter().position(|s| i64::from(s.start) == target);
        found.map(|i| FuncId(i as u32)).ok_or(LowerError::BadTarget { slot, target })
    }

    /// Whether a function that the proof knows, but that was left out, starts there.
    fn is_unreached_function(&self, target: i64) -> bool {
        let known = self.facts.map(|f| f.subprograms.as_slice()).unwrap_or_default();
        known.iter().any(|s| i64::from(s.start) == target && !s.reached)
    }

    fn callee(&mut self, callee: Callee) -> CalleeId {
        let key = match callee {
            Callee::Helper(n) => (0, n),
            Callee::Kfunc(n) => (1, n),
        };
        let next = CalleeId(self.callees.len() as u32);
        let id = *self.callee_ids.entry(key).or_insert(next);
        if id == next {
            self.callees.push(callee);
        }
        id
    }

    fn is_throw(&self, kfunc: i32) -> bool {
        let found = usize::try_from(kfunc).ok().and_then(|i| self.program.kfuncs.get(i));
        found.is_some_and(|k| k.identity == KfuncIdentity::Builtin(BuiltinKfunc::Throw))
    }
}
