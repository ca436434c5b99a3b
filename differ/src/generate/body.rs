//! Statements: arithmetic, memory, branches, loops.

use std::sync::{Arc, LazyLock};

use backstop::btf::Btf;
use backstop::isa::table::{Fill, Op, RegField, Row, rows};
use backstop::isa::{AluOp, AtomicOp, CmpOp, Instr, Operand, Pseudo, Size, Slot, Width};
use backstop::model::{BuiltinKfunc, FuncInfo, MapSpec, ProgKind, ProgType, kfuncs, returns};

use super::calls::{Function, Role};
use super::code::{Code, Label};
use super::known::Known;
use super::maps::{MapUse, Maps};
use super::state::{Few, Kind, STACK_WORDS, State, reg, word_off};
use super::types::{self, Signature};
use super::{MEMORY_LEN, Shape};
use crate::source::Source;

/// Functions of a program, at most.
const MAX_FUNCTIONS: usize = 12;
/// Statements of a program, at most.
const MAX_STATEMENTS: usize = 400;
/// Loops inside each other, at most.
const MAX_NESTING: usize = 2;
/// How often a statement may be run in one run, about.
const MAX_HEAT: usize = 400;

/// A program in the making.
pub(super) struct Writer<'s, 'b> {
    pub(super) source: &'s mut Source<'b>,
    pub(super) shape: Shape,
    pub(super) kind: ProgKind,
    pub(super) code: Code,
    pub(super) maps: Maps,
    pub(super) functions: Vec<Function>,
    pub(super) state: State,
    /// The function that is being written.
    pub(super) current: usize,
    /// How often the present place is run for each entry of the program, about.
    pub(super) heat: usize,
    nesting: usize,
    /// Frames that the chain of calls has left to go down.
    chain: usize,
    /// The function that goes on with the chain.
    link: usize,
    /// What all programs of this kind may use.
    pub(super) known: Arc<Known>,
    /// Things open that must be closed before the function is left.
    open: usize,
    left: usize,
}

/// What a generated program consists of.
pub(super) struct Written {
    pub(super) slots: Vec<Slot>,
    pub(super) maps: Vec<Arc<MapSpec>>,
    pub(super) btf: Option<Arc<Btf>>,
    pub(super) func_info: Vec<FuncInfo>,
}

/// Memory that an access may go to.
struct Place {
    base: backstop::isa::Reg,
    off: i16,
}

/// What an access needs of its place.
#[derive(Clone, Copy)]
struct Access {
    size: Size,
    write: bool,
    atomic: bool,
}

fn access_of(op: Op) -> Option<Access> {
    match op {
        Op::Load { size, .. } => Some(Access { size, write: false, atomic: false }),
        Op::Store { size, .. } => Some(Access { size, write: true, atomic: false }),
        Op::Atomic { size, .. } | Op::LoadAcquire { size } | Op::StoreRelease { size } => {
            Some(Access { size, write: true, atomic: true })
        }
        _ => None,
    }
}

/// Rows of the instruction table of one sort.
type Rows = LazyLock<Vec<&'static Row>>;

static COMPUTES: Rows = LazyLock::new(|| {
    let computes = |op| {
        matches!(
            op,
            Op::Alu { .. } | Op::Neg { .. } | Op::Mov { .. } | Op::MovSx { .. } | Op::End { .. } | Op::LoadImm64
        )
    };
    rows().filter(|row| computes(row.op)).collect()
});
static ACCESSES: Rows = LazyLock::new(|| rows().filter(|row| access_of(row.op).is_some()).collect());
static BRANCHES: Rows = LazyLock::new(|| rows().filter(|row| matches!(row.op, Op::Branch { .. })).collect());
static LEGACY: Rows = LazyLock::new(|| rows().filter(|row| matches!(row.op, Op::LegacyLoad { .. })).collect());

impl<'s, 'b> Writer<'s, 'b> {
    pub(super) fn new(source: &'s mut Source<'b>, shape: Shape, kind: ProgKind) -> Writer<'s, 'b> {
        Writer {
            source,
            shape,
            code: Code::default(),
            maps: Maps::default(),
            functions: Vec::new(),
            state: State::new(),
            current: 0,
            heat: 1,
            nesting: 0,
            chain: 0,
            link: 0,
            known: Known::of(&kind, shape),
            kind,
            open: 0,
            left: MAX_STATEMENTS,
        }
    }

