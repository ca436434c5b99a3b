//! libbpf as an independent judge of linking: what it makes of an object's program before it asks the kernel, and what the kernel says then.
//!
//! Invariants:
//! - Objects are opened, relocated and loaded. Nothing is attached, and nothing is pinned: paths that maps ask to be pinned at are
//!   forgotten before anything is made, and struct_ops maps, which stand for kernel objects, are not made at all.
//! - All that was made goes when a call returns.

#![cfg(target_os = "linux")]
// libbpf is C. Every block says which of its rules it keeps.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::ptr::{self, NonNull};

use libbpf_rs::libbpf_sys as sys;
use libbpf_rs::{AsRawLibbpf, ObjectBuilder, OpenObject, PrintLevel};

/// Room for the verifier's log, in bytes: an object's own load asks for the failing path only.
const LOG: usize = 1 << 20;
/// What libbpf says if it can't fill a prog_array.
const FILLS_ARRAY: &str = "failed to initialize slot [";
/// Bytes of an instruction slot.
const SLOT: usize = 8;

/// A program as libbpf hands it to the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Relocated {
    /// Its slots; maps stand in them by file descriptor.
    pub slots: Vec<[u8; SLOT]>,
    /// File descriptors and names of the object's maps.
    pub maps: Vec<(i32, String)>,
}

/// What the kernel said of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It took it.
    Loaded,
    /// It did not.
    Refused {
        /// The verifier's log.
        log: String,
    },
}

/// What came of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The program.
    pub relocated: Relocated,
    /// The kernel's verdict.
    pub verdict: Verdict,
}

/// Why there is no judgement.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// libbpf takes it for no object.
    #[error("libbpf does not open the object: {said}")]
    Open {
        /// What it said.
        said: String,
    },
    /// The object has no such program for libbpf.
    #[error("libbpf finds no program `{program}`")]
    NoProgram {
        /// Which.
        program: String,
    },
    /// It can't be relocated, or a map of it can't be made.
    #[error("libbpf does not prepare the program: {said}")]
    Prepare {
        /// What it said.
        said: String,
    },
    /// The load ended before the kernel's verifier saw the program, or with another program of the object.
    #[error("libbpf does not load the program: {said}")]
    Load {
        /// What it said.
        said: String,
    },
}

thread_local! {
    /// Warnings of the call that runs on this thread.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn listen(_: PrintLevel, line: String) {
    SAID.with_borrow_mut(|said| said.push(line.trim().to_owned()));
}

/// The first warnings since the last time; the verifier's log, which libbpf repeats there, is cut off.
fn said() -> String {
    let lines = SAID.take();
    let short = lines.iter().map(|line| line.lines().next().unwrap_or_default().trim_start_matches("libbpf: "));
    short.take(4).collect::<Vec<_>>().join("; ")
}

