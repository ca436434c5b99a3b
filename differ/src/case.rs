//! Programs as text: what a finding is kept as.
//!
//! `key: value` lines, then `code:` and the program in the assembler's syntax. Lines that start with `//` before `code:` are comments.
//!
//! | key | meaning |
//! |---|---|
//! | `type: xdp` | program type |
//! | `memory: 64` | for `raw_mem`, bytes of the memory |
//! | `rules: compat-linux` | judged as Linux does, and put before Linux too, where that is permitted |
//! | `rules: unprivileged` | judged as for users without privileges |
//! | `attach: xdp_devmap` | attach type, by Linux's name |
//! | `sleepable: true` | whether it may sleep, if that is not the type's usual |
//! | `map: NAME KIND KEY_SIZE VALUE_SIZE ENTRIES [flags=N] [frozen=HEX] [data=HEX]` | a map, by index in the order of the lines; its first content |
//! | `kfunc: NAME` | a kfunc, by index in the order of the lines |
//! | `func: SLOT ROLE ARGS` | a function's first slot, `main`, `static`, `global` or `exception`, and its number of arguments |
//! | `input: HEX` | packet, memory, context or arguments of one run |
//!
//! A program's first prog_array has the program itself in slot 0.

use std::fmt::Write as _;
use std::sync::Arc;

use backstop::btf::{Linkage, Type};
use backstop::isa::{assemble, disassemble};
use backstop::model::{
    AttachType, BuiltinKfunc, MAP_F_RDONLY_PROG, MapKind, MapSpec, ProgKind, ProgType, Program, kfuncs,
};

use crate::column::Rules;
use crate::generate::{Role, Signature, host, signatures};

/// A program with its inputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// The program.
    pub program: Program,
    /// Inputs of its runs, in order.
    pub inputs: Vec<Vec<u8>>,
    /// How it is judged.
    pub rules: Rules,
}

/// Text that is no case.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CaseError {
    /// A line before `code:`.
    #[error("line {line}: {what}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong, and what is wanted.
        what: String,
    },
    /// The program's text.
    #[error("after `code:`: {0}")]
    Code(String),
    /// There is no `code:`.
    #[error("there is no line `code:`; the program's instructions follow it")]
    NoCode,
}

/// The functions of a program of this crate's, main first; `None` if its types say something else.
pub(crate) fn functions(program: &Program) -> Option<Vec<Signature>> {
    let Some(btf) = &program.btf else { return Some(Vec::new()) };
    let main = program.func_info.first()?.func;
    let tag = btf.decl_tags(main, None).find_map(|tag| tag.strip_prefix("exception_callback:"));
    let signature = |info: &backstop::model::FuncInfo| {
        let &Type::Func { proto, linkage, .. } = btf.get(info.func)? else { return None };
        let args = btf.proto(proto)?.params.len();
        let role = match linkage {
            _ if info.slot == 0 => Role::Main,
            _ if Some(btf.name(info.func)) == tag => Role::Exception,
            Linkage::Global => Role::Global,
            _ => Role::Static,
        };
        Some(Signature { slot: info.slot as usize, role, args })
    };
    program.func_info.iter().map(signature).collect()
}

