//! Assignments: all statements that begin with a register.

use super::lex::Tok;
use super::line::{Fix, Line, Parsed, Target};
use super::parse::{Item, targeted};
use crate::insn::{AluOp, AtomicOp, ByteOrder, Instr, Operand, Pseudo, Reg, Size, Width};

impl<'t> Line<'_, 't> {
    pub(super) fn assignment(&mut self, width: Width, dst: Reg) -> Parsed<Item<'t>> {
        let column = self.column();
        self.at += 1;
        if self.eat("=") {
            return self.assigned(Dst { width, reg: dst, column });
        }
        let op = match self.peek() {
            Tok::Punct(punct) => AluOp::ALL.into_iter().find(|op| op.symbol() == punct),
            _ => None,
        };
        let op = op.ok_or_else(|| self.expected("an assignment"))?;
        self.at += 1;
        let src = self.operand(width)?;
        Ok(Item::Instr(Instr::Alu { width, op, dst, src }))
    }

    fn assigned(&mut self, dst: Dst) -> Parsed<Item<'t>> {
        let Dst { width, reg, .. } = dst;
        if self.peek_register().is_some() {
            let src = Operand::Reg(self.register_of(width)?);
            return Ok(Item::Instr(Instr::Mov { width, dst: reg, src }));
        }
        match self.peek() {
            Tok::Number { .. } => self.number(dst).map(Item::Instr),
            Tok::Punct("-") if matches!(self.peek_at(1), Tok::Word(_)) => {
                self.at += 1;
                self.same(dst)?;
                Ok(Item::Instr(Instr::Neg { width, dst: reg }))
            }
            Tok::Punct("-" | "+") => self.number(dst).map(Item::Instr),
            Tok::Punct("*") => self.load(dst).map(Item::Instr),
            Tok::Punct("(") => self.sign_extended(dst).map(Item::Instr),
            Tok::Word(word) => self.worded(dst, word),
            Tok::Punct(_) | Tok::End => Err(self.expected("a value")),
        }
    }

    /// The destination again, as `r1 = -r1` wants it.
    fn same(&mut self, dst: Dst) -> Parsed<()> {
        match self.peek_register() {
            Some(found) if found == (dst.width, dst.reg) => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.expected("the destination register again")),
        }
    }

    /// The destination must be an `r` register.
    fn wide(&self, dst: Dst) -> Parsed<Reg> {
        match dst.width {
            Width::W64 => Ok(dst.reg),
            Width::W32 => Err(self.mismatch(dst.column, "this needs a 64-bit destination register")),
        }
    }

    /// A plain number, or with `ll` one of 64 bits.
    fn number(&mut self, dst: Dst) -> Parsed<Instr> {
        let start = self.at;
        let (min, max) = (i128::from(i64::MIN), i128::from(u64::MAX));
        let value = self.ranged("the immediate", min, max)?;
        if self.eat_word("ll") {
            return Ok(Instr::LoadImm64 { dst: self.wide(dst)?, imm: value as u64 });
        }
        self.at = start;
        let src = Operand::Imm(self.imm(dst.width)?);
        Ok(Instr::Mov { width: dst.width, dst: dst.reg, src })
    }

    /// `*(u32 *)(r2 + 8)` or `*(u8 *)skb[r1 + 5]`
    fn load(&mut self, dst: Dst) -> Parsed<Instr> {
        self.need("*")?;
        self.need("(")?;
        let column = self.column();
        let (size, signed) = self.pointee()?;
        if self.eat_word("skb") {
            if signed || size == Size::B8 || dst.reg != Reg::R0 {
                let what = "packet loads are u8, u16 or u32, into r0";
                return Err(self.mismatch(column, what));
            }
            return self.packet(size);
        }
        if signed {
            self.wide(dst)?;
            if size == Size::B8 {
                return Err(self.mismatch(column, "an 8-byte load has nothing to extend: use u64"));
            }
        }
        self.fits(dst.column, dst.width, size)?;
        let (base, off) = self.bracketed_place()?;
        Ok(Instr::Load { size, signed, dst: dst.reg, base, off })
    }

    /// `[5]`, `[r1]`, `[r1 + 5]`
    fn packet(&mut self, size: Size) -> Parsed<Instr> {
        self.need("[")?;
        let index = if self.peek_register().is_some() { Some(self.register()?) } else { None };
        let imm = match self.peek() {
            Tok::Punct("]") if index.is_some() => 0,
            _ => self.i32("the packet offset")?,
        };
        self.need("]")?;
        Ok(Instr::LegacyLoad { size, index, imm })
    }

    /// `(s8)r2`
    fn sign_extended(&mut self, dst: Dst) -> Parsed<Instr> {
        let Dst { width, reg, .. } = dst;
        self.need("(")?;
        let from = match self.peek() {
            Tok::Word(word) => Size::ALL.into_iter().find(|size| size.signed() == word),
            _ => None,
        };
        let from = from.filter(|from| from.bits() < width.bits());
        let from = from.ok_or_else(|| match width {
            Width::W32 => self.expected("s8 or s16"),
            Width::W64 => self.expected("s8, s16 or s32"),
        })?;
        self.at += 1;
        self.need(")")?;
        let src = self.register_of(width)?;
        Ok(Instr::MovSx { width, from, dst: reg, src })
    }

    /// What begins with a word that is no register: intrinsics, byte orders, addresses.
    fn worded(&mut self, dst: Dst, word: &'t str) -> Parsed<Item<'t>> {
        let bracket = self.peek_at(1) == Tok::Punct("[");
        let call = self.peek_at(1) == Tok::Punct("(");
        if let Some((order, size)) = byte_order(word) {
            self.at += 1;
            let reg = self.wide(dst)?;
            self.same(dst)?;
            return Ok(Item::Instr(Instr::End { order, size, dst: reg }));
        }
        if call {
            return self.intrinsic(dst, word).map(Item::Instr);
        }
        let reg = self.wide(dst)?;
        if bracket {
            return self.indexed(reg, word).map(Item::Instr);
        }
        let func = |imm| Instr::LoadPseudo { dst: reg, kind: Pseudo::Func, imm, next_imm: 0 };
        let target = if self.eat_word("func") {
            self.far()?
        } else if self.peek_at(1) != Tok::Word("ll") {
            return Err(self.expected("a value"));
        } else {
            let fix = Fix { name: word, column: self.column(), label_only: false };
            self.at += 1;
            Target::Label(fix)
        };
        self.need_word("ll")?;
        Ok(targeted(target, func))
    }

    /// `map[0][8] ll` and its like.
    fn indexed(&mut self, dst: Reg, word: &str) -> Parsed<Instr> {
        let known = Pseudo::ALL.into_iter().any(|kind| kind != Pseudo::Func && kind.name() == word);
        if !known {
            return Err(self.expected("map, map_fd or btf_id"));
        }
        self.at += 2;
        let imm = self.i32("the index")?;
        self.need("]")?;
        let mut second = None;
        if self.eat("[") {
            second = Some(self.i32("the second index")?);
            self.need("]")?;
        }
        self.need_word("ll")?;
        let kind = match (word, second) {
            ("btf_id", _) => Pseudo::BtfId,
            ("map_fd", None) => Pseudo::MapFd,
            ("map_fd", Some(_)) => Pseudo::MapValueFd,
            (_, None) => Pseudo::MapIdx,
            (_, Some(_)) => Pseudo::MapValueIdx,
        };
        Ok(Instr::LoadPseudo { dst, kind, imm, next_imm: second.unwrap_or(0) })
    }

    /// `name(arguments)`; an unknown name is an error at the name.
    fn intrinsic(&mut self, dst: Dst, word: &str) -> Parsed<Instr> {
        match word {
            "addr_space_cast" => {
                self.at += 2;
                return self.addr_space_cast(dst);
            }
            "load_acquire" => {
                self.at += 2;
                let (size, base, off) = self.typed_argument()?;
                self.fits(dst.column, dst.width, size)?;
                self.need(")")?;
                return Ok(Instr::LoadAcquire { size, dst: dst.reg, base, off });
            }
            _ => {}
        }
        let Some(exchange) = Exchange::named(word) else {
            return Err(self.expected("addr_space_cast, load_acquire or an atomic operation"));
        };
        self.at += 2;
        self.exchange(dst, exchange)
    }

    /// `r2, 1, 0)`
    fn addr_space_cast(&mut self, dst: Dst) -> Parsed<Instr> {
        let reg = self.wide(dst)?;
        let src = self.register()?;
        self.need(",")?;
        let to = self.ranged("the address space", 0, u16::MAX.into())? as u16;
        self.need(",")?;
        let from = self.ranged("the address space", 0, u16::MAX.into())? as u16;
        self.need(")")?;
        Ok(Instr::AddrSpaceCast { dst: reg, src, to, from })
    }

    /// The arguments of an atomic operation that returns the old value.
    fn exchange(&mut self, dst: Dst, exchange: Exchange) -> Parsed<Instr> {
        let column = self.column();
        let (size, base, off) = match exchange.size {
            Some(size) => {
                let (base, off) = self.place()?;
                (size, base, off)
            }
            None => self.typed_argument()?,
        };
        self.atomic_size(column, size)?;
        self.fits(dst.column, dst.width, size)?;
        self.need(",")?;
        if exchange.op == AtomicOp::Cmpxchg {
            if dst.reg != Reg::R0 {
                return Err(self.mismatch(dst.column, "the old value of cmpxchg goes to r0"));
            }
            self.same(dst)?;
            self.need(",")?;
        }
        let operand = self.column();
        let src = self.register_for(size)?;
        if exchange.op != AtomicOp::Cmpxchg && src != dst.reg {
            let what = "the old value goes to the register that holds the operand";
            return Err(self.mismatch(operand, what));
        }
        self.need(")")?;
        Ok(Instr::Atomic { size, op: exchange.op, fetch: true, base, off, src })
    }
}

