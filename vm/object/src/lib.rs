//! Opens and links the eBPF ELF objects that clang makes with libbpf's conventions.
//!
//! [`Object::parse`] reads everything once and trusts nothing: what it returns holds only checked ranges, and its memory is
//! bounded by the file's length and [`MAX_DATA_BYTES`]. [`Object::link`] then builds one program: its main function, every
//! function that it can reach, its exception callbacks, with all relocations applied, as libbpf does before it asks the
//! kernel. Nothing here decides whether a program is safe.
#![forbid(unsafe_code)]

mod btf_fix;
mod data;
mod elf;
mod entry;
mod env;
mod error;
mod externs;
mod functions;
mod link;
mod map_def;
mod maps;
mod object;
mod proto;
mod relocate;
mod sizing;

pub use data::{Global, MAX_DATA_BYTES};
pub use env::{LinkEnv, StandardEnv, known_type};
pub use error::{ElfProblem, LinkError, MapProblem, ObjectError, Place};
pub use externs::{Extern, ExternKind};
pub use functions::{Function, Visibility};
pub use link::{LinkedProgram, MAX_SLOTS};
pub use object::{MapInfo, Object, ProgramInfo, RelocInfo};
