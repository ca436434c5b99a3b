//! What every command does first: an engine, an opened object, a linker.

use std::path::Path;

use backstop::model::{KernelBtf, ProgType, kernel_btf, sections};
use backstop::{Config, Engine, EngineChoice, EngineKind, Linker, LoadError, Object};

use crate::args::{Compat, EngineArg, Judging};
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::note;
use crate::suggest;

/// An opened object and what is needed to load from it. The host has no data and offers nothing of its own.
pub struct Session {
    pub engine: Engine,
    pub object: Object,
    pub linker: Linker<()>,
}

/// Where a running Linux shows its own types.
const RUNNING_KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's types: those that were named, or where Linux's verdicts are wanted the running kernel's. Read when a program first asks for one.
fn kernel_types(judging: &Judging) -> KernelBtf {
    match &judging.kernel_btf {
        Some(path) => {
            let path = path.clone();
            KernelBtf::lazy(move || match files::btf(&path) {
                Ok(types) => Some(types),
                Err(why) => {
                    note(format_args!("error: {why}"));
                    None
                }
            })
        }
        None if judging.compat == Some(Compat::Linux) => {
            KernelBtf::lazy(|| files::btf(Path::new(RUNNING_KERNEL)).ok().or_else(kernel_btf::reduced_btf))
        }
        None => KernelBtf::default(),
    }
}

/// The configuration that the command line asks for.
pub fn config(judging: &Judging) -> Config {
    Config::new()
        .kernel_btf(kernel_types(judging))
        .compat_linux(judging.compat == Some(Compat::Linux))
        .unprivileged(judging.unprivileged)
        .trace(|line| note(format_args!("trace: {line}")))
}

/// An engine of this configuration; a wish that this build or machine can't grant is a wrong command line.
pub fn engine(config: Config) -> Result<Engine> {
    Engine::new(config).map_err(|e| Failure::Usage(e.to_string()))
}

/// The engines to run, in the order of reports.
pub fn choices(engine: EngineArg) -> &'static [EngineChoice] {
    match engine {
        EngineArg::Auto => &[EngineChoice::Auto],
        EngineArg::Interp => &[EngineChoice::Interpreter],
        EngineArg::Jit => &[EngineChoice::Jit],
        EngineArg::Both => &[EngineChoice::Interpreter, EngineChoice::Jit],
        EngineArg::Checked => &[EngineChoice::Checked],
    }
}

/// The engines of a run, all of them available.
pub fn engines(judging: &Judging, wanted: EngineArg) -> Result<Vec<Engine>> {
    choices(wanted).iter().map(|choice| engine(config(judging).engine(*choice))).collect()
}

impl Session {
    /// Opens an object for an engine.
    pub fn open(engine: &Engine, path: &Path, judging: &Judging) -> Result<Session> {
        files::check_regular(path)?;
        judging.kernel_btf.as_deref().map(files::open).transpose()?;
        let mut object = engine.open_file(path).map_err(Failure::input)?;
        for (name, size) in &judging.map_size {
            object.set_max_entries(name, *size).map_err(|e| Failure::input(format_args!("{}: {e}", path.display())))?;
        }
        for (name, value) in &judging.kconfig {
            object.set_kconfig(name, *value).map_err(|e| Failure::input(format_args!("{}: {e}", path.display())))?;
        }
        let mut linker = Linker::new(engine);
        if let Some(path) = &judging.btf {
            linker.btf(files::btf(path)?);
        }
        Ok(Session { engine: engine.clone(), object, linker })
    }

    /// Which engine runs, as the command line says it.
    pub fn engine_name(&self) -> &'static str {
        EngineKind::name(self.engine.kind())
    }

    /// Why a program was not loaded, for people: of a refusal the C source line, the path that led there and what would help.
    pub fn explain(&self, program: &str, error: &LoadError) -> String {
        let LoadError::Refused { refusal, .. } = error else { return format!("error: {error}") };
        match self.object.link(&self.linker, program) {
            Ok(linked) => refusal.render(&linked),
            Err(_) => format!("error: {error}"),
        }
    }

    /// Fixes the memory of those of the programs that are `raw_mem` without a stated length.
    pub fn fix_memory(&mut self, names: &[String], bytes: Option<u32>) -> Result<()> {
        let Some(bytes) = bytes else { return Ok(()) };
        let open: Vec<&String> = names.iter().filter(|name| self.has_open_memory(name)).collect();
        if open.is_empty() {
            let what = "--data-size: none of the programs is a `raw_mem` one that leaves the length of its memory open";
            return Err(Failure::Usage(what.to_owned()));
        }
        open.into_iter()
            .try_for_each(|name| self.object.set_memory_len(name, bytes).map(|_| ()).map_err(Failure::input))
    }

    /// Whether a program is a `raw_mem` one whose section states no length.
    pub fn has_open_memory(&self, program: &str) -> bool {
        self.object.elf().program(program).is_some_and(|p| {
            let raw = p.kind.as_ref().is_ok_and(|section| section.kind.ty == ProgType::RawMem);
            raw && sections::stated_memory_len(&p.section).is_none()
        })
    }

    /// Names of the programs that a command is about: the one asked for, or all.
    pub fn wanted(&self, path: &Path, program: Option<&str>) -> Result<Vec<String>> {
        match program {
            Some(name) => {
                need_program(&self.object, path, name)?;
                Ok(vec![name.to_owned()])
            }
            None => Ok(self.object.programs().into_iter().map(|p| p.name).collect()),
        }
    }
}

/// An error with like names if there is no such program.
pub fn need_program(object: &Object, path: &Path, name: &str) -> Result<()> {
    let programs = object.programs();
    if programs.iter().any(|p| p.name == name) {
        return Ok(());
    }
    let instead = suggest::instead(name, programs.iter().map(|p| p.name.as_str()));
    Err(Failure::Input(format!("{}: there is no program `{name}`{instead}", path.display())))
}