/// The register on an assignment's left side.
#[derive(Clone, Copy)]
struct Dst {
    width: Width,
    reg: Reg,
    column: u32,
}

/// An atomic operation that returns the old value.
#[derive(Clone, Copy)]
struct Exchange {
    op: AtomicOp,
    /// Known from the name in clang's syntax; else the argument has a type.
    size: Option<Size>,
}

impl Exchange {
    fn named(word: &str) -> Option<Exchange> {
        let sized = |op, size| Some(Exchange { op, size: Some(size) });
        match word {
            "xchg_64" => return sized(AtomicOp::Xchg, Size::B8),
            "xchg32_32" => return sized(AtomicOp::Xchg, Size::B4),
            "cmpxchg_64" => return sized(AtomicOp::Cmpxchg, Size::B8),
            "cmpxchg32_32" => return sized(AtomicOp::Cmpxchg, Size::B4),
            _ => {}
        }
        // The kernel's log has `atomic64_` for 8 bytes, and says the exchanges this way as well.
        let rest = word.strip_prefix("atomic_").or_else(|| word.strip_prefix("atomic64_"))?;
        let op = AtomicOp::ALL.into_iter().find(|op| match op.symbol() {
            Some(_) => rest.strip_prefix("fetch_") == Some(op.name()),
            None => rest == op.name(),
        })?;
        Some(Exchange { op, size: None })
    }
}

/// `be16`, `bswap32`
fn byte_order(word: &str) -> Option<(ByteOrder, Size)> {
    ByteOrder::ALL.into_iter().find_map(|order| {
        let size = match word.strip_prefix(order.name())? {
            "16" => Size::B2,
            "32" => Size::B4,
            "64" => Size::B8,
            _ => return None,
        };
        Some((order, size))
    })
}