/// A program of these parts; types are made for its functions.
pub(crate) fn with_functions(program: &Program, functions: &[Signature]) -> Program {
    let mut program = program.clone();
    let typed = if functions.is_empty() { None } else { signatures(functions) };
    (program.btf, program.func_info) = typed.map_or((None, Vec::new()), |(btf, info)| (Some(btf), info));
    program
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().collect();
    if !digits.len().is_multiple_of(2) {
        return Err("an odd number of hexadecimal digits; a byte has two".to_owned());
    }
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        u8::from_str_radix(text, 16).map_err(|_| format!("`{text}` is no hexadecimal byte"))
    };
    digits.chunks(2).map(byte).collect()
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = &self.program.kind;
        writeln!(f, "type: {}", kind.ty.name())?;
        if kind.ty == ProgType::RawMem {
            writeln!(f, "memory: {}", kind.memory_len)?;
        }
        if self.rules.compat_linux {
            writeln!(f, "rules: compat-linux")?;
        }
        if self.rules.unprivileged {
            writeln!(f, "rules: unprivileged")?;
        }
        if let Some(name) = kind.attach.name() {
            writeln!(f, "attach: {name}")?;
        }
        if kind.sleepable != ProgKind::new(kind.ty).sleepable {
            writeln!(f, "sleepable: {}", kind.sleepable)?;
        }
        for map in &self.program.maps {
            let (name, kind) = (&map.name, map.kind.name());
            write!(f, "map: {name} {kind} {} {} {}", map.key_size, map.value_size, map.max_entries)?;
            if map.flags & !(if map.frozen { MAP_F_RDONLY_PROG } else { 0 }) != 0 {
                write!(f, " flags={}", map.flags)?;
            }
            if let Some(initial) = &map.initial {
                write!(f, " {}={}", if map.frozen { "frozen" } else { "data" }, hex(initial))?;
            }
            writeln!(f)?;
        }
        for kfunc in &self.program.kfuncs {
            writeln!(f, "kfunc: {}", kfunc.name)?;
        }
        for function in functions(&self.program).unwrap_or_default() {
            let role = match function.role {
                Role::Main => "main",
                Role::Global => "global",
                Role::Exception => "exception",
                Role::Static | Role::Loop | Role::Each => "static",
            };
            writeln!(f, "func: {} {role} {}", function.slot, function.args)?;
        }
        for input in &self.inputs {
            writeln!(f, "input: {}", hex(input))?;
        }
        write!(f, "code:\n{}", disassemble(&self.program.slots))
    }
}

impl std::str::FromStr for Case {
    type Err = CaseError;

    fn from_str(text: &str) -> Result<Case, CaseError> {
        // Editors of other systems end lines so.
        let text = &text.replace("\r\n", "\n");
        let (header, code) = match text.split_once("\ncode:\n") {
            Some(parts) => parts,
            None => return Err(CaseError::NoCode),
        };
        let mut parts = Parts::default();
        for (number, line) in (1..).zip(header.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with("//") {
                parts.line(line).map_err(|what| CaseError::Line { line: number, what })?;
            }
        }
        let slots = assemble(code).map_err(|error| CaseError::Code(error.to_string()))?;
        let mut kind = parts.kind.ok_or(CaseError::Line { line: 1, what: "there is no `type:`".to_owned() })?;
        kind.memory_len = parts.memory.unwrap_or(kind.memory_len);
        kind.attach = parts.attach;
        kind.sleepable = parts.sleepable.unwrap_or(kind.sleepable);
        let program = Program {
            name: "generated".to_owned(),
            section: String::new(),
            kind,
            slots,
            maps: parts.maps,
            kfuncs: parts.kfuncs,
            btf: None,
            func_info: Vec::new(),
            line_info: Vec::new(),
            poisoned: Vec::new(),
            license: "GPL".to_owned(),
        };
        let program = with_functions(&program, &parts.functions);
        Ok(Case { program, inputs: parts.inputs, rules: parts.rules })
    }
}

#[derive(Default)]
struct Parts {
    kind: Option<ProgKind>,
    memory: Option<u32>,
    attach: AttachType,
    sleepable: Option<bool>,
    rules: Rules,
    maps: Vec<Arc<MapSpec>>,
    kfuncs: Vec<Arc<backstop::model::Kfunc>>,
    functions: Vec<Signature>,
    inputs: Vec<Vec<u8>>,
}

