//! BTF that goes into the kernel, and the kernel's own types by name.
//!
//! The reader here is independent of the project's own BTF parser on purpose: a referee that shares code with the judged
//! would share its errors.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use crate::sys::{self, Cmd};
use crate::{Error, Referee};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const BTF_LOG: usize = 1 << 20;

/// BTF that the kernel took.
#[derive(Debug)]
pub struct LoadedBtf {
    fd: OwnedFd,
}

impl AsFd for LoadedBtf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Referee {
    /// Hands BTF to the kernel. What clang writes into an object file is not taken as it is: see [`crate::kernel_btf`].
    ///
    /// # Errors
    /// [`Error::BtfRefused`] with the kernel's log.
    pub fn load_btf(&self, btf: &[u8]) -> Result<LoadedBtf, Error> {
        // The log costs time and may not fit, so it is asked for only when there is something to explain.
        let errno = match load(btf, &mut [])? {
            Ok(fd) => return Ok(LoadedBtf { fd }),
            Err(errno) => errno,
        };
        let mut log = vec![0; BTF_LOG];
        match load(btf, &mut log)? {
            Ok(fd) => Ok(LoadedBtf { fd }),
            Err(_) => Err(refused(errno, &log)),
        }
    }
}

fn refused(errno: i32, log: &[u8]) -> Error {
    let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
    Error::BtfRefused { errno, log: String::from_utf8_lossy(text).into_owned() }
}

fn load(btf: &[u8], log: &mut [u8]) -> Result<Result<OwnedFd, i32>, Error> {
    let mut attr = sys::BtfLoadAttr {
        btf: sys::address(btf),
        btf_size: sys::length("the BTF", btf.len())?,
        btf_log_level: u32::from(!log.is_empty()),
        btf_log_size: sys::length("the log", log.len())?,
        btf_log_buf: sys::address_mut(log),
        pad: 0,
    };
    // SAFETY: BTF and log are alive for the call and as long as the attributes say; the log is borrowed mutably.
    Ok(unsafe { sys::bpf(Cmd::BtfLoad, &mut attr).and_then(|fd| sys::own(fd)) })
}

/// Kinds of BTF types that can be looked up by name, with BTF's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TypeKind {
    /// An integer.
    Int = 1,
    /// A structure.
    Struct = 4,
    /// A union.
    Union = 5,
    /// An enumeration of 32-bit values.
    Enum = 6,
    /// A type's second name.
    Typedef = 8,
    /// A function, kfuncs among them.
    Func = 12,
    /// A variable.
    Var = 14,
}

impl TypeKind {
    fn word(self) -> &'static str {
        match self {
            Self::Int => "integer",
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Enum => "enum",
            Self::Typedef => "typedef",
            Self::Func => "function",
            Self::Var => "variable",
        }
    }
}

/// The running kernel's types (/sys/kernel/btf/vmlinux), read once a process.
#[derive(Debug)]
pub struct KernelTypes {
    ids: HashMap<(u8, Box<[u8]>), u32>,
}

impl KernelTypes {
    /// The types; read at the first call.
    ///
    /// # Errors
    /// [`Error::Read`] where the kernel has no BTF, [`Error::Btf`] where it can't be understood.
    pub fn get() -> Result<&'static Self, Error> {
        static TYPES: OnceLock<KernelTypes> = OnceLock::new();
        if let Some(types) = TYPES.get() {
            return Ok(types);
        }
        let bytes = fs::read(VMLINUX).map_err(|source| Error::Read { path: VMLINUX, source })?;
        let types = Self::parse(&bytes)?;
        Ok(TYPES.get_or_init(|| types))
    }

    /// The id of the first type of this kind and name.
    ///
    /// # Errors
    /// [`Error::NoSuchType`] where there is none.
    pub fn find(&self, kind: TypeKind, name: &str) -> Result<u32, Error> {
        let id = self.ids.get(&(kind as u8, Box::from(name.as_bytes())));
        id.copied().ok_or_else(|| Error::NoSuchType { kind: kind.word(), name: name.to_owned() })
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let blob = Blob::parse(bytes)?;
        let mut ids = HashMap::new();
        for record in blob.records() {
            let record = record?;
            let name = blob.name(record.name_off);
            if !name.is_empty() && [1, 4, 5, 6, 8, 12, 14].contains(&record.kind) {
                ids.entry((record.kind, Box::from(name))).or_insert(record.id);
            }
        }
        Ok(Self { ids })
    }
}

/// A BTF blob cut into its parts.
pub(crate) struct Blob<'a> {
    types: &'a [u8],
    types_at: usize,
    pub strings: &'a [u8],
}

/// One type: `struct btf_type` and what follows it.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub id: u32,
    pub name_off: u32,
    pub info: u32,
    pub kind: u8,
    /// The third word: a size or another type's id.
    pub size_or_type: u32,
    /// What follows the three words.
    pub tail: &'a [u8],
}

/// The word at byte `at`, in the machine's order.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|word| u32::from_ne_bytes(*word))
}

impl<'a> Blob<'a> {
    /// Cuts a blob of the machine's byte order.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let fail = |offset, what| Error::Btf { offset, what };
        let short = || fail(bytes.len(), "ends inside the header");
        let magic = bytes.first_chunk::<2>().map(|magic| u16::from_ne_bytes(*magic));
        if magic != Some(0xeb9f) {
            return Err(fail(0, "no BTF magic in this machine's byte order"));
        }
        let field = |at: usize| word(bytes, at).map(|word| word as usize).ok_or_else(short);
        let header = field(4)?;
        let part = |off: usize, len: usize| {
            let start = header.checked_add(off)?;
            Some((start, bytes.get(start..start.checked_add(len)?)?))
        };
        let (types_at, types) = part(field(8)?, field(12)?).ok_or_else(|| fail(8, "types lie outside of the blob"))?;
        let (_, strings) = part(field(16)?, field(20)?).ok_or_else(|| fail(16, "strings lie outside of the blob"))?;
        Ok(Self { types, types_at, strings })
    }

    /// The string at an offset; empty where there is none.
    pub fn name(&self, offset: u32) -> &'a [u8] {
        let tail = self.strings.get(offset as usize..).unwrap_or_default();
        tail.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// All types in the order of their ids, from 1. Ends after the first error.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'a>, Error>> {
        let (mut rest, mut id, end) = (self.types, 0_u32, self.types_at.saturating_add(self.types.len()));
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let offset = end.saturating_sub(rest.len());
            id = id.saturating_add(1);
            match cut(rest, id) {
                Some((record, after)) => {
                    rest = after;
                    Some(Ok(record))
                }
                None => {
                    rest = &[];
                    Some(Err(Error::Btf { offset, what: "a type of unknown kind, or one that is cut off" }))
                }
            }
        })
    }
}

/// The first record of `types`, and what lies behind it.
fn cut(types: &[u8], id: u32) -> Option<(Record<'_>, &[u8])> {
    let info = word(types, 4)?;
    let kind = u8::try_from((info >> 24) & 0x1f).ok()?;
    let many = (info & 0xffff) as usize;
    // Sizes of what follows `struct btf_type`: include/uapi/linux/btf.h.
    let tail_len = match kind {
        1 | 14 | 17 => 4,
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,
        4 | 5 | 15 | 19 => many.checked_mul(12)?,
        6 | 13 => many.checked_mul(8)?,
        _ => return None,
    };
    let (tail, after) = types.get(12..)?.split_at_checked(tail_len)?;
    Some((Record { id, name_off: word(types, 0)?, info, kind, size_or_type: word(types, 8)?, tail }, after))
}
