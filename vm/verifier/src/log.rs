//! The log of the walk, in the kernel's form.

use std::fmt::Write;

use backstop_isa::{Disasm, Instr, Name};

use crate::domain::SignedNumber;
use crate::env::Verifier;
use crate::options::Options;
use crate::state::{ADD_CONST, Byte, Flags, FrameRole, Kind, MapId, Object, Ref, RefKind, RegState, Slot, State};

/// Column of the state after an instruction (Linux: `BPF_LOG_ALIGNMENT`).
const STATE_COLUMN: usize = 40;
/// Longer instructions push it on by this much (Linux: `BPF_LOG_MIN_ALIGNMENT`).
const STATE_STEP: usize = 8;

/// The log so far. Bounded: what comes beyond the limit is left out at the front, as tools read the end.
///
/// As in Linux, level 1 tells the path that is being walked and what led there; level 2 every path.
#[derive(Debug)]
pub(crate) struct Log {
    level: u8,
    text: String,
    limit: usize,
    /// Bytes left out at the front.
    dropped: usize,
    /// The whole state must be shown before the next instruction.
    pub show_state: bool,
    /// Parts of the state as they were shown last, with the frame that they are of.
    shown: (usize, Vec<Part>),
    /// The last line is an instruction's: where it ends and how long it is, so that what it changed can be put behind it.
    instr_line: (usize, usize),
}

/// A part of the state: what it is (`R1`, `fp-8`) and its value.
type Part = (String, String);

impl Log {
    pub fn new(options: &Options) -> Log {
        Log {
            level: options.log_level,
            text: String::new(),
            limit: options.limits.log_bytes.max(1024),
            dropped: 0,
            show_state: true,
            shown: (0, Vec::new()),
            instr_line: (0, 0),
        }
    }

    pub fn on(&self, level: u8) -> bool {
        self.level >= level
    }

    pub fn line(&mut self, level: u8, text: impl FnOnce() -> String) {
        if self.on(level) {
            let text = text();
            self.push(&text);
            self.push("\n");
        }
    }

    /// Bytes logged so far, those left out included.
    pub fn position(&self) -> usize {
        self.dropped + self.text.len()
    }

    /// A path has ended well, and one goes on that branched off when the log stood at `position`: below level 2 what was told since is
    /// forgotten.
    pub fn path_ends(&mut self, position: usize) {
        if self.on(1) && !self.on(2) {
            self.text.truncate(position.saturating_sub(self.dropped));
            // The branch's own line went on with what it changed.
            if !self.text.is_empty() && !self.text.ends_with('\n') {
                self.text.truncate(self.text.trim_end().len());
                self.text.push('\n');
            }
        }
    }

    fn push(&mut self, text: &str) {
        if self.text.len() + text.len() > self.limit {
            let mut from = self.text.len() / 2;
            while !self.text.is_char_boundary(from) {
                from += 1;
            }
            self.text.drain(..from);
            self.dropped += from;
        }
        self.text.push_str(text);
    }

    fn instruction(&mut self, text: &str) {
        self.push(text);
        self.push("\n");
        self.instr_line = (self.position(), text.len());
    }

    /// What the last instruction changed: behind it, or on a line of its own if something was told in between.
    fn changes(&mut self, at: u32, state: &str) {
        let (end, len) = self.instr_line;
        if end == self.position() && self.text.ends_with('\n') {
            self.text.pop();
            let column = STATE_COLUMN.max((len + STATE_STEP / 2).next_multiple_of(STATE_STEP)) - 2;
            self.push(&format!("{:pad$};{state}\n", "", pad = column.saturating_sub(len)));
        } else {
            self.push(&format!("{at}:{state}\n"));
        }
    }

    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

impl Verifier<'_> {
    /// The instruction that is about to be walked, after what the one before it changed.
    pub fn log_insn(&mut self) {
        if !self.log.on(1) {
            return;
        }
        let at = self.insn;
        self.log_state();
        if let Some(source) = self.source_line(at) {
            self.log.line(1, || source);
        }
        let text = self.insn_text(at);
        self.log.instruction(&text);
    }

    /// An instruction with its slot and code. Nothing is made where level 1 is not logged.
    pub fn insn_text(&self, at: u32) -> String {
        if !self.log.on(1) {
            return String::new();
        }
        let text = self.instr(at).map_or_else(|| "?".to_owned(), |instr| self.instr_text(at, instr));
        let code = self.program.slots.get(at as usize).map_or(0, |slot| slot.code);
        format!("{at}: ({code:02x}) {text}")
    }

