//! Programs put before the kernel's verifier.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::map::raw;
use crate::prog_flag;
use crate::sys::{self, Cmd};
use crate::{AttachType, Error, KernelTypes, LoadedBtf, Map, ProgType, Referee, TypeKind, VerifierLog, errno_name};

pub(crate) const MOV_R0_0: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];
pub(crate) const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

const FIRST_LOG: usize = 64 << 10;
const LONGEST_LOG: usize = 64 << 20;
/// How often a load is tried again when a signal came in (the kernel answers EAGAIN and wants to be asked again).
const TRIES: usize = 8;

/// Types, functions and lines that go with a program.
#[derive(Debug, Clone, Copy)]
pub struct ProgBtf<'a> {
    /// The BTF that the records speak of.
    pub btf: &'a LoadedBtf,
    /// `struct bpf_func_info` records; offsets count instruction slots, not bytes as in an object file.
    pub func_info: &'a [u8],
    /// Bytes of one record, 8 as of Linux 6.18.
    pub func_info_rec_size: u32,
    /// `struct bpf_line_info` records; offsets count instruction slots.
    pub line_info: &'a [u8],
    /// Bytes of one record, 16 as of Linux 6.18.
    pub line_info_rec_size: u32,
}

/// A program for the kernel.
#[derive(Debug, Clone, Copy)]
pub struct ProgLoad<'a> {
    /// Its type. `syscall` programs are marked as sleepable, since the kernel takes no others.
    pub prog_type: ProgType,
    /// What the verifier asks beyond the type; `None` for [`AttachType::usual`].
    pub attach_type: Option<AttachType>,
    /// The kernel function, tracepoint type or hook it is written for: an id in the kernel's BTF
    /// (see [`Referee::attach_target`]), 0 for none.
    pub attach_btf_id: u32,
    /// The instructions, 8 bytes a slot. `ld_imm64` names maps by their index in `maps` (pseudo sources 5 and 6).
    pub insns: &'a [u8],
    /// The licence, usually `GPL`.
    pub license: &'a str,
    /// 0 no log, 1 the failing path, 2 everything, 4 counts (may be added).
    pub log_level: u32,
    /// What `ld_imm64` pseudo sources 5 and 6 index.
    pub maps: &'a [&'a Map],
    /// What the immediate of a kfunc call (source 2, offset 0) indexes. Where empty, immediates are ids in the kernel's
    /// BTF already.
    pub kfuncs: &'a [&'a str],
    /// Types, functions and lines.
    pub btf: Option<ProgBtf<'a>>,
    /// See [`prog_flag`].
    pub flags: u32,
    /// At most 15 bytes are kept.
    pub name: &'a str,
}

impl<'a> ProgLoad<'a> {
    /// A GPL program with neither maps, kfuncs nor BTF, at log level 1.
    #[must_use]
    pub fn new(prog_type: ProgType, insns: &'a [u8]) -> Self {
        Self {
            prog_type,
            attach_type: None,
            attach_btf_id: 0,
            insns,
            license: "GPL",
            log_level: 1,
            maps: &[],
            kfuncs: &[],
            btf: None,
            flags: 0,
            name: "",
        }
    }
}

/// A program that the kernel took. It is attached to nothing and goes when dropped.
#[derive(Debug)]
pub struct Loaded {
    fd: OwnedFd,
    prog_type: ProgType,
    log: VerifierLog,
}

impl Loaded {
    /// Its type.
    #[must_use]
    pub fn prog_type(&self) -> ProgType {
        self.prog_type
    }

    /// The verifier's log.
    #[must_use]
    pub fn log(&self) -> &VerifierLog {
        &self.log
    }
}

impl AsFd for Loaded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A program that the kernel did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The kernel's error number.
    pub errno: i32,
    /// The verifier's log; empty where the kernel refused before verification, or at log level 0.
    pub log: VerifierLog,
}

impl Refused {
    /// The log's reason, or the error's name where the log is silent.
    #[must_use]
    pub fn reason(&self) -> String {
        self.log.reason().map_or_else(|| errno_name(self.errno), str::to_owned)
    }
}

/// What the kernel made of a program.
#[derive(Debug)]
pub enum Outcome {
    /// It took it.
    Loaded(Loaded),
    /// It did not.
    Refused(Refused),
}

