//! BTF types, line and function information, and CO-RE relocations.
//!
//! The rest of Backstop asks this crate what a program's (or a host's, or a kernel's) types look like. Its invariant:
//! what [`Btf::parse`] returns is wholly checked, so every query on it is total and cheap, and none can panic, loop
//! or recurse beyond a fixed depth, whatever the bytes were.
//!
//! ```
//! use backstop_btf::{Btf, BtfBuilder, Encoding, Kind};
//!
//! let mut b = BtfBuilder::new();
//! let int = b.int("int", 4, Encoding::Signed);
//! b.structure("point", 8, &[("x", int, 0), ("y", int, 32)]);
//! let btf = Btf::parse(&b.emit()?)?;
//! let point = btf.find("point", Kind::Struct).ok_or("point is missing")?;
//! assert_eq!(btf.field(point, "y").map(|f| f.byte_offset()), Some(4));
//! assert_eq!(btf.type_name(point), "struct point");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod btf;
mod builder;
mod check;
pub mod core;
mod encode;
mod error;
mod ext;
mod field;
mod parse;
mod reduce;
mod render;
mod shape;
mod types;

pub use btf::{Btf, POINTER_SIZE, Proto, essential_name};
pub use builder::BtfBuilder;
pub use error::{BtfError, KindLabel, TypeProblem};
pub use ext::{BtfExt, CoreKind, CoreRelo, ExtError, ExtSection, FuncInfo, LineInfo, RecordProblem};
pub use field::{Field, Leaf};
pub use shape::{assignable, same_shape};
pub use types::*;