    /// The state before the next instruction: whole where a path begins and where the frame changes, else what changed.
    fn log_state(&mut self) {
        let (at, from, depth) = (self.insn, self.prev_insn, self.cur.top());
        let parts = self.state_parts(&self.cur);
        let begins = std::mem::take(&mut self.log.show_state);
        let (frame, before) = std::mem::replace(&mut self.log.shown, (depth, Vec::new()));
        if begins || frame != depth {
            let state = self.state_text(&self.cur);
            let place = if begins && from != u32::MAX { format!("\nfrom {from} to {at}") } else { at.to_string() };
            self.log.line(1, || format!("{place}:{state}"));
        } else {
            let mut state = frame_text(depth);
            let length = state.len();
            for (what, value) in parts.iter().filter(|part| !before.contains(part)) {
                let _ = write!(state, " {what}={value}");
            }
            if state.len() > length {
                self.log.changes(at, &state);
            }
        }
        self.log.shown.1 = parts;
    }

    /// The instruction's text, calls with their numbers as in Linux's log.
    fn instr_text(&self, at: u32, instr: &Instr) -> String {
        let namer = |name| {
            let text = self.program.name_of(name)?;
            Some(match name {
                Name::Helper(id) | Name::Kfunc { id, .. } => format!("{text}#{id}"),
                Name::Label(_) | Name::Address { .. } => text,
            })
        };
        Disasm::new(&namer).instr(at as usize, instr).to_string()
    }

    fn source_line(&self, at: u32) -> Option<String> {
        let line = self.program.line_at(at).filter(|l| l.slot == at)?;
        let btf = self.program.btf.as_ref()?;
        let text = btf.str(backstop_btf::Name(line.text)).trim();
        let file = btf.str(backstop_btf::Name(line.file));
        let name = file.rsplit('/').next().unwrap_or(file);
        Some(format!("; {text} @ {name}:{}", line.line))
    }

    /// The path is covered by one that was walked.
    pub fn log_safe(&mut self) {
        let (from, at) = (self.prev_insn, self.insn);
        let branch = self.log.show_state && from != u32::MAX;
        self.log.line(1, || if branch { format!("\nfrom {from} to {at}: safe") } else { format!("{at}: safe") });
    }
}

/// Which frame a state is of; nothing for main's.
fn frame_text(depth: usize) -> String {
    if depth > 0 { format!(" frame{depth}:") } else { String::new() }
}

impl Verifier<'_> {
    /// Registers and stack of the running frame, as the kernel writes them.
    pub fn state_text(&self, state: &State) -> String {
        let mut out = frame_text(state.top());
        for (what, value) in self.state_parts(state) {
            let _ = write!(out, " {what}={value}");
        }
        out.push_str(&refs_text(&state.held.refs));
        match state.frame().role {
            FrameRole::Callback => out.push_str(" cb"),
            FrameRole::AsyncCallback => out.push_str(" async_cb"),
            FrameRole::Plain | FrameRole::ExceptionCallback => {}
        }
        out
    }

    /// Registers and stack slots of the running frame that hold something.
    fn state_parts(&self, state: &State) -> Vec<Part> {
        let (frame, marks, top) = (state.frame(), state.marks_of(state.top()), state.top());
        let regs = frame.regs.iter().enumerate().filter(|(_, r)| r.is_init());
        let mut parts: Vec<Part> = regs.map(|(i, r)| (format!("R{i}"), self.reg_text(r, marks.reg(i), top))).collect();
        for (i, slot) in frame.stack.iter().enumerate() {
            if slot.bytes.iter().any(|b| *b != Byte::Invalid) {
                parts.push((format!("fp-{}", (i + 1) * 8), self.slot_text(slot, marks.slot(i), top)));
            }
        }
        parts
    }

    fn slot_text(&self, slot: &Slot, precise: bool, top: usize) -> String {
        let bytes = slot.bytes.iter().rev();
        if slot.is_spill() {
            // Bytes above a narrow spill are shown before it.
            let above: String = bytes.take_while(|b| **b != Byte::Spill).map(|b| byte_char(*b)).collect();
            return above + &self.reg_text(slot.spilled(), precise, top);
        }
        match slot.object {
            Some(Object::Iter { kind, state, depth, first: true }) => {
                let word = if state == crate::state::IterState::Active { "active" } else { "drained" };
                format!("iter_{}(ref_id={},state={word},depth={depth})", kind.name(), slot.reference())
            }
            Some(Object::Iter { .. }) => "iter".to_owned(),
            Some(Object::IrqFlag { .. }) => "irq_flag".to_owned(),
            Some(Object::Dynptr { .. }) => "dynptr".to_owned(),
            None => bytes.map(|b| byte_char(*b)).collect(),
        }
    }
}