impl Outcome {
    /// Whether the kernel took it.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        matches!(self, Self::Loaded(_))
    }

    /// The verifier's log.
    #[must_use]
    pub fn log(&self) -> &VerifierLog {
        match self {
            Self::Loaded(loaded) => &loaded.log,
            Self::Refused(refused) => &refused.log,
        }
    }

    /// As a `Result`, to go on with the program.
    ///
    /// # Errors
    /// The refusal.
    pub fn into_result(self) -> Result<Loaded, Refused> {
        match self {
            Self::Loaded(loaded) => Ok(loaded),
            Self::Refused(refused) => Err(refused),
        }
    }
}

/// Whether the kernel takes a program, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it.
    Accept,
    /// It does not.
    Reject {
        /// The kernel's error number.
        errno: i32,
        /// The log's last line about the program.
        reason: String,
    },
}

impl Referee {
    /// Puts a program before the verifier.
    ///
    /// # Errors
    /// Only for what stands outside of the kernel's judgement: instructions that are no whole slots, kfuncs that the
    /// kernel does not have, a licence with a NUL. A refusal is an [`Outcome`].
    pub fn load(&self, prog: &ProgLoad<'_>) -> Result<Outcome, Error> {
        let prepared = Prepared::new(prog)?;
        let mut size = FIRST_LOG;
        loop {
            let (answer, log, full_size) = prepared.load(prog.log_level, size);
            let full = matches!(answer, Err(libc::ENOSPC)) && prog.log_level != 0;
            if full && size < LONGEST_LOG {
                size = full_size.max(size.saturating_mul(8)).min(LONGEST_LOG);
                continue;
            }
            let log = VerifierLog { text: log, truncated: full };
            // The log does not fit at all: only a load without one tells the verdict.
            let answer = if full { prepared.load(0, 0).0 } else { answer };
            return Ok(match answer {
                Ok(fd) => Outcome::Loaded(Loaded { fd, prog_type: prog.prog_type, log }),
                Err(errno) => Outcome::Refused(Refused { errno, log }),
            });
        }
    }

    /// Whether the kernel takes a program, and why not; the program is let go at once.
    ///
    /// # Errors
    /// As [`Referee::load`].
    pub fn verdict(&self, prog: &ProgLoad<'_>) -> Result<Verdict, Error> {
        Ok(match self.load(prog)? {
            Outcome::Loaded(_) => Verdict::Accept,
            Outcome::Refused(refused) => Verdict::Reject { errno: refused.errno, reason: refused.reason() },
        })
    }

    /// The id to give as [`ProgLoad::attach_btf_id`] for a program written for `name`: a function for fentry, fexit,
    /// modify_return, a tracepoint for tp_btf, a hook for lsm, a target for iter.
    ///
    /// # Errors
    /// [`Error::NoSuchType`] where the running kernel has none of that name.
    pub fn attach_target(&self, attach_type: AttachType, name: &str) -> Result<u32, Error> {
        let types = KernelTypes::get()?;
        match attach_type {
            AttachType::TraceRawTp => types.find(TypeKind::Typedef, &format!("btf_trace_{name}")),
            AttachType::LsmMac | AttachType::LsmCgroup => types.find(TypeKind::Func, &format!("bpf_lsm_{name}")),
            AttachType::TraceIter => types.find(TypeKind::Func, &format!("bpf_iter_{name}")),
            _ => types.find(TypeKind::Func, name),
        }
    }
}

/// All that a load hands to the kernel, in the kernel's shape.
struct Prepared<'a> {
    prog: &'a ProgLoad<'a>,
    insns: Vec<u8>,
    license: CString,
    fds: Vec<u8>,
    insn_cnt: u32,
    func_info_cnt: u32,
    line_info_cnt: u32,
}

impl<'a> Prepared<'a> {
    fn new(prog: &'a ProgLoad<'a>) -> Result<Self, Error> {
        let insns = resolve_kfuncs(prog)?;
        let (func_info_cnt, line_info_cnt) = match &prog.btf {
            Some(info) => (
                records("func_info", info.func_info, info.func_info_rec_size)?,
                records("line_info", info.line_info, info.line_info_rec_size)?,
            ),
            None => (0, 0),
        };
        Ok(Self {
            prog,
            insn_cnt: records("the program", &insns, 8)?,
            insns,
            license: CString::new(prog.license).map_err(|_| Error::Nul { what: "the licence" })?,
            fds: prog.maps.iter().flat_map(|map| raw(&map.as_fd()).to_ne_bytes()).collect(),
            func_info_cnt,
            line_info_cnt,
        })
    }