    pub(super) fn program(&mut self) {
        let throws = kfuncs::allowed(BuiltinKfunc::Throw, &self.kind);
        self.functions.push(Function::main(self.main_args(), throws));
        if throws && self.source.chance(64) {
            self.functions.push(Function::exception());
            if self.shape.kernel {
                self.shape.frames = 1;
            }
        }
        if self.shape.chain {
            self.chain = self.source.below(self.shape.frames).max(self.source.below(self.shape.frames));
        }
        let mut next = 0;
        while next < self.functions.len() {
            self.function(next);
            next += 1;
        }
    }

    fn main_args(&self) -> Vec<Kind> {
        if self.kind.ty == ProgType::RawMem {
            vec![Kind::memory(MEMORY_LEN as u32), Kind::Scalar]
        } else {
            vec![Kind::Ctx]
        }
    }

    pub(super) fn finish(self) -> Written {
        let (slots, starts) = self.code.finish();
        let signature = |(number, function): (usize, &Function)| {
            let slot = starts.get(number).copied().flatten()?;
            Some(Signature { slot, role: function.role, args: function.args.len() })
        };
        let signatures: Option<Vec<Signature>> = self.functions.iter().enumerate().map(signature).collect();
        let typed = signatures.and_then(|signatures| types::types(&signatures));
        let (btf, func_info) = typed.map_or((None, Vec::new()), |(btf, info)| (Some(btf), info));
        Written { slots, maps: self.maps.specs(), btf, func_info }
    }

    pub(super) fn function_here(&self) -> Option<&Function> {
        self.functions.get(self.current)
    }

    pub(super) fn role(&self) -> Role {
        self.function_here().map_or(Role::Main, |f| f.role)
    }

    pub(super) fn may_add_function(&self) -> bool {
        self.functions.len() < MAX_FUNCTIONS && self.heat <= MAX_HEAT
    }

    fn function(&mut self, number: usize) {
        let Some(function) = self.functions.get(number).cloned() else { return };
        self.code.begin(number);
        (self.current, self.heat, self.nesting) = (number, function.heat, 0);
        self.state = State::new();
        for (n, kind) in function.args.iter().enumerate() {
            self.state.set(n + 1, *kind);
        }
        // What lies in r6 to r9 survives calls.
        let pointers = self.state.regs_where(Kind::is_pointer);
        for (to, from) in (6..=7).zip(pointers) {
            self.code.copy(reg(to), reg(from));
            self.state.set(to, self.state.get(from));
        }
        if function.tail_calls {
            self.tail_call();
        }
        if number == self.link && matches!(function.role, Role::Main | Role::Static | Role::Global) {
            self.go_down();
        }
        let statements = 1 + self.source.below(self.shape.statements);
        self.block(statements);
        self.leave();
    }

    /// Calls the next function of the chain, or ends it.
    fn go_down(&mut self) {
        if self.chain == 0 {
            if self.shape.chain && self.source.chance(232) {
                let always = self.source.chance(232);
                self.throw(always);
            }
            return;
        }
        self.chain -= 1;
        let next = self.functions.len();
        if let Some((number, args)) = self.new_function() {
            self.link = next;
            self.give(&args);
            self.code.call_function(number);
            self.state.after_call(Kind::Scalar);
        }
    }

    /// The range that the main program's result must lie in, or that of what is thrown instead.
    pub(super) fn range(&self) -> Option<(i64, i64)> {
        returns::range(&self.kind).map(|range| (range.min, range.max))
    }

    /// Ends the function with a result that its role allows.
    pub(super) fn leave(&mut self) {
        match self.role() {
            Role::Loop | Role::Each => {
                let stop = i32::from(self.source.chance(24));
                self.code.set(reg(0), stop);
            }
            Role::Main | Role::Exception if self.range().is_some() => {
                let (min, max) = self.range().unwrap_or_default();
                let value = min + self.source.below((max - min + 1) as usize) as i64;
                self.code.set(reg(0), value as i32);
            }
            _ => {
                let value = self.scalar();
                if value != 0 {
                    self.code.copy(reg(0), reg(value));
                }
                if self.source.chance(192) {
                    self.gather();
                }
            }
        }
        self.code.push(Instr::Exit);
    }

