//! The whole image: order of functions, the two rounds, tables.

use backstop_ir::{Func, FuncId, Role};

use super::frame::Frame;
use super::{Found, Lowering, stack};
use crate::emit::Label;
use crate::error::CompileError;
use crate::image::{Boundary, Image, ImageFunc};
use crate::jumps::JumpPlan;
use crate::live::RegSet;
use crate::masm::{Finished, Masm};
use crate::options::CompileOptions;

/// Functions start at multiples of this.
const FUNCTION_ALIGN: usize = 16;

/// Compiles a program's functions.
pub(crate) fn image(funcs: &[Func], callback: Option<FuncId>, options: &CompileOptions) -> Result<Image, CompileError> {
    let near = JumpPlan::default();
    let found: Vec<Found> = funcs.iter().map(|func| Found::of(func, options)).collect();
    let program = Functions { funcs, found: &found, callback };
    let (long, plan) = round(program, options, &near)?;
    if !plan.shortens() {
        return Ok(long);
    }
    match round(program, options, &plan) {
        Ok((short, _)) => Ok(short),
        // A jump that the plan thought short does not reach: what has been made is right all the same.
        Err(CompileError::TooLarge { .. }) => Ok(long),
        Err(other) => Err(other),
    }
}

/// What both rounds compile.
#[derive(Clone, Copy)]
struct Functions<'c> {
    funcs: &'c [Func],
    found: &'c [Found],
    callback: Option<FuncId>,
}

fn round(program: Functions<'_>, options: &CompileOptions, plan: &JumpPlan) -> Result<(Image, JumpPlan), CompileError> {
    let Functions { funcs, callback, .. } = program;
    let mut m = Masm::new(plan);
    let entries: Vec<Label> = funcs.iter().map(|_| m.new_label()).collect();
    let mut spans = Vec::with_capacity(funcs.len());
    for id in order(funcs, callback)? {
        m.align_function(FUNCTION_ALIGN);
        spans.push(function(&mut m, program, &entries, id, options)?);
    }
    let native_stack = stack::deepest(funcs, callback, &spans)?;
    let finished = m.finish().map_err(|bytes| CompileError::TooLarge { bytes })?;
    assemble(finished, spans, callback, native_stack)
}

/// Main first, the exception callback last.
fn order(funcs: &[Func], callback: Option<FuncId>) -> Result<Vec<FuncId>, CompileError> {
    let malformed = |what| CompileError::Malformed { what, func: 0 };
    match funcs.first().map(|f| f.role) {
        Some(Role::Main) => {}
        _ => return Err(malformed("the first function is not the main function")),
    }
    if callback.is_some_and(|c| c.0 == 0 || c.0 as usize >= funcs.len()) {
        return Err(malformed("the exception callback is not a function of its own"));
    }
    let all = (0..funcs.len() as u32).map(FuncId);
    Ok(all.filter(|&id| Some(id) != callback).chain(callback).collect())
}

/// A function's place in the code.
pub(super) struct Span {
    pub(super) id: FuncId,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) frame: u32,
    pub(super) saved: Vec<(u8, u32)>,
    pub(super) leaves_through: bool,
}

fn function(
    m: &mut Masm<'_>,
    program: Functions<'_>,
    entries: &[Label],
    id: FuncId,
    options: &CompileOptions,
) -> Result<Span, CompileError> {
    let malformed = |what| CompileError::Malformed { what, func: id.0 };
    let Functions { funcs, found, callback } = program;
    let func = funcs.get(id.0 as usize).ok_or_else(|| malformed("no such function"))?;
    let found = found.get(id.0 as usize).ok_or_else(|| malformed("no such function"))?;
    let entry = entries.get(id.0 as usize).copied().ok_or_else(|| malformed("no such function"))?;
    let first = func.blocks.first().ok_or_else(|| malformed("a function without code"))?;
    let first_op = first.ops.first().map_or(first.term_id, |op| op.id);
    let frame = Frame::of(func, callback.is_some()).ok_or_else(|| malformed("the BPF stack is too large"))?;
    let start = m.e.offset();
    let (frame_bytes, saved) = (frame.bytes(), frame.saved());
    m.bind(entry);
    m.mark(first_op);
    let blocks = func.blocks.iter().map(|_| m.new_label()).collect();
    let mut lowering = Lowering {
        m,
        options,
        funcs,
        entries,
        id,
        func,
        frame,
        blocks,
        found,
        next: None,
        op: first_op,
        live: RegSet::default(),
        cold: Vec::new(),
        leaves_through: false,
    };
    lowering.prologue();
    lowering.body()?;
    let leaves_through = lowering.leaves_through;
    Ok(Span { id, start, end: m.e.offset(), frame: frame_bytes, saved, leaves_through })
}

fn assemble(
    finished: Finished,
    spans: Vec<Span>,
    callback: Option<FuncId>,
    native_stack: u32,
) -> Result<(Image, JumpPlan), CompileError> {
    // `finish` has checked that all of it is below 2 GiB.
    let narrow = |table: Vec<(usize, _)>| table.into_iter().map(|(at, op)| (at as u32, op)).collect();
    let leaves_through = spans.iter().any(|s| s.leaves_through);
    let funcs: Vec<ImageFunc> = spans
        .into_iter()
        .map(|s| ImageFunc { func: s.id, start: s.start as u32, end: s.end as u32, frame: s.frame, saved: s.saved })
        .collect();
    let boundary = match (callback, funcs.first()) {
        (Some(id), Some(main)) => {
            funcs.iter().find(|f| f.func == id).map(|f| Boundary { sp_below_rbp: main.frame, callback: f.start })
        }
        _ => None,
    };
    let image = Image {
        code: finished.code,
        pool: finished.pool,
        funcs,
        boundary,
        pcs: narrow(finished.pcs),
        returns: narrow(finished.returns),
        leaves_through,
        native_stack,
    };
    Ok((image, finished.next_plan))
}