    /// One load; the answer, the log and the length that the whole log would have (0 if not told).
    fn load(&self, log_level: u32, log_size: usize) -> (Result<OwnedFd, i32>, String, usize) {
        let mut log = if log_level == 0 { Vec::new() } else { vec![0; log_size] };
        let mut answer = Err(libc::EAGAIN);
        let mut full_size = 0;
        for _ in 0..TRIES {
            let mut attr = self.attr();
            attr.log_level = log_level;
            attr.log_size = u32::try_from(log.len()).unwrap_or(0);
            attr.log_buf = sys::address_mut(&mut log);
            // SAFETY: instructions, licence, descriptors, records and log are alive until the end of this function and
            // as long as the attributes say (`attr`); only the log is written, and nobody else borrows it.
            answer = unsafe { sys::bpf(Cmd::ProgLoad, &mut attr).and_then(|fd| sys::own(fd)) };
            full_size = attr.log_true_size as usize;
            if !matches!(answer, Err(libc::EAGAIN)) {
                break;
            }
        }
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        log.truncate(end);
        (answer, String::from_utf8_lossy(&log).into_owned(), full_size)
    }

    fn attr(&self) -> sys::ProgLoadAttr {
        let prog = self.prog;
        let sleepable = if prog.prog_type == ProgType::Syscall { prog_flag::SLEEPABLE } else { 0 };
        let mut attr = sys::ProgLoadAttr {
            prog_type: prog.prog_type.number(),
            insn_cnt: self.insn_cnt,
            insns: sys::address(&self.insns),
            license: sys::address(self.license.as_bytes_with_nul()),
            prog_flags: prog.flags | sleepable,
            prog_name: sys::object_name(prog.name),
            expected_attach_type: prog.attach_type.unwrap_or(AttachType::usual(prog.prog_type)).number(),
            attach_btf_id: prog.attach_btf_id,
            fd_array: sys::address(&self.fds),
            ..Default::default()
        };
        if let Some(info) = &prog.btf {
            attr.prog_btf_fd = raw(&info.btf.as_fd());
            attr.func_info_rec_size = if self.func_info_cnt == 0 { 0 } else { info.func_info_rec_size };
            attr.func_info = sys::address(info.func_info);
            attr.func_info_cnt = self.func_info_cnt;
            attr.line_info_rec_size = if self.line_info_cnt == 0 { 0 } else { info.line_info_rec_size };
            attr.line_info = sys::address(info.line_info);
            attr.line_info_cnt = self.line_info_cnt;
        }
        attr
    }
}

/// How many records of `size` bytes there are; the kernel reads count times size, so no part of one may be left.
fn records(what: &'static str, bytes: &[u8], size: u32) -> Result<u32, Error> {
    let got = bytes.len();
    if got == 0 {
        return Ok(0);
    }
    let size = size as usize;
    let count = got.checked_div(size).unwrap_or(0);
    if count.checked_mul(size) != Some(got) {
        return Err(Error::Size { what, got, want: got.checked_next_multiple_of(size).unwrap_or(size) });
    }
    sys::length(what, count)
}

/// Puts the kernel's BTF ids in place of indices into the list of kfuncs.
fn resolve_kfuncs(prog: &ProgLoad<'_>) -> Result<Vec<u8>, Error> {
    const LD_IMM64: u8 = 0x18;
    const CALL: u8 = 0x85;
    const PSEUDO_KFUNC: u8 = 2;
    let mut insns = prog.insns.to_vec();
    if prog.kfuncs.is_empty() {
        return Ok(insns);
    }
    let types = KernelTypes::get()?;
    let mut slots = insns.chunks_exact_mut(8).enumerate();
    while let Some((slot, insn)) = slots.next() {
        let [opcode, regs, off0, off1, imm @ ..] = insn else {
            continue;
        };
        let source = if cfg!(target_endian = "little") { *regs >> 4 } else { *regs & 0xf };
        match *opcode {
            LD_IMM64 => {
                slots.next();
            }
            CALL if source == PSEUDO_KFUNC && (*off0, *off1) == (0, 0) => {
                let index = imm.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                let name = usize::try_from(index).ok().and_then(|index| prog.kfuncs.get(index));
                let name = name.ok_or(Error::KfuncIndex { slot, index, count: prog.kfuncs.len() })?;
                imm.copy_from_slice(&types.find(TypeKind::Func, name)?.to_ne_bytes());
            }
            _ => {}
        }
    }
    Ok(insns)
}