    /// Puts every number that there is into the result: what went wrong anywhere shows there.
    fn gather(&mut self) {
        for n in self.state.regs_where(|kind| kind == Kind::Scalar) {
            if n != 0 {
                let op = if n % 2 == 0 { AluOp::Add } else { AluOp::Xor };
                self.code.alu(op, reg(0), Operand::Reg(reg(n)));
            }
        }
    }

    pub(super) fn block(&mut self, statements: usize) {
        for _ in 0..statements {
            if self.source.is_empty() || self.left == 0 {
                return;
            }
            self.left -= 1;
            self.statement();
        }
    }

    fn statement(&mut self) {
        let choice = self.source.byte();
        if self.shape.throws && choice >= 128 {
            return match choice {
                ..200 => self.call(),
                200..208 => self.tail_call(),
                208..224 => self.call_tail_calling(),
                _ => self.maybe_throw(),
            };
        }
        match choice % 32 {
            9 if self.known.packet.is_some() || returns::packet(&self.kind).legacy => self.packet(),
            0..=9 => self.compute(),
            10 => self.number_or_place(),
            11..=16 => self.access(),
            17..=18 => self.branch(),
            19 => self.repeat(),
            20 => self.repeat_or_guard(),
            21..=24 => self.helper(),
            25..=26 => self.call(),
            27 => self.maybe_throw(),
            28 => self.packet(),
            29 => self.spill(),
            30 => self.map_value(),
            _ => self.early_exit(),
        }
    }

    /// A register that may be overwritten; pointers are spared if there is another.
    pub(super) fn target(&mut self) -> usize {
        let writable = self.state.writable();
        let plain: Few = writable.iter().copied().filter(|n| !self.state.get(*n).is_pointer()).collect();
        let from = if plain.is_empty() { &writable } else { &plain };
        self.source.pick(from).unwrap_or(0)
    }

    /// A register with a number in it.
    pub(super) fn scalar(&mut self) -> usize {
        let scalars = self.state.regs_where(|kind| kind == Kind::Scalar);
        match self.source.pick(&scalars) {
            Some(n) => n,
            None => self.number(),
        }
    }

    /// A register with a number in it that may be overwritten.
    fn own_scalar(&mut self) -> usize {
        let mut scalars = self.state.writable();
        scalars.retain(|n| self.state.get(*n) == Kind::Scalar);
        match self.source.pick(&scalars) {
            Some(n) => n,
            None => self.number(),
        }
    }

    fn number(&mut self) -> usize {
        let n = self.target();
        let value = self.source.number();
        match i32::try_from(value as i64) {
            Ok(imm) => self.code.set(reg(n), imm),
            Err(_) => self.code.push(Instr::LoadImm64 { dst: reg(n), imm: value }),
        }
        self.state.set(n, Kind::Scalar);
        n
    }

    fn number_or_place(&mut self) {
        if self.source.chance(160) {
            self.variable();
        } else {
            self.number();
        }
    }

    /// A pointer into memory at a place that a number decides, within what is sure to be there.
    fn variable(&mut self) {
        let roomy = |kind: Kind| matches!(kind, Kind::Memory { len, .. } if len >= 16);
        let from = self.state.regs_where(roomy);
        let Some(base) = self.source.pick(&from) else { return };
        let Kind::Memory { len, writable, atomics } = self.state.get(base) else { return };
        let index = self.scalar();
        let mut free = self.state.writable();
        free.retain(|n| *n != base && *n != index && !self.state.get(*n).is_pointer());
        let [at, to, ..] = free.as_slice() else { return };
        let (at, to) = (*at, *to);
        // Whole words below the largest power of two that the memory holds.
        let mask = (1 << len.ilog2()) - 8;
        self.code.copy(reg(at), reg(index));
        self.code.alu(AluOp::And, reg(at), Operand::Imm(mask as i32));
        self.code.copy(reg(to), reg(base));
        self.code.alu(AluOp::Add, reg(to), Operand::Reg(reg(at)));
        self.state.set(at, Kind::Scalar);
        self.state.set(to, Kind::Memory { len: len - mask, writable, atomics });
    }

