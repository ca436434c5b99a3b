//! All engines, one program: whatever can be observed is the same.

use backstop::model::Program as Linked;
use backstop_differ::generate::{self, damage};
use backstop_differ::{Columns, Compare, Generated, Observed, Rules, Shape, Source, Stream, Tried, input_len};

use crate::Outcome;
use crate::objects::{self, committed, edit_script};

/// Instructions that a proof may take here. Dear proofs are the `verify` oracle's matter.
pub(crate) const MAX_INSNS: u64 = 20_000;
/// Runs of one loaded program in a row: what the first leaves in maps the next finds.
const RUNS: usize = 3;
/// Programs of one object that are run.
const MAX_PROGRAMS: usize = 6;
/// Helpers that call back as often as the program says: changed programs may say a very large number.
const LOOP: u32 = 181;

/// Runs a program on all columns and compares. `None` if it is refused, or can't be compared.
pub(crate) fn same_everywhere(
    columns: &mut Columns,
    program: &Linked,
    inputs: &[Vec<u8>],
    compare: Compare,
) -> Option<Observed> {
    match columns.attempt(program, inputs, compare, MAX_INSNS) {
        Tried::Same(ran) => Some(ran.observed),
        Tried::Refused(_) | Tried::Unsupported(_) | Tried::PassedOver => None,
        Tried::Differs(difference) => panic!("{difference}\n{}", listing(program)),
    }
}

pub(crate) fn listing(program: &Linked) -> String {
    let kind = &program.kind;
    format!("{:?}, maps {:?}\n{}", kind.ty, program.maps.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), {
        backstop::isa::disassemble(&program.slots)
    })
}

/// What an input of [`engines`] asks for.
enum Wanted {
    Generated(Generated),
    /// Changed code under the rules for the unprivileged, which let nothing out that differs by address.
    Damaged(Generated),
    /// A committed program with changes, under the ordinary rules: it may compute with addresses.
    Real(Generated),
}

fn wanted(data: &[u8]) -> Option<Wanted> {
    let mut source = Source::new(data);
    match source.byte() {
        0..=191 => Some(Wanted::Generated(generate::program(&mut source, Shape::STEADY))),
        192..=223 => {
            let shape = Shape { frames: 1, ..Shape::STEADY };
            let mut made = generate::program(&mut Source::new(source.take(192)), shape);
            damage(&mut made.program.slots, &mut source, 4);
            Some(Wanted::Damaged(made))
        }
        _ => {
            let all = objects::linked();
            let mut program = all.get(source.below(all.len()))?.clone();
            let mut stream = Stream::new(u64::from(source.half()));
            let input = stream.bytes(input_len(&program));
            damage(&mut program.slots, &mut source, 4);
            Some(Wanted::Real(Generated { program, input }))
        }
    }
}

/// The program that [`engines`] makes of these bytes, and whether it is judged without privileges.
pub(crate) fn wanted_program(data: &[u8]) -> Option<(Generated, bool)> {
    match wanted(data)? {
        Wanted::Generated(made) | Wanted::Real(made) => Some((made, false)),
        Wanted::Damaged(made) => Some((made, true)),
    }
}

/// The program that [`engines`] makes of these bytes.
pub(crate) fn made(data: &[u8]) -> Option<Generated> {
    match wanted(data)? {
        Wanted::Generated(made) | Wanted::Damaged(made) | Wanted::Real(made) => Some(made),
    }
}

/// Three inputs: the given one, another of its length, and the given one again.
fn inputs(first: &[u8]) -> Vec<Vec<u8>> {
    let second = Stream::new(first.len() as u64).bytes(first.len());
    vec![first.to_vec(), second, first.to_vec()].into_iter().take(RUNS).collect()
}

/// Verifies a program and runs it on both engines.
///
/// # Panics
/// If the engines differ in verdict, result, what was thrown, backtrace, packet, memory, maps or printed lines.
pub fn engines(data: &[u8]) -> Outcome {
    let Some(wanted) = wanted(data) else { return Outcome::Unusable };
    let (made, unprivileged, compare) = match wanted {
        Wanted::Generated(made) => (made, false, Compare::All),
        Wanted::Damaged(made) => (made, true, Compare::Cautious),
        Wanted::Real(made) => (made, false, Compare::Nothing),
    };
    let mut columns = Columns::new(Rules { unprivileged, ..Rules::default() });
    let damaged = unprivileged;
    if damaged && may_run_long(&made.program) {
        return Outcome::Unusable;
    }
    match same_everywhere(&mut columns, &made.program, &inputs(&made.input), compare) {
        Some(_) => Outcome::Held,
        None => Outcome::Refused,
    }
}

/// Changed constants must not turn eight rounds into eight million.
fn may_run_long(program: &Linked) -> bool {
    let may_goto = |slot: &backstop::isa::Slot| slot.code == 0xe5;
    let helper = |slot: &backstop::isa::Slot| slot.code == 0x85 && slot.imm as u32 == LOOP;
    program.slots.iter().any(|slot| may_goto(slot) || helper(slot))
}

/// Opens a committed object with edits, loads each program alone, and runs it on both engines.
///
/// # Panics
/// If the engines differ, where the object is whole; a changed program only has to come back.
pub fn elf_run(data: &[u8]) -> Outcome {
    let mut source = Source::new(data);
    let (name, bytes) = committed(&mut source);
    let skipped = usize::from(source.byte());
    let seed = u64::from(source.half());
    let mut bytes = bytes.to_vec();
    let whole = edit_script(&mut bytes, &mut source, 8) == 0;
    let mut columns = Columns::new(Rules::default());
    let Ok(opened) = columns.open(&bytes, name) else { return Outcome::Refused };
    let Some(model) = opened.first() else { return Outcome::Unusable };
    let names: Vec<String> = model.programs().into_iter().map(|program| program.name).collect();
    let first = skipped % names.len().max(1);
    let mut outcome = Outcome::Refused;
    for name in names.iter().cycle().skip(first).take(names.len().min(MAX_PROGRAMS)) {
        let compare = if whole { Compare::Cautious } else { Compare::Nothing };
        let input = |program: &Linked| vec![Stream::new(seed).bytes(input_len(program))];
        match columns.attempt_object(&opened, name, &input, compare) {
            Tried::Same(_) => outcome = Outcome::Held,
            Tried::Refused(_) | Tried::Unsupported(_) | Tried::PassedOver => {}
            Tried::Differs(difference) => panic!("program {name}: {difference}"),
        }
    }
    outcome
}
