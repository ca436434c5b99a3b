//! `backstop disasm`: the instructions of linked programs, with names and C source lines, or their IR.

use backstop::isa::{Disasm, decode};
use backstop::model::Program;

use crate::args::DisasmArgs;
use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, note};
use crate::session::{self, Session};

/// `backstop disasm`.
pub fn disasm(args: &DisasmArgs) -> Result {
    let engine = session::engine(session::config(&args.judging))?;
    let judges = args.judging.compat.is_some() || args.judging.unprivileged || args.memory.data_size.is_some();
    if judges && !args.ir {
        let what = "--compat, --unprivileged and --data-size need --ir: a listing of instructions is of programs that nobody judged";
        return Err(Failure::Usage(what.to_owned()));
    }
    let mut session = Session::open(&engine, &args.object, &args.judging)?;
    let (mut out, mut outcome) = (Out::new(), Outcome::Done);
    let names = session.wanted(&args.object, args.program.as_deref())?;
    session.fix_memory(&names, args.memory.data_size)?;
    for name in names {
        let shown = if args.ir { ir(&session, &name) } else { listing(&session, &name, args.source) };
        match shown {
            Ok(text) => out.line(text.trim_end())?,
            Err(error) => {
                outcome = Outcome::Refused;
                note(error.trim_end());
            }
        }
        out.line("")?;
    }
    Ok(outcome)
}

fn listing(session: &Session, name: &str, source: bool) -> std::result::Result<String, String> {
    let program = session.object.link(&session.linker, name).map_err(|e| session.explain(name, &e))?;
    Ok(lines(&program, source).join("\n"))
}

fn ir(session: &Session, name: &str) -> std::result::Result<String, String> {
    let verified = session.object.verify(&session.linker, name).map_err(|e| session.explain(name, &e))?;
    let ir = backstop::ir::lower(&verified).map_err(|e| format!("error: program `{name}`: {e}"))?;
    Ok(format!("program {name}, section {}\n{ir}", verified.program().section))
}

fn lines(program: &Program, source: bool) -> Vec<String> {
    let namer = |name| program.name_of(name);
    let printer = Disasm::new(&namer);
    let mut out = vec![format!("program {}, section {}", program.name, program.section)];
    let (mut at, mut last_line) = (0, None);
    while let Some(slot) = program.slots.get(at) {
        if let Some(function) = program.function_at(at) {
            out.push(format!("{function}:"));
            last_line = None;
        }
        let line = u32::try_from(at).ok().and_then(|slot| program.line_at(slot));
        let place = line.map(|l| (l.file, l.line));
        if source && place != last_line {
            out.extend(line.and_then(|l| program.source_text(l)).map(|text| format!("; {text}")));
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
