//! One line of text to a statement: labels, then at most one instruction.

use super::lex::{Tok, tokens};
use super::line::{Fix, Line, Parsed, Target};
use crate::insn::{AtomicOp, CmpOp, Instr, Operand, Size, Slot, Width};

/// A line.
#[derive(Debug)]
pub(super) struct Statement<'t> {
    /// Labels and their columns.
    pub labels: Vec<(&'t str, u32)>,
    pub item: Option<Item<'t>>,
}

/// What takes slots.
#[derive(Debug)]
pub(super) enum Item<'t> {
    Raw(Slot),
    Instr(Instr),
    /// An instruction that waits for the value of a name.
    Named {
        instr: Instr,
        fix: Fix<'t>,
    },
}

/// Parses a line.
pub(super) fn line(text: &str, number: u32) -> Parsed<Statement<'_>> {
    let tokens = tokens(text, number)?;
    let mut line = Line { tokens: &tokens, at: 0, number };
    let mut labels = Vec::new();
    while let (Tok::Word(name), Tok::Punct(":")) = (line.peek(), line.peek_at(1)) {
        labels.push((name, line.column()));
        line.at += 2;
    }
    let item = if line.peek() == Tok::End { None } else { Some(line.item()?) };
    match line.peek() {
        Tok::End => Ok(Statement { labels, item }),
        _ => Err(line.expected("the end of the line")),
    }
}

/// Statements.
impl<'t> Line<'_, 't> {
    fn item(&mut self) -> Parsed<Item<'t>> {
        if let Some((width, dst)) = self.peek_register() {
            return self.assignment(width, dst);
        }
        if self.eat("*") {
            return self.store().map(Item::Instr);
        }
        let Tok::Word(word) = self.peek() else {
            return Err(self.expected("an instruction, or a register r0 to r10"));
        };
        self.at += 1;
        match word {
            "exit" => Ok(Item::Instr(Instr::Exit)),
            "goto" => Ok(targeted(self.near()?, |off| Instr::Jump { off, long: false })),
            "gotol" => Ok(targeted(self.far()?, |off| Instr::Jump { off, long: true })),
            "may_goto" => Ok(targeted(self.near()?, |off| Instr::MayGoto { off: off as i16 })),
            "if" => self.branch(),
            "call" => self.call(),
            "lock" => self.locked().map(Item::Instr),
            "store_release" => self.store_release().map(Item::Instr),
            ".slot" => self.raw().map(Item::Raw),
            _ => {
                self.at -= 1;
                Err(self.expected("an instruction, or a register r0 to r10"))
            }
        }
    }

    /// `.slot code, dst, src, off, imm`, commas optional.
    fn raw(&mut self) -> Parsed<Slot> {
        let field = |line: &mut Self, what, min, max| {
            let value = line.ranged(what, min, max);
            line.eat(",");
            value
        };
        Ok(Slot {
            code: field(self, "the opcode", 0, 255)? as u8,
            dst: field(self, "the destination", 0, 15)? as u8,
            src: field(self, "the source", 0, 15)? as u8,
            off: field(self, "the offset", i16::MIN.into(), u16::MAX.into())? as i16,
            imm: field(self, "the immediate", i32::MIN.into(), u32::MAX.into())? as i32,
        })
    }

    fn branch(&mut self) -> Parsed<Item<'t>> {
        let (width, dst) = self.any_register()?;
        let op = match self.peek() {
            Tok::Punct(punct) => CmpOp::ALL.into_iter().find(|op| op.symbol() == punct),
            _ => None,
        };
        let op = op.ok_or_else(|| self.expected("a comparison"))?;
        self.at += 1;
        let src = self.operand(width)?;
        self.need_word("goto")?;
        let off = |off| Instr::Branch { width, op, dst, src, off: off as i16 };
        Ok(targeted(self.near()?, off))
    }

    fn call(&mut self) -> Parsed<Item<'t>> {
        if let Tok::Number { .. } = self.peek() {
            return Ok(Item::Instr(Instr::CallHelper { id: self.i32("the helper")? }));
        }
        if let (Tok::Word(name), Tok::Punct("#")) = (self.peek(), self.peek_at(1)) {
            self.at += 2;
            return self.numbered_call(name).map(Item::Instr);
        }
        let target = match self.far()? {
            Target::Label(fix) => Target::Label(Fix { label_only: false, ..fix }),
            slots @ Target::Slots(_) => slots,
        };
        Ok(targeted(target, |off| Instr::CallLocal { off }))
    }

    /// `helper#5`, `kfunc#7@2`; the kernel's log puts a helper's name before its number.
    fn numbered_call(&mut self, name: &str) -> Parsed<Instr> {
        if name != "kfunc" {
            return Ok(Instr::CallHelper { id: self.i32("the helper")? });
        }
        let id = self.i32("the kfunc")?;
        let off = if self.eat("@") { self.i16("the BTF's number")? } else { 0 };
        Ok(Instr::CallKfunc { id, off })
    }

    /// `(u32 *)(r1 + 8) = r2`
    fn store(&mut self) -> Parsed<Instr> {
        let (size, base, off) = self.typed_argument()?;
        self.need("=")?;
        let src = if self.peek_register().is_some() {
            Operand::Reg(self.register_for(size)?)
        } else {
            let width = if size == Size::B8 { Width::W64 } else { Width::W32 };
            self.operand(width)?
        };
        Ok(Instr::Store { size, base, off, src })
    }

    /// `*(u64 *)(r1 + 0) += r2`
    fn locked(&mut self) -> Parsed<Instr> {
        self.need("*")?;
        let column = self.column();
        let (size, base, off) = self.typed_argument()?;
        self.atomic_size(column, size)?;
        let op = match self.peek() {
            Tok::Punct(punct) => AtomicOp::ALL.into_iter().find(|op| op.symbol() == Some(punct)),
            _ => None,
        };
        let op = op.ok_or_else(|| self.expected("`+=`, `|=`, `&=` or `^=`"))?;
        self.at += 1;
        let src = self.register_for(size)?;
        Ok(Instr::Atomic { size, op, fetch: false, base, off, src })
    }

    pub(super) fn atomic_size(&self, column: u32, size: Size) -> Parsed<()> {
        match size {
            Size::B4 | Size::B8 => Ok(()),
            Size::B1 | Size::B2 => Err(self.mismatch(column, "atomics have 4 or 8 bytes")),
        }
    }

    /// `((u32 *)(r1 + 0), r2)`
    fn store_release(&mut self) -> Parsed<Instr> {
        self.need("(")?;
        let (size, base, off) = self.typed_argument()?;
        self.need(",")?;
        let src = self.register_for(size)?;
        self.need(")")?;
        Ok(Instr::StoreRelease { size, base, off, src })
    }
}

/// An instruction with its target, or one that waits for a label.
pub(super) fn targeted(target: Target<'_>, instr: impl Fn(i32) -> Instr) -> Item<'_> {
    match target {
        Target::Slots(off) => Item::Instr(instr(off)),
        Target::Label(fix) => Item::Named { instr: instr(0), fix },
    }
}