impl Parts {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = line.split_once(':').ok_or("want `key: value`")?;
        let value = value.trim();
        match key {
            "type" => {
                let all = || ProgType::LINUX.into_iter().chain([ProgType::RawMem, ProgType::Host]);
                let ty = all().find(|ty| ty.name() == value).ok_or_else(|| format!("no program type `{value}`"))?;
                let mut kind = ProgKind::new(ty);
                if ty == ProgType::Host {
                    kind.host = Some(host());
                }
                self.kind = Some(kind);
            }
            "memory" => self.memory = Some(number(value)?),
            "rules" if value == "compat-linux" => self.rules.compat_linux = true,
            "rules" if value == "unprivileged" => self.rules.unprivileged = true,
            "attach" => self.attach = attach(value)?,
            "sleepable" => self.sleepable = Some(value.parse().map_err(|_| "want `true` or `false`")?),
            "map" => self.maps.push(Arc::new(map(value)?)),
            "kfunc" => {
                let builtin = BuiltinKfunc::by_name(value).ok_or_else(|| format!("no kfunc `{value}`"))?;
                self.kfuncs.push(kfuncs::builtin(builtin).map_err(|error| error.to_string())?);
            }
            "func" => self.functions.push(function(value)?),
            "input" => self.inputs.push(bytes(value)?),
            other => return Err(format!("`{other}: {value}` says nothing")),
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}

fn attach(name: &str) -> Result<AttachType, String> {
    use AttachType::{
        CgroupInetEgress, CgroupInetIngress, KprobeMulti, KprobeSession, Other, TraceFentry, TraceFexit, TraceIter,
        TraceModifyReturn, TraceRawTp, UprobeMulti, XdpCpumap, XdpDevmap,
    };
    let known = [
        CgroupInetIngress,
        CgroupInetEgress,
        XdpDevmap,
        XdpCpumap,
        TraceIter,
        TraceFentry,
        TraceFexit,
        TraceModifyReturn,
        TraceRawTp,
        KprobeMulti,
        UprobeMulti,
        KprobeSession,
    ];
    let mut all = known.into_iter().chain((0..=255).map(Other));
    all.find(|attach| attach.name() == Some(name)).ok_or_else(|| format!("no attach type `{name}`"))
}

fn function(line: &str) -> Result<Signature, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [slot, role, args] = words.as_slice() else { return Err("want SLOT ROLE ARGS".to_owned()) };
    let role = match *role {
        "main" => Role::Main,
        "static" => Role::Static,
        "global" => Role::Global,
        "exception" => Role::Exception,
        other => return Err(format!("`{other}` is none of main, static, global, exception")),
    };
    Ok(Signature { slot: number(slot)?, role, args: number(args)? })
}

fn map(line: &str) -> Result<MapSpec, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, kind, key, value, entries, options @ ..] = words.as_slice() else {
        return Err("want NAME KIND KEY_SIZE VALUE_SIZE ENTRIES".to_owned());
    };
    let kind =
        MapKind::ALL.into_iter().find(|known| known.name() == *kind).ok_or_else(|| format!("no map kind `{kind}`"))?;
    let mut map = MapSpec::new(*name, kind, number(key)?, number(value)?, number(entries)?);
    for option in options {
        match option.split_once('=') {
            Some(("flags", flags)) => map.flags = number(flags)?,
            Some(("frozen", content)) => {
                map.initial = Some(bytes(content)?.into());
                map.flags |= MAP_F_RDONLY_PROG;
                map.frozen = true;
            }
            Some(("data", content)) => map.initial = Some(bytes(content)?.into()),
            _ => return Err(format!("`{option}` is no option; there are `flags=N`, `frozen=HEX` and `data=HEX`")),
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_the_result_is_kept() {
        let text = "type: tracing\nrules: unprivileged\nattach: trace_fexit\nsleepable: true\nmap: .data array 4 4 1 flags=1024 data=01020304\n\
                    map: .rodata array 4 4 1 frozen=0a0b0c0d\ncode:\nr0 = 1\nexit\n";
        let case: Case = text.parse().expect("a case");
        assert!(case.rules.unprivileged && case.program.kind.sleepable);
        assert_eq!(case.program.kind.attach, AttachType::TraceFexit);
        let [data, rodata] = case.program.maps.as_slice() else { panic!("two maps") };
        assert_eq!((data.initial.as_deref(), data.frozen, data.flags), (Some(&[1, 2, 3, 4][..]), false, 1024));
        assert_eq!((rodata.initial.as_deref(), rodata.frozen), (Some(&[10, 11, 12, 13][..]), true));
        let again: Case = case.to_string().parse().expect("the same case");
        assert_eq!((again.rules, &again.program.kind), (case.rules, &case.program.kind));
        assert_eq!(again.to_string(), case.to_string());
    }

    #[test]
    fn lines_may_end_as_other_systems_do() {
        let text = "// a comment\ntype: raw_mem\nmemory: 8\ninput: 0011223344556677\ncode:\nr0 = 1\nexit\n";
        let case: Case = text.parse().expect("a case");
        let other: Case = text.replace('\n', "\r\n").parse().expect("the same case");
        assert_eq!(other.to_string(), case.to_string());
    }
}
