//! `BPF_PROG_TEST_RUN`: what each program type takes and gives (net/bpf/test_run.c and kernel/bpf/, Linux 6.18).

use crate::map::raw;
use crate::sys::{self, Cmd};
use crate::{Error, Loaded, ProgType, Referee};
use std::os::fd::AsFd;

/// Would send the frames out; a referee never does.
const LIVE_FRAMES: u32 = 1 << 1;
/// The least that the kernel takes for a packet: an Ethernet header.
const LEAST_PACKET: usize = 14;
/// By how much a program can make a packet longer: an skb has at most 16 KiB in one piece.
const GROWTH: usize = 16 << 10;
/// The longest context of a syscall program.
const LONGEST_CONTEXT: usize = 0xffff;
const TRIES: usize = 8;
/// `ENOTSUPP`, which leaves the kernel though it is internal to it.
const ENOTSUPP: i32 = 524;

/// What goes into a test run. `Default` is one run with no input.
#[derive(Debug, Clone, Copy)]
pub struct TestRun<'a> {
    /// The packet, for the types that have one; 14 bytes or more, starting with an Ethernet header. Seen on Linux 6.18:
    /// for the types that read an skb the kernel answers `EINVAL` where the ethertype says IPv4 or IPv6 and less than
    /// its fixed header follows (34 and 54 bytes), and above one page less head- and tailroom (about 3,710 bytes with
    /// pages of 4 KiB). XDP takes more, but `data_end` ends the first 3,520 bytes.
    pub data_in: &'a [u8],
    /// The context: optional beside a packet (`struct xdp_md`, `struct __sk_buff`), the only input for syscall,
    /// raw_tracepoint and sk_lookup.
    pub ctx_in: &'a [u8],
    /// How many times to run; types without a packet run once.
    pub repeat: u32,
    /// The kernel's `BPF_F_TEST_*` flags, but not the one that sends frames.
    pub flags: u32,
    /// The CPU to run on, with the flag 1 (raw_tracepoint only).
    pub cpu: u32,
    /// Room for the packet afterwards in bytes; `None` for the packet and 16 KiB.
    pub data_out_size: Option<usize>,
    /// Room for the context afterwards in bytes; `None` for as much as `ctx_in`.
    pub ctx_out_size: Option<usize>,
}

impl Default for TestRun<'_> {
    fn default() -> Self {
        Self { data_in: &[], ctx_in: &[], repeat: 1, flags: 0, cpu: 0, data_out_size: None, ctx_out_size: None }
    }
}

impl<'a> TestRun<'a> {
    /// One run over a packet.
    #[must_use]
    pub fn packet(data_in: &'a [u8]) -> Self {
        Self { data_in, ..Self::default() }
    }

    /// One run with a context and no packet.
    #[must_use]
    pub fn context(ctx_in: &'a [u8]) -> Self {
        Self { ctx_in, ..Self::default() }
    }
}

/// What came out of a test run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunResult {
    /// The program's result, its low 32 bits.
    pub retval: u32,
    /// The packet afterwards (for flow_dissector the flow keys).
    pub data_out: Vec<u8>,
    /// The context afterwards, where the type gives it back.
    pub ctx_out: Vec<u8>,
    /// The mean time of one run in nanoseconds, as the kernel took it; 0 where it takes none.
    pub duration_ns: u32,
}

/// How the kernel feeds programs of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feed {
    /// A packet and perhaps a context, both given back.
    Packet,
    /// A context that is given back in its own place.
    ContextInPlace,
    /// A context that is given back elsewhere.
    Context,
    /// Up to 12 words of arguments, not given back.
    Arguments,
}

fn feed(prog_type: ProgType) -> Option<Feed> {
    match prog_type {
        ProgType::SocketFilter
        | ProgType::SchedCls
        | ProgType::SchedAct
        | ProgType::Xdp
        | ProgType::CgroupSkb
        | ProgType::LwtIn
        | ProgType::LwtOut
        | ProgType::LwtXmit
        | ProgType::LwtSeg6local
        | ProgType::FlowDissector
        | ProgType::Netfilter => Some(Feed::Packet),
        ProgType::Syscall => Some(Feed::ContextInPlace),
        ProgType::SkLookup => Some(Feed::Context),
        ProgType::RawTracepoint => Some(Feed::Arguments),
        // For tracing programs the command calls a function of the kernel that one *could* be attached to, and for
        // struct_ops it runs only the kernel's dummy: neither runs the program itself.
        _ => None,
    }
}

impl ProgType {
    /// Whether `BPF_PROG_TEST_RUN` runs programs of this type without attaching them.
    #[must_use]
    pub fn has_test_run(self) -> bool {
        feed(self).is_some()
    }
}