/// Relocates and loads the first of the named programs as libbpf does, with the others beside it, since maps may name them; other programs are
/// left alone. `name` is the object's, as libbpf would take it from the file's.
///
/// # Errors
/// [`Error`]; a refusal by the kernel's verifier is none.
pub fn judge(object: &[u8], name: &str, programs: &[&str]) -> Result<Judged, Error> {
    libbpf_rs::set_print(Some((PrintLevel::Warn, listen)));
    SAID.take();
    let wanted = programs.first().copied().unwrap_or_default();
    // Before the object, so that it goes after it.
    let mut log = vec![0_u8; LOG];
    let opened = ObjectBuilder::default().name(name).and_then(|builder| builder.open_memory(object));
    let mut opened = opened.map_err(|error| Error::Open { said: format!("{error}; {}", said()) })?;
    for mut program in opened.progs_mut() {
        let named = program.name().to_str().is_some_and(|name| programs.contains(&name));
        program.set_autoload(named);
    }
    keep_to_itself(&opened);
    let program = program(&opened, wanted).ok_or_else(|| Error::NoProgram { program: wanted.to_owned() })?;
    // SAFETY: the program is one of the open object's. The buffer is as long as is said, lives longer than the object, and is read by
    // nobody else before the object is gone.
    unsafe { sys::bpf_program__set_log_buf(program.as_ptr(), log.as_mut_ptr().cast::<c_char>(), LOG as sys::size_t) };
    // SAFETY: the object is open and was not prepared before; nobody else has it.
    let prepared = unsafe { sys::bpf_object__prepare(opened.as_libbpf_object().as_ptr()) };
    if prepared != 0 {
        return Err(Error::Prepare { said: said() });
    }
    let relocated = Relocated { slots: slots(&opened, wanted), maps: maps(&opened) };
    // SAFETY: the object is prepared and not loaded; nobody else has it.
    let loaded = unsafe { sys::bpf_object__load(opened.as_libbpf_object().as_ptr()) };
    // The last user of the log's memory goes here.
    drop(opened);
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let said = said();
    let verdict = match loaded {
        0 => Verdict::Loaded,
        // prog_arrays are filled when all programs are loaded, all of the object's arrays, with programs that were left alone too.
        _ if said.contains(FILLS_ARRAY) => Verdict::Loaded,
        _ if text.is_empty() => return Err(Error::Load { said }),
        _ => Verdict::Refused { log: String::from_utf8_lossy(text).into_owned() },
    };
    Ok(Judged { relocated, verdict })
}

/// Forgets where maps are to be pinned, and leaves out what stands for kernel objects.
fn keep_to_itself(object: &OpenObject) {
    for map in each_map(object) {
        // SAFETY: the map is one of the open object's, which is not prepared yet; a null path means that it is not pinned.
        unsafe {
            sys::bpf_map__set_pin_path(map.as_ptr(), ptr::null());
            if sys::bpf_map__type(map.as_ptr()) == sys::BPF_MAP_TYPE_STRUCT_OPS {
                sys::bpf_map__set_autocreate(map.as_ptr(), false);
            }
        }
    }
}

fn map_name(map: NonNull<sys::bpf_map>) -> String {
    // SAFETY: the map is one of an open object's; its name is a string that lives as long, and is copied.
    let name = unsafe { CStr::from_ptr(sys::bpf_map__name(map.as_ptr())) };
    name.to_string_lossy().into_owned()
}

fn each_map(object: &OpenObject) -> Vec<NonNull<sys::bpf_map>> {
    let mut all = Vec::new();
    let mut last = ptr::null();
    loop {
        // SAFETY: the object is open; `last` is null or its map that was given last.
        let next = unsafe { sys::bpf_object__next_map(object.as_libbpf_object().as_ptr(), last) };
        let Some(map) = NonNull::new(next) else { return all };
        all.push(map);
        last = next;
    }
}

fn maps(object: &OpenObject) -> Vec<(i32, String)> {
    let one = |map: NonNull<sys::bpf_map>| {
        // SAFETY: the map is one of the open object's.
        let fd = unsafe { sys::bpf_map__fd(map.as_ptr()) };
        (fd, map_name(map))
    };
    each_map(object).into_iter().map(one).filter(|(fd, _)| *fd >= 0).collect()
}

fn program(object: &OpenObject, name: &str) -> Option<NonNull<sys::bpf_program>> {
    object.progs().find(|program| program.name() == name).map(|program| program.as_libbpf_object())
}

fn slots(object: &OpenObject, name: &str) -> Vec<[u8; SLOT]> {
    let Some(program) = object.progs().find(|program| program.name() == name) else { return Vec::new() };
    let slot = |insn: &sys::bpf_insn| {
        let [off_low, off_high] = insn.off.to_le_bytes();
        let [a, b, c, d] = insn.imm.to_le_bytes();
        [insn.code, insn.dst_reg() | insn.src_reg() << 4, off_low, off_high, a, b, c, d]
    };
    program.insns().iter().map(slot).collect()
}