impl Verifier<'_> {
    /// One register, as the kernel writes it.
    pub fn reg_text(&self, r: &RegState, precise: bool, top: usize) -> String {
        let mut out = String::new();
        let precise = if r.is_scalar() && precise { "P" } else { "" };
        if let Some(v) = r.scalar_const() {
            let _ = write!(out, "{precise}{}", SignedNumber(v as i64));
            return out;
        }
        match r.kind {
            Kind::Scalar => {
                let _ = write!(out, "{precise}scalar(");
            }
            Kind::Stack(frame) => {
                if usize::from(frame) != top {
                    let _ = write!(out, "fp[{frame}]");
                } else {
                    out.push_str("fp");
                }
                if let Some(v) = r.var.is_const() {
                    let _ = write!(out, "{}", i64::from(r.off).wrapping_add(v as i64));
                    return out;
                }
                out.push('(');
            }
            Kind::Btf(b) => {
                let name = self.world.btf(b).map_or("", |btf| btf.name(backstop_btf::TypeId(b.id)));
                let _ = write!(out, "{}{name}(", r.type_name());
            }
            _ => {
                let _ = write!(out, "{}(", r.type_name());
            }
        }
        let mut first = true;
        let mut field = |out: &mut String, text: String| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            out.push_str(&text);
        };
        if r.id != 0 {
            let plus = if r.id & ADD_CONST != 0 && r.is_scalar() { format!("{:+}", r.off) } else { String::new() };
            field(&mut out, format!("id={}{plus}", r.base_id()));
        }
        if r.ref_id != 0 {
            field(&mut out, format!("ref_obj_id={}", r.ref_id));
        }
        if r.flags.has(Flags::NON_OWN_REF) {
            field(&mut out, "non_own_ref".to_owned());
        }
        if let Some(map) = map_of(r) {
            let spec = &self.world.map(map).spec;
            field(&mut out, format!("map={},ks={},vs={}", spec.name, spec.key_size, spec.value_size));
        }
        if r.is_pointer() && r.off != 0 {
            field(&mut out, format!("off={}", r.off));
        }
        if r.is_packet() {
            field(&mut out, format!("r={}", r.range));
        }
        if let Kind::Mem(size) = r.kind {
            field(&mut out, format!("sz={size}"));
        }
        let mut bounds = String::new();
        if r.is_scalar() || r.var.is_const() != Some(0) {
            let _ = r.var.write_bounds(&mut bounds, !first);
        }
        out.push_str(&bounds);
        out.push(')');
        out
    }
}

/// What is held, by number; locks by the lookup that they came from. Linux shows none if the oldest has no number.
fn refs_text(refs: &[Ref]) -> String {
    let number = |r: &Ref| match r.kind {
        RefKind::Lock { id, .. } | RefKind::ResLock { id, .. } => id,
        RefKind::Pointer | RefKind::Irq => r.id,
    };
    let mut numbers = refs.iter().map(number);
    let Some(oldest) = numbers.next().filter(|id| *id != 0) else { return String::new() };
    numbers.filter(|id| *id != 0).fold(format!(" refs={oldest}"), |text, id| format!("{text},{id}"))
}

fn map_of(r: &RegState) -> Option<MapId> {
    match r.kind {
        Kind::MapPtr(m) | Kind::MapValue(m) | Kind::MapKey(m) => Some(m),
        _ => None,
    }
}

/// One byte of stack, as the kernel writes it.
fn byte_char(b: Byte) -> char {
    match b {
        Byte::Invalid => '?',
        Byte::Misc => 'm',
        Byte::Zero => '0',
        Byte::Spill => 'r',
        Byte::Dynptr => 'd',
        Byte::Iter => 'i',
        Byte::IrqFlag => 'f',
    }
}