    fn compute(&mut self) {
        let Some(row) = self.source.pick(&COMPUTES) else { return };
        let src = if row.src.is_register() { self.scalar() } else { 0 };
        let dst = if row.dst == RegField::Write { self.target() } else { self.own_scalar() };
        let fill = Fill {
            dst: dst as u8,
            src: src as u8,
            off: 0,
            imm: self.source.number() as i32,
            next_imm: self.source.number() as i32,
        };
        self.code.row(row, fill);
        self.state.set(dst, Kind::Scalar);
    }

    fn access(&mut self) {
        let Some(row) = self.source.pick(&ACCESSES) else { return };
        let Some(access) = access_of(row.op) else { return };
        // Values first: finding one may write an instruction.
        let value = if row.src.is_register() && access.write && !matches!(row.op, Op::LoadAcquire { .. }) {
            self.own_scalar()
        } else {
            0
        };
        if let Op::Atomic { op: AtomicOp::Cmpxchg, .. } = row.op
            && self.state.get(0) != Kind::Scalar
        {
            self.code.set(reg(0), value as i32);
            self.state.set(0, Kind::Scalar);
        }
        let Some(place) = self.place(access) else { return };
        let base = place.base.number();
        let mut fill = Fill { off: place.off, imm: self.source.number() as i32, ..Fill::default() };
        match row.op {
            Op::Load { .. } | Op::LoadAcquire { .. } => {
                let dst = self.target();
                (fill.dst, fill.src) = (dst as u8, base);
                self.code.row(row, fill);
                self.state.set(dst, Kind::Scalar);
            }
            _ => {
                (fill.dst, fill.src) = (base, value as u8);
                self.code.row(row, fill);
            }
        }
    }

    fn place(&mut self, access: Access) -> Option<Place> {
        let bytes = access.size.bytes();
        let mut choices: Vec<(backstop::isa::Reg, Kind, i16)> = Vec::new();
        for n in 0..10 {
            if self.state.get(n).is_pointer() {
                choices.push((reg(n), self.state.get(n), 0));
            }
        }
        for word in 0..STACK_WORDS {
            let plain = self.state.word(word) == Kind::Scalar;
            let fresh = self.state.word(word) == Kind::Unknown && access.write && !access.atomic && bytes == 8;
            if plain || fresh {
                choices.push((backstop::isa::Reg::R10, Kind::memory(8), word_off(word)));
            }
        }
        let (base, kind, from) = self.source.pick(&choices)?;
        let off = match kind {
            Kind::Ctx => self.ctx_offset(access)?,
            Kind::Memory { writable, atomics, .. } if (access.write && !writable) || (access.atomic && !atomics) => {
                return None;
            }
            Kind::Packet { .. } if access.atomic || (access.write && !returns::packet(&self.kind).write) => {
                return None;
            }
            Kind::Memory { len, .. } | Kind::Packet { len } => {
                let room = len.checked_sub(bytes)?;
                let off = self.source.below(room as usize + 1) as u32;
                let odd = from == 0 && len > 8 && !access.atomic && self.source.chance(24);
                i16::try_from(if odd { off } else { off - off % bytes }).ok()?
            }
            Kind::Scalar | Kind::Unknown | Kind::Opaque => return None,
        };
        if base == backstop::isa::Reg::R10 {
            let word = usize::try_from(-i32::from(from) / 8 - 1).ok()?;
            self.state.set_word(word, Kind::Scalar);
        }
        Some(Place { base, off: from + off })
    }

    fn ctx_offset(&mut self, access: Access) -> Option<i16> {
        if access.atomic {
            return None;
        }
        let fields = self.known.fields(access.size, access.write);
        let first = self.source.below(fields.places);
        fields.from(first)
    }