impl Referee {
    /// Runs a program over the given input.
    ///
    /// # Errors
    /// [`Error::NoTestRun`] for types that the kernel can't test-run, [`Error::Inputs`] where the inputs are not those of
    /// the type, [`Error::Call`] with the kernel's error number (`ENOSPC`: the output was longer than its room).
    pub fn test_run(&self, prog: &Loaded, input: &TestRun<'_>) -> Result<RunResult, Error> {
        let prog_type = prog.prog_type();
        let feed = feed(prog_type).ok_or(Error::NoTestRun { prog_type })?;
        check_inputs(prog_type, feed, input)?;
        let data_room = input.data_out_size.unwrap_or(input.data_in.len().saturating_add(GROWTH));
        let ctx_room = input.ctx_out_size.unwrap_or(input.ctx_in.len());
        let mut data_out = vec![0; if feed == Feed::Packet { data_room } else { 0 }];
        let mut ctx_out = vec![0; if matches!(feed, Feed::Packet | Feed::Context) { ctx_room } else { 0 }];
        // Some types write the context back over the input.
        let mut ctx_in = input.ctx_in.to_vec();
        let mut attr = sys::TestRunAttr {
            prog_fd: raw(&prog.as_fd()),
            data_size_in: sys::length("the packet", input.data_in.len())?,
            data_size_out: sys::length("the packet's room", data_out.len())?,
            data_in: sys::address(input.data_in),
            data_out: sys::address_mut(&mut data_out),
            repeat: if matches!(feed, Feed::Packet | Feed::Context) { input.repeat } else { 0 },
            ctx_size_in: sys::length("the context", ctx_in.len())?,
            ctx_size_out: sys::length("the context's room", ctx_out.len())?,
            ctx_in: sys::address_mut(&mut ctx_in),
            ctx_out: sys::address_mut(&mut ctx_out),
            flags: input.flags,
            cpu: input.cpu,
            ..Default::default()
        };
        // SAFETY: the four buffers are alive until the end of this function and as long as the attributes say; those that
        // the kernel writes are this function's own.
        let answer = unsafe { run(&mut attr) };
        answer.map_err(|errno| match errno {
            // The kernel was built without it for this type.
            ENOTSUPP => Error::NoTestRun { prog_type },
            errno => Error::Call { what: "BPF_PROG_TEST_RUN", errno },
        })?;
        data_out.truncate(attr.data_size_out as usize);
        ctx_out.truncate(attr.ctx_size_out as usize);
        if feed == Feed::ContextInPlace {
            ctx_out = ctx_in;
        }
        Ok(RunResult { retval: attr.retval, data_out, ctx_out, duration_ns: attr.duration })
    }
}

/// The call, once more where the kernel could not even start.
///
/// # Safety
/// As for [`sys::bpf`].
unsafe fn run(attr: &mut sys::TestRunAttr) -> Result<(), i32> {
    let mut answer = Err(libc::EAGAIN);
    for _ in 0..TRIES {
        // SAFETY: the caller's promise.
        answer = unsafe { sys::bpf(Cmd::TestRun, attr) }.map(|_| ());
        if answer != Err(libc::EAGAIN) {
            break;
        }
    }
    answer
}

fn check_inputs(prog_type: ProgType, feed: Feed, input: &TestRun<'_>) -> Result<(), Error> {
    let wrong = |what| Err(Error::Inputs { prog_type, what });
    if input.flags & LIVE_FRAMES != 0 && prog_type == ProgType::Xdp {
        return wrong("the flag for live frames would send packets; a referee only looks at them");
    }
    let repeats = input.repeat > 1;
    match feed {
        Feed::Packet if input.data_in.len() < LEAST_PACKET => {
            wrong("data_in must be a packet of 14 bytes (an Ethernet header) or more")
        }
        Feed::Packet => Ok(()),
        _ if !input.data_in.is_empty() || input.data_out_size.is_some_and(|size| size > 0) => {
            wrong("there is no packet; only ctx_in can be given")
        }
        Feed::ContextInPlace | Feed::Arguments if repeats => wrong("the kernel runs it once; repeat must be 0 or 1"),
        Feed::ContextInPlace if input.ctx_in.len() > LONGEST_CONTEXT => wrong("ctx_in can have 65,535 bytes at most"),
        Feed::ContextInPlace | Feed::Arguments if input.ctx_out_size.is_some_and(|size| size > 0) => {
            wrong("the kernel gives back no context apart from ctx_in; ctx_out_size must be None")
        }
        Feed::Arguments if input.ctx_in.len() > 12 * 8 || !input.ctx_in.len().is_multiple_of(8) => {
            wrong("ctx_in holds the arguments: at most 12 words of 8 bytes")
        }
        Feed::Context if input.ctx_in.is_empty() => wrong("ctx_in is needed (struct bpf_sk_lookup)"),
        _ => Ok(()),
    }
}
