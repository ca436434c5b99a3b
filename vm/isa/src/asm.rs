//! The assembler: pseudo-C text to slots, in two passes (parse, then resolve names).
//!
//! Statements stand one to a line, with any number of `label:` before them; `//`, `#` and `;` start a comment. What the
//! disassembler prints is read back to the same slots; the forms of clang and of the kernel's log that differ
//! from it (`w1 = *(u32 *)(r2 + 0)`, `goto pc+3`, `atomic64_xchg`) are read as well.
//!
//! | text | meaning |
//! |---|---|
//! | `goto out`, `if r1 > 5 goto +3`, `may_goto -2`, `gotol out` | jumps, to labels or by slots |
//! | `call 5`, `call helper#5` | helper by number |
//! | `call +3`, `call sub` | subprogram |
//! | `call kfunc#7`, `call kfunc#7@2` | kfunc by id, and by id in BTF number 2 |
//! | `call name` | label, or what the resolver says |
//! | `r1 = 0x1234 ll` | 64-bit immediate |
//! | `r1 = map[0] ll`, `r1 = map[0][8] ll` | map by index, its value plus offset |
//! | `r1 = map_fd[3] ll`, `r1 = map_fd[3][8] ll` | map by file descriptor, its value plus offset |
//! | `r1 = btf_id[7] ll`, `r1 = btf_id[7][3] ll` | kernel variable, and in BTF by file descriptor 3 |
//! | `r1 = func sub ll`, `r1 = func +4 ll` | address of a subprogram |
//! | `r1 = name ll` | label, or what the resolver says |
//! | `.slot 0x85, 0, 0, 1, 5` | raw slot: opcode, dst, src, offset, immediate |

mod assign;
mod error;
mod lex;
mod line;
mod parse;

use std::collections::HashMap;

use crate::insn::{Instr, Pseudo, Slot};

pub use error::{AsmError, AsmErrorKind};

use line::Fix;
use parse::Item;

/// What a name in the text stands for when it is no label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Symbol {
    /// A helper by number (after `call`).
    Helper(i32),
    /// A kfunc (after `call`).
    Kfunc {
        /// BTF id or index.
        id: i32,
        /// Which module's BTF.
        off: i16,
    },
    /// A map by index (before `ll`).
    Map(i32),
    /// A place in a map's value (before `ll`).
    MapValue {
        /// Index of the map.
        map: i32,
        /// Bytes from the value's start.
        offset: i32,
    },
}

/// Assembles text whose names are all labels.
///
/// # Errors
/// The first fault, with line, column and what was expected there.
pub fn assemble(text: &str) -> Result<Vec<Slot>, AsmError> {
    assemble_with(text, &|_| None)
}

/// Assembles text; names that are no labels are asked of `resolve`.
///
/// # Errors
/// As [`assemble`].
pub fn assemble_with(text: &str, resolve: &dyn Fn(&str) -> Option<Symbol>) -> Result<Vec<Slot>, AsmError> {
    let mut items = Vec::new();
    let mut labels = HashMap::new();
    let mut at = 0usize;
    for (number, line) in (1u32..).zip(text.lines()) {
        let statement = parse::line(line, number)?;
        for (name, column) in statement.labels {
            if let Some((_, first_line)) = labels.insert(name, (at, number)) {
                let kind = AsmErrorKind::DuplicateLabel { name: name.to_owned(), first_line };
                return Err(AsmError { line: number, column, kind });
            }
        }
        if let Some(item) = statement.item {
            let slots = item.slots();
            items.push((at, number, item));
            at += slots;
        }
    }
    let names = Names { labels, resolve };
    let mut slots = Vec::with_capacity(at);
    for (at, line, item) in items {
        match item {
            Item::Raw(slot) => slots.push(slot),
            Item::Instr(instr) => slots.extend(instr.encode()),
            Item::Named { instr, fix } => slots.extend(names.fix(at, line, instr, &fix)?.encode()),
        }
    }
    Ok(slots)
}

struct Names<'t, 'r> {
    /// Slot and line of each label.
    labels: HashMap<&'t str, (usize, u32)>,
    resolve: &'r dyn Fn(&str) -> Option<Symbol>,
}

impl Names<'_, '_> {
    /// Puts what the name stands for into the instruction.
    fn fix(&self, at: usize, line: u32, instr: Instr, fix: &Fix<'_>) -> Result<Instr, AsmError> {
        let error = |kind| AsmError { line, column: fix.column, kind };
        let unknown = |expected| error(AsmErrorKind::UnknownName { name: fix.name.to_owned(), expected });
        let distance = self.labels.get(fix.name).map(|(target, _)| {
            // Slots are lines of the text, far below 2^63. Every distance counts from the slot after the instruction's first one: Linux
            // counts that of a function's address so too, though its load takes two.
            *target as i64 - (at + 1) as i64
        });
        let too_far = |distance| error(AsmErrorKind::TooFar { name: fix.name.to_owned(), distance });
        let near = |distance: i64| i16::try_from(distance).map_err(|_| too_far(distance));
        let far = |distance: i64| i32::try_from(distance).map_err(|_| too_far(distance));
        let label = || distance.ok_or_else(|| unknown("a label"));
        match instr {
            Instr::Jump { long: false, .. } => Ok(Instr::Jump { off: near(label()?)?.into(), long: false }),
            Instr::Jump { long: true, .. } => Ok(Instr::Jump { off: far(label()?)?, long: true }),
            Instr::Branch { width, op, dst, src, .. } => {
                Ok(Instr::Branch { width, op, dst, src, off: near(label()?)? })
            }
            Instr::MayGoto { .. } => Ok(Instr::MayGoto { off: near(label()?)? }),
            Instr::CallLocal { .. } => match (distance, (self.resolve)(fix.name)) {
                (Some(distance), _) => Ok(Instr::CallLocal { off: far(distance)? }),
                (None, Some(Symbol::Helper(id))) => Ok(Instr::CallHelper { id }),
                (None, Some(Symbol::Kfunc { id, off })) => Ok(Instr::CallKfunc { id, off }),
                (None, Some(Symbol::Map(_) | Symbol::MapValue { .. }) | None) => {
                    Err(unknown("a label, helper or kfunc"))
                }
            },
            Instr::LoadPseudo { dst, kind, .. } => {
                let load = |kind, imm, next_imm| Instr::LoadPseudo { dst, kind, imm, next_imm };
                match (distance, fix.label_only, (self.resolve)(fix.name)) {
                    (Some(distance), ..) => Ok(load(kind, far(distance)?, 0)),
                    (None, true, _) => Err(unknown("a label")),
                    (None, false, Some(Symbol::Map(map))) => Ok(load(Pseudo::MapIdx, map, 0)),
                    (None, false, Some(Symbol::MapValue { map, offset })) => Ok(load(Pseudo::MapValueIdx, map, offset)),
                    (None, false, Some(Symbol::Helper(_) | Symbol::Kfunc { .. }) | None) => {
                        Err(unknown("a label or map"))
                    }
                }
            }
            // The parser attaches names to the instructions above only.
            other => Ok(other),
        }
    }
}

impl Item<'_> {
    fn slots(&self) -> usize {
        match self {
            Item::Raw(_) => 1,
            Item::Instr(instr) | Item::Named { instr, .. } => instr.slots(),
        }
    }
}