    /// Writes a branch over two numbers; what follows is run if it is not taken.
    pub(super) fn unless(&mut self, otherwise: Label) {
        let Some(row) = self.source.pick(&BRANCHES) else { return };
        let dst = self.scalar();
        let src = if row.src.is_register() { self.scalar() } else { 0 };
        let imm = self.source.number() as i32;
        self.code.wait_jump(otherwise);
        self.code.row(row, Fill { dst: dst as u8, src: src as u8, imm, ..Fill::default() });
    }

    fn branch(&mut self) {
        let (otherwise, end) = (self.code.label(), self.code.label());
        self.unless(otherwise);
        let before = self.state.clone();
        let statements = 1 + self.source.below(4);
        self.block(statements);
        if self.source.chance(96) {
            let long = self.source.chance(64);
            self.code.jump(end, long);
            self.code.place(otherwise);
            let taken = std::mem::replace(&mut self.state, before);
            let statements = 1 + self.source.below(4);
            self.block(statements);
            self.state.meet(&taken);
        } else {
            self.code.place(otherwise);
            self.state.meet(&before);
        }
        self.code.place(end);
    }

    fn repeat(&mut self) {
        let writable = self.state.writable();
        let counters: Few = (6..10).filter(|n| writable.contains(n) && !self.state.get(*n).is_pointer()).collect();
        let rounds = 1 + self.source.below(7);
        let Some(counter) = self.source.pick(&counters) else { return };
        if self.too_hot(rounds) {
            return;
        }
        let frozen = self.state.frozen;
        self.state.enter_loop();
        self.code.set(reg(counter), 0);
        self.state.set(counter, Kind::Scalar);
        if let Some(frozen) = self.state.frozen.get_mut(counter) {
            *frozen = true;
        }
        let start = self.state.clone();
        let (again, out) = (self.code.label(), self.code.label());
        let unbounded = self.source.chance(48);
        self.code.place(again);
        if unbounded {
            self.code.wait_jump(out);
            self.code.push(Instr::MayGoto { off: 0 });
        }
        (self.nesting, self.heat) = (self.nesting + 1, self.heat * rounds);
        let statements = 1 + self.source.below(4);
        self.block(statements);
        (self.nesting, self.heat) = (self.nesting - 1, self.heat / rounds);
        self.repair(&start);
        self.code.add(reg(counter), 1);
        let width = if self.source.chance(64) { Width::W32 } else { Width::W64 };
        self.code.wait_jump(again);
        let src = Operand::Imm(rounds as i32);
        self.code.push(Instr::Branch { width, op: CmpOp::Lt, dst: reg(counter), src, off: 0 });
        self.code.place(out);
        if unbounded {
            self.state.meet(&start);
        }
        self.state.frozen = frozen;
    }

    /// Whether a further loop here would run too often.
    pub(super) fn too_hot(&self, rounds: usize) -> bool {
        self.nesting >= MAX_NESTING || self.heat * rounds > MAX_HEAT
    }

    /// Whether this is inside a loop.
    pub(super) fn nests(&self) -> bool {
        self.nesting > 0
    }

    /// Whether something is open: no way out of the function, and no call of one that may throw.
    pub(super) fn holds(&self) -> bool {
        self.open > 0
    }

    /// Statements with `open` more things open, each run `rounds` times.
    pub(super) fn holding(&mut self, open: usize, rounds: usize, statements: usize) {
        let nested = if rounds > 1 { MAX_NESTING } else { 0 };
        (self.open, self.nesting, self.heat) = (self.open + open, self.nesting + nested, self.heat * rounds);
        let statements = 1 + self.source.below(statements);
        self.block(statements);
        (self.open, self.nesting, self.heat) = (self.open - open, self.nesting - nested, self.heat / rounds);
    }

    fn repeat_or_guard(&mut self) {
        if self.source.chance(170) { self.iterate() } else { self.guard() }
    }

    /// Brings back what held at a loop's start, as far as it was numbers.
    pub(super) fn repair(&mut self, start: &State) {
        for n in 0..10 {
            if start.get(n) == Kind::Scalar && self.state.get(n) != Kind::Scalar {
                self.code.set(reg(n), n as i32);
                self.state.set(n, Kind::Scalar);
            }
        }
        for word in 0..STACK_WORDS {
            if start.word(word) == Kind::Scalar && self.state.word(word) != Kind::Scalar {
                self.zero_word(word);
            }
        }
    }

