//! `backstop disasm`: the instructions of linked programs, with names and C source lines, or their IR.

use backstop::isa::{Disasm, Instr, decode};
use backstop::model::Program;

use crate::args::DisasmArgs;
use crate::failure::{Outcome, Result};
use crate::output::{Out, note};
use crate::session::{self, Session};

use super::names;

/// `backstop disasm`.
pub fn disasm(args: &DisasmArgs) -> Result {
    let engine = session::engine(session::config(&args.judging))?;
    let session = Session::open(&engine, &args.object, &args.judging)?;
    let (mut out, mut outcome) = (Out::new(), Outcome::Done);
    for name in session.wanted(&args.object, args.program.as_deref())? {
        let shown = if args.ir { ir(&session, &name) } else { listing(&session, &name, args.source) };
        match shown {
            Ok(text) => out.line(text.trim_end())?,
            Err(error) => {
                outcome = Outcome::Refused;
                note(format_args!("error: {error}"));
            }
        }
        out.line("")?;
    }
    Ok(outcome)
}

fn listing(session: &Session, name: &str, source: bool) -> std::result::Result<String, String> {
    let program = session.object.link(&session.linker, name).map_err(|e| e.to_string())?;
    Ok(lines(&program, source).join("\n"))
}

fn ir(session: &Session, name: &str) -> std::result::Result<String, String> {
    let verified = session.object.verify(&session.linker, name).map_err(|e| e.to_string())?;
    let ir = backstop::ir::lower(&verified).map_err(|e| format!("program `{name}`: {e}"))?;
    Ok(format!("program {name}, section {}\n{ir}", verified.program().section))
}

fn lines(program: &Program, source: bool) -> Vec<String> {
    let namer = |name| names::of(program, name);
    let printer = Disasm::new(&namer);
    let mut out = vec![format!("program {}, section {}", program.name, program.section)];
    let (mut at, mut last_line) = (0, None);
    while let Some(slot) = program.slots.get(at) {
        if let Some(function) = names::function_at(program, at) {
            out.push(format!("{function}:"));
            last_line = None;
        }
        let line = u32::try_from(at).ok().and_then(|slot| program.line_at(slot));
        let place = line.map(|l| (l.file, l.line));
        if source && place != last_line {
            out.extend(line.and_then(|l| names::source(program, l)).map(|text| format!("; {text}")));
        }
        last_line = place;
        if let Some(poison) = program.poisoned.iter().find(|p| p.slot as usize == at) {
            out.push(format!("; CO-RE relocation without a match: {}", poison.wanted));
        }
        match decode(&program.slots, at) {
            Ok(instr) => {
                out.push(format!("{at:>6}: {}", printer.instr(at, &instr)));
                at += instr.slots().max(1);
            }
            Err(error) => {
                out.push(format!("{at:>6}: {:#04x} ({error})", slot.code));
                at += 1;
            }
        }
    }
    out
}

/// The text of the instruction at a slot.
#[cfg_attr(not(feature = "jit"), allow(dead_code))]
pub fn instruction(program: &Program, at: u32) -> Option<String> {
    let namer = |name| names::of(program, name);
    let at = usize::try_from(at).ok()?;
    let instr: Instr = decode(&program.slots, at).ok()?;
    Some(Disasm::new(&namer).instr(at, &instr).to_string())
}
