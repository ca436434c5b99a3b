//! The log of the walk, in the kernel's form.

use std::fmt::Write;

use crate::domain::SignedNumber;
use crate::env::Verifier;
use crate::options::Options;
use crate::state::{ADD_CONST, Byte, Flags, Frame, FrameRole, Kind, MapId, Marks, Object, RegState, State};

/// The log so far. Bounded: what comes beyond the limit is left out at the front, as tools read the end.
#[derive(Debug)]
pub(crate) struct Log {
    level: u8,
    text: String,
    limit: usize,
    /// The state must be shown before the next instruction.
    pub show_state: bool,
}

impl Log {
    pub fn new(options: &Options) -> Log {
        Log {
            level: options.log_level,
            text: String::new(),
            limit: options.limits.log_bytes.max(1024),
            show_state: true,
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

    fn push(&mut self, text: &str) {
        if self.text.len() + text.len() > self.limit {
            let mut from = self.text.len() / 2;
            while !self.text.is_char_boundary(from) {
                from += 1;
            }
            self.text.drain(..from);
        }
        self.text.push_str(text);
    }

    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

impl Verifier<'_> {
    /// The instruction that is about to be walked, with its state where the level asks for it.
    pub fn log_insn(&mut self) {
        if !self.log.on(1) {
            return;
        }
        let at = self.insn;
        if std::mem::take(&mut self.log.show_state) {
            let state = self.state_text(&self.cur);
            let from = self.prev_insn;
            self.log.line(1, || match from {
                u32::MAX => format!("{at}:{state}"),
                _ => format!("\nfrom {from} to {at}:{state}"),
            });
        } else if self.log.on(2) {
            let state = self.state_text(&self.cur);
            self.log.line(2, || format!("; {}", state.trim_start()));
        }
        let text = self.instr(at).map_or_else(|| "?".to_owned(), ToString::to_string);
        let source = self.source_line(at);
        if let Some(source) = source {
            self.log.line(1, || source);
        }
        self.log.line(1, || format!("{at}: {text}"));
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

    /// The state after a branch was decided.
    pub fn log_state(&mut self) {
        if self.log.on(2) {
            let state = self.state_text(&self.cur);
            self.log.line(2, || format!(";{state}"));
        }
    }
}

impl Verifier<'_> {
    /// Registers and stack of the running frame, as the kernel writes them.
    pub fn state_text(&self, state: &State) -> String {
        let mut out = String::new();
        if state.top() > 0 {
            let _ = write!(out, " frame{}:", state.top());
        }
        let (frame, marks) = (state.frame(), state.marks_of(state.top()));
        for (i, r) in frame.regs.iter().enumerate() {
            if r.is_init() {
                let _ = write!(out, " R{i}={}", self.reg_text(r, marks.reg(i), state.top()));
            }
        }
        self.stack_text(frame, marks, state.top(), &mut out);
        for r in &state.held.refs {
            let _ = write!(out, " refs={}", r.id);
        }
        match frame.role {
            FrameRole::Callback => out.push_str(" cb"),
            FrameRole::AsyncCallback => out.push_str(" async_cb"),
            FrameRole::Plain | FrameRole::ExceptionCallback => {}
        }
        out
    }

    fn stack_text(&self, frame: &Frame, marks: Marks, top: usize, out: &mut String) {
        for (i, slot) in frame.stack.iter().enumerate() {
            if slot.bytes.iter().all(|b| *b == Byte::Invalid) {
                continue;
            }
            let _ = write!(out, " fp-{}=", (i + 1) * 8);
            if slot.is_spill() {
                // Bytes above a narrow spill are shown before it.
                out.extend(slot.bytes.iter().rev().take_while(|b| **b != Byte::Spill).map(|b| byte_char(*b)));
                let _ = write!(out, "{}", self.reg_text(slot.spilled(), marks.slot(i), top));
                continue;
            }
            if let Some(object) = slot.object {
                match object {
                    Object::Iter { kind, state, depth, first } => {
                        let word = if state == crate::state::IterState::Active { "active" } else { "drained" };
                        let id = slot.reference();
                        let text = format!("iter_{}(ref_id={id},state={word},depth={depth})", kind.name());
                        out.push_str(if first { &text } else { "iter" });
                    }
                    Object::IrqFlag { .. } => out.push_str("irq_flag"),
                    Object::Dynptr { .. } => out.push_str("dynptr"),
                }
                continue;
            }
            out.extend(slot.bytes.iter().rev().map(|b| byte_char(*b)));
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
        if r.is_pointer() && r.off != 0 {
            field(&mut out, format!("off={}", r.off));
        }
        if r.is_packet() {
            field(&mut out, format!("r={}", r.range));
        }
        if let Some(map) = map_of(r) {
            let spec = &self.world.map(map).spec;
            field(&mut out, format!("map={},ks={},vs={}", spec.name, spec.key_size, spec.value_size));
        }
        if let Kind::Mem(size) = r.kind {
            field(&mut out, format!("sz={size}"));
        }
        if r.flags.has(Flags::NON_OWN_REF) {
            field(&mut out, "non_own_ref".to_owned());
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