    pub(super) fn zero_word(&mut self, word: usize) {
        let value = i32::from(self.source.byte());
        self.code.store(Size::B8, backstop::isa::Reg::R10, word_off(word), Operand::Imm(value));
        self.state.set_word(word, Kind::Scalar);
    }

    fn early_exit(&mut self) {
        if self.holds() {
            return;
        }
        let over = self.code.label();
        self.unless(over);
        let before = self.state.clone();
        self.leave();
        self.state = before;
        self.code.place(over);
    }

    /// Puts a pointer on the stack, or takes one from there.
    fn spill(&mut self) {
        let spilled: Few = (0..STACK_WORDS).filter(|n| self.state.word(*n).is_pointer()).collect();
        if let Some(word) = self.source.pick(&spilled)
            && self.source.chance(128)
        {
            let dst = self.target();
            self.code.load(Size::B8, reg(dst), backstop::isa::Reg::R10, word_off(word));
            self.state.set(dst, self.state.word(word));
            return;
        }
        let pointers = self.state.regs_where(Kind::is_pointer);
        let Some(from) = self.source.pick(&pointers) else { return };
        let word = self.source.below(STACK_WORDS);
        if self.state.word(word) == Kind::Opaque {
            return;
        }
        self.code.store(Size::B8, backstop::isa::Reg::R10, word_off(word), Operand::Reg(reg(from)));
        self.state.set_word(word, self.state.get(from));
    }

    /// The address of an array's value.
    fn map_value(&mut self) {
        let map = if self.source.chance(64) { MapUse::Constants } else { MapUse::Single };
        let len = map.value_size();
        let dst = self.target();
        let skipped = self.source.below(2) as u32 * 8;
        let imm = self.maps.index(map);
        self.code.push(Instr::LoadPseudo { dst: reg(dst), kind: Pseudo::MapValueIdx, imm, next_imm: skipped as i32 });
        let writable = map != MapUse::Constants;
        self.state.set(dst, Kind::Memory { len: len - skipped, writable, atomics: writable });
    }

    /// A stretch of the packet, checked against its end; or a legacy load.
    fn packet(&mut self) {
        let fields = match self.known.packet {
            Some(fields) if !returns::packet(&self.kind).legacy || self.source.chance(160) => fields,
            _ => return self.legacy_load(),
        };
        let contexts = self.state.regs_where(|kind| kind == Kind::Ctx);
        let Some(ctx) = self.source.pick(&contexts) else { return };
        let mut free = self.state.writable();
        free.retain(|n| *n != ctx && !self.state.get(*n).is_pointer());
        let [data, end, limit, ..] = free.as_slice() else { return };
        let (data, end, limit) = (*data, *end, *limit);
        let len = 1 + self.source.below(40);
        let over = self.code.label();
        self.code.load(fields.size, reg(end), reg(ctx), fields.end);
        self.code.load(fields.size, reg(data), reg(ctx), fields.start);
        self.code.copy(reg(limit), reg(data));
        self.code.add(reg(limit), len as i32);
        for n in [data, end, limit] {
            self.state.set(n, Kind::Unknown);
        }
        self.code.wait_jump(over);
        self.code.push(Instr::Branch {
            width: Width::W64,
            op: CmpOp::Gt,
            dst: reg(limit),
            src: Operand::Reg(reg(end)),
            off: 0,
        });
        let before = self.state.clone();
        self.state.set(data, Kind::Packet { len: len as u32 });
        let statements = 1 + self.source.below(6);
        self.block(statements);
        self.code.place(over);
        self.state.meet(&before);
    }

    fn legacy_load(&mut self) {
        let legacy = returns::packet(&self.kind).legacy;
        if !legacy || self.state.get(6) != Kind::Ctx || self.role() != Role::Main || self.holds() {
            return;
        }
        let Some(row) = self.source.pick(&LEGACY) else { return };
        let src = if row.src.is_register() { self.scalar() } else { 0 };
        let imm = self.source.below(160) as i32;
        self.code.row(row, Fill { src: src as u8, imm, ..Fill::default() });
        self.state.after_call(Kind::Scalar);
    }
}
