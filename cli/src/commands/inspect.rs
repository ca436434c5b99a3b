//! `backstop inspect`: what an object holds, before anything is verified.

use std::path::Path;

use backstop::btf::Kind;
use backstop::model::sections::{self, SectionDef};
use backstop::model::{AttachType, BuiltinKfunc, KfuncIdentity, MapSpec};
use backstop::{Config, Object};
use backstop_object::{ExternKind, Visibility};
use serde::Serialize;

use crate::args::{InspectArgs, Judging};
use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, counted};
use crate::session::{self, Session};
use crate::values::{Value, decode, table::aligned};

#[derive(Serialize)]
struct Inspected {
    object: String,
    license: String,
    programs: Vec<Program>,
    functions: Vec<Function>,
    maps: Vec<Map>,
    globals: Vec<Global>,
    externs: Vec<Extern>,
    relocations: Vec<Relocation>,
    notes: Vec<String>,
    /// Only of an object that can't be opened, and then alone with its name.
    error: Option<String>,
}

#[derive(Serialize)]
struct Unopened {
    object: String,
    error: String,
}

#[derive(Serialize)]
struct Program {
    name: String,
    section: String,
    #[serde(rename = "type")]
    ty: Option<&'static str>,
    attach: Option<String>,
    /// Of `raw_mem` programs: bytes of their memory, if the section states them.
    memory_len: Option<u32>,
    autoload: bool,
    /// Slots of the main function.
    slots: usize,
    /// Slots with all that it calls; none if it can't be linked.
    linked_slots: Option<usize>,
    /// Whether some instruction of it, reached or not, calls `bpf_throw`.
    throws: Option<bool>,
    exception_callback: Option<String>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Function {
    name: String,
    section: String,
    visibility: &'static str,
    slots: usize,
    prototype: Option<String>,
}

#[derive(Serialize)]
struct Map {
    name: String,
    section: String,
    kind: &'static str,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    key_type: Option<String>,
    value_type: Option<String>,
    inner: Option<Box<Map>>,
    values: Vec<(u32, String)>,
}

#[derive(Serialize)]
struct Global {
    name: String,
    section: String,
    offset: u32,
    size: u32,
    #[serde(rename = "type")]
    ty: Option<String>,
    writable: bool,
    value: serde_json::Value,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Extern {
    name: String,
    kind: &'static str,
    weak: bool,
    prototype: Option<String>,
}

#[derive(Serialize)]
struct Relocation {
    section: String,
    offset: u64,
    kind: String,
    target: String,
}

/// `backstop inspect`.
pub fn inspect(args: &InspectArgs) -> Result {
    if let Some(ty) = &args.helpers {
        let listed = super::helpers::list(ty, args.json);
        if let (Err(failure @ Failure::Usage(_)), true) = (&listed, args.json) {
            stopped(args, &failure.to_string())?;
        }
        return listed;
    }
    let found = match open(args) {
        Ok(found) => found,
        Err(failure) => {
            if args.json {
                stopped(args, &failure.to_string())?;
            }
            return Err(failure);
        }
    };
    let mut out = Out::new();
    if args.json {
        out.json(&found)?
    } else {
        found.print(&mut out)?
    }
    Ok(Outcome::Done)
}

/// Says in a line that nothing more comes of this run.
pub fn stopped(args: &InspectArgs, error: &str) -> Result<()> {
    Out::new().json(&Unopened { object: path(args).display().to_string(), error: error.to_owned() })
}

fn path(args: &InspectArgs) -> &Path {
    args.object.as_deref().unwrap_or(Path::new(""))
}

fn open(args: &InspectArgs) -> Result<Inspected> {
    let engine = session::engine(Config::new())?;
    let session = Session::open(&engine, path(args), &Judging::default())?;
    Ok(Inspected {
        object: path(args).display().to_string(),
        license: session.object.elf().license().to_owned(),
        programs: programs(&session),
        functions: functions(&session.object),
        maps: session.object.elf().maps().iter().map(|m| map(&m.spec, &m.section)).collect(),
        globals: globals(&session.object),
        externs: externs(&session.object),
        relocations: relocations(&session.object),
        notes: session.object.elf().notes().to_vec(),
        error: None,
    })
}

fn programs(session: &Session) -> Vec<Program> {
    let is_throw = |identity| {
        matches!(
            identity,
            KfuncIdentity::Builtin(BuiltinKfunc::Throw) | KfuncIdentity::Unimplemented(BuiltinKfunc::Throw)
        )
    };
    let all = session.object.elf().programs().map(|p| {
        let kind = p.kind.as_ref().ok();
        let linked = session.object.link(&session.linker, &p.name);
        Program {
            ty: kind.map(|k| k.kind.ty.name()),
            attach: kind.and_then(attach),
            memory_len: sections::stated_memory_len(&p.section),
            autoload: p.autoload,
            slots: p.slots,
            linked_slots: linked.as_ref().ok().map(|l| l.slots.len()),
            throws: linked.as_ref().ok().map(|l| l.kfuncs.iter().any(|k| is_throw(k.identity))),
            exception_callback: exception_callback(&session.object, &p.name),
            error: linked.err().map(|e| e.to_string()),
            name: p.name,
            section: p.section,
        }
    });
    all.collect()
}

fn attach(section: &SectionDef) -> Option<String> {
    let attach = section.kind.attach;
    let number = || format!("attach type {}", attach.linux_number());
    (attach != AttachType::None).then(|| attach.name().map_or_else(number, str::to_owned))
}

fn exception_callback(object: &Object, program: &str) -> Option<String> {
    let btf = object.elf().btf()?;
    let func = btf.find(program, Kind::Func)?;
    btf.decl_tags(func, None).find_map(|tag| tag.strip_prefix("exception_callback:")).map(str::to_owned)
}

fn functions(object: &Object) -> Vec<Function> {
    let elf = object.elf();
    let prototype = |f| elf.btf().zip(elf.function_type(f)).map(|(btf, ty)| btf.type_name(ty));
    let all = elf.functions().iter().map(|f| Function {
        name: f.name.clone(),
        section: f.section.clone(),
        visibility: match f.visibility {
            Visibility::Static => "static",
            Visibility::Global => "global",
            Visibility::Weak => "weak",
            Visibility::Hidden => "hidden",
        },
        slots: f.end.saturating_sub(f.start),
        prototype: prototype(f),
    });
    all.collect()
}

fn map(spec: &MapSpec, section: &str) -> Map {
    let type_name = |ty: Option<_>| spec.btf.as_ref().zip(ty).map(|(btf, ty)| btf.type_name(ty));
    Map {
        name: spec.name.clone(),
        section: section.to_owned(),
        kind: spec.kind.name(),
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        key_type: type_name(spec.key_type),
        value_type: type_name(spec.value_type),
        inner: spec.inner.as_ref().map(|inner| Box::new(map(inner, section))),
        values: spec.values.clone(),
    }
}

fn globals(object: &Object) -> Vec<Global> {
    let elf = object.elf();
    let all = elf.globals().iter().map(|g| {
        let bytes = elf.global_bytes(&g.name).unwrap_or_default();
        let value = match elf.btf().zip(g.ty) {
            Some((btf, ty)) => decode(btf, ty, &bytes),
            None => Value::Bytes(bytes),
        };
        Global {
            name: g.name.clone(),
            section: g.section.clone(),
            offset: g.offset,
            size: g.size,
            ty: elf.btf().zip(g.ty).map(|(btf, ty)| btf.type_name(ty)),
            writable: g.writable,
            value: value.json(),
            text: value.to_string(),
        }
    });
    all.collect()
}

fn externs(object: &Object) -> Vec<Extern> {
    let elf = object.elf();
    let all = elf.externs().into_iter().map(|e| Extern {
        name: e.name.clone(),
        kind: match e.kind {
            ExternKind::Kfunc => "kfunc",
            ExternKind::Variable => "variable",
            ExternKind::Kconfig => "kconfig",
            ExternKind::Unknown => "unknown",
        },
        weak: e.weak,
        prototype: elf.btf().zip(e.ty).map(|(btf, ty)| btf.type_name(ty)),
    });
    all.collect()
}

fn relocations(object: &Object) -> Vec<Relocation> {
    let all = object.elf().relocations().into_iter().map(|r| Relocation {
        section: r.section,
        offset: r.offset,
        kind: r.kind,
        target: r.target,
    });
    all.collect()
}

impl Inspected {
    fn print(&self, out: &mut Out) -> Result<()> {
        let license = if self.license.is_empty() { "none" } else { &self.license };
        out.line(format_args!("{}\nlicense: {license}", self.object))?;
        section(out, "program", self.programs.iter().map(Program::row))?;
        for program in &self.programs {
            if let Some(error) = &program.error {
                out.line(format_args!("  {}: {error}", program.name))?;
            }
        }
        section(out, "function", self.functions.iter().map(Function::row))?;
        section(out, "map", self.maps.iter().map(Map::row))?;
        for map in &self.maps {
            for (index, name) in &map.values {
                out.line(format_args!("  {}[{index}] = {name}", map.name))?;
            }
        }
        section(out, "global", self.globals.iter().map(Global::row))?;
        section(out, "extern", self.externs.iter().map(Extern::row))?;
        section(out, "relocation", self.relocations.iter().map(Relocation::row))?;
        self.notes.iter().try_for_each(|note| out.line(format_args!("\nnote: {note}")))
    }
}

fn section(out: &mut Out, what: &str, rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    let rows: Vec<_> = rows.collect();
    out.line(format_args!("\n{}{}", counted(rows.len() as u64, what), if rows.is_empty() { "" } else { ":" }))?;
    aligned(&rows).iter().try_for_each(|line| out.line(format_args!("  {line}")))
}

impl Program {
    fn row(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        match (&self.exception_callback, self.throws) {
            (Some(callback), _) => remarks.push(format!("throws to {callback}")),
            (None, Some(true)) => remarks.push("throws".to_owned()),
            _ => {}
        }
        if self.ty == Some("raw_mem") {
            let stated = self.memory_len.map(|n| counted(u64::from(n), "byte"));
            let open = || "of the length that the host gives".to_owned();
            remarks.push(format!("memory {}", stated.map_or_else(open, |n| format!("of {n}"))));
        }
        if !self.autoload {
            remarks.push("not loaded by default".to_owned());
        }
        vec![
            self.name.clone(),
            self.section.clone(),
            self.ty.unwrap_or("unknown").to_owned(),
            slots(self.linked_slots.unwrap_or(self.slots)),
            remarks.join(", "),
        ]
    }
}

impl Function {
    fn row(&self) -> Vec<String> {
        let prototype = self.prototype.clone().unwrap_or_default();
        vec![self.name.clone(), self.section.clone(), self.visibility.to_owned(), slots(self.slots), prototype]
    }
}

impl Map {
    fn row(&self) -> Vec<String> {
        let name = |ty: &Option<String>, size: u32| {
            ty.as_ref().map_or_else(|| format!("{size} bytes"), |t| format!("{t} ({size} bytes)"))
        };
        let inner = self.inner.as_ref().map_or_else(String::new, |i| format!("of {} with {}", i.kind, i.max_entries));
        vec![
            self.name.clone(),
            self.kind.to_owned(),
            format!("max {}", self.max_entries),
            format!("key {}", name(&self.key_type, self.key_size)),
            format!("value {}", name(&self.value_type, self.value_size)),
            if self.flags == 0 { String::new() } else { format!("flags {:#x}", self.flags) },
            inner,
        ]
    }
}

impl Global {
    fn row(&self) -> Vec<String> {
        let ty = self.ty.clone().unwrap_or_else(|| format!("{} bytes", self.size));
        vec![self.name.clone(), self.section.clone(), format!("{:#x}", self.offset), ty, format!("= {}", self.text)]
    }
}

impl Extern {
    fn row(&self) -> Vec<String> {
        let weak = if self.weak { "weak" } else { "" };
        vec![self.name.clone(), self.kind.to_owned(), weak.to_owned(), self.prototype.clone().unwrap_or_default()]
    }
}

impl Relocation {
    fn row(&self) -> Vec<String> {
        vec![self.section.clone(), format!("{:#x}", self.offset), self.kind.clone(), self.target.clone()]
    }
}

fn slots(n: usize) -> String {
    counted(n as u64, "instruction")
}
