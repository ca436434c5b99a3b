//! The running Linux kernel as a referee: the same program, loaded by `BPF_PROG_LOAD` and run by `BPF_PROG_TEST_RUN`,
//! gives the verdict, the result and the data that Backstop's own are held against.
//!
//! Invariants:
//! - Only programs, maps and BTF are created and only test runs are made. There is no way from here to attach anything,
//!   to pin anything or to send a packet: no such command is named in this crate, and the test-run flag that would
//!   transmit frames is refused.
//! - Everything made is a file descriptor owned by a value of this crate, so nothing outlives the process.
//! - Every length that the kernel reads or writes through is checked against the buffer here, before the call.
//!
//! Where bpf(2) is not permitted, [`Referee::open`] says why and tests skip with that reason in print.

#![cfg(unix)]
// bpf(2) takes addresses. Every block says which lengths were checked against which buffers.
#![allow(unsafe_code)]

mod btf;
mod error;
mod kernel_btf;
mod kinds;
mod log;
mod map;
mod prog;
mod ring;
mod run;
mod sys;

pub use btf::{KernelTypes, LoadedBtf, TypeKind};
pub use error::{Error, Unavailable, errno_name};
pub use kernel_btf::{DataSection, kernel_btf};
pub use kinds::{AttachType, ProgType, map_flag, map_kind, prog_flag};
pub use log::{Stats, VerifierLog};
pub use map::{Entry, Map, MapBtf, MapSpec, possible_cpus, update_flag};
pub use prog::{Loaded, Outcome, ProgBtf, ProgLoad, Refused, Verdict};
pub use run::{RunResult, TestRun};

/// The kernel, found willing to take programs from this process. All methods may be used from several threads.
#[derive(Debug)]
pub struct Referee {
    cpus: usize,
}

impl Referee {
    /// Asks the kernel to take a program of two instructions, as a socket filter and (as some systems let anybody load
    /// those) as two types that want privileges, and lets it go again.
    ///
    /// # Errors
    /// [`Unavailable`] when this is no Linux, or bpf(2) is refused to this process.
    pub fn open() -> Result<Self, Unavailable> {
        if !cfg!(target_os = "linux") {
            return Err(Unavailable::NotLinux);
        }
        let cpus = possible_cpus()?;
        let referee = Self { cpus };
        let insns: [[u8; 8]; 2] = [prog::MOV_R0_0, prog::EXIT];
        for prog_type in [ProgType::SocketFilter, ProgType::SchedCls, ProgType::Kprobe] {
            let probe = ProgLoad { log_level: 0, ..ProgLoad::new(prog_type, insns.as_flattened()) };
            match referee.load(&probe).map_err(|error| Unavailable::Probe(Box::new(error)))? {
                Outcome::Loaded(_) => {}
                // A kernel may be built without a type; only permission is asked about here.
                Outcome::Refused(Refused { errno, .. })
                    if prog_type != ProgType::SocketFilter && errno != libc::EPERM => {}
                Outcome::Refused(Refused { errno, .. }) => return Err(Unavailable::Bpf { errno }),
            }
        }
        Ok(referee)
    }

    /// [`Referee::open`] for tests: where the referee is unavailable, prints `skipped: NAME: reason` to stderr.
    #[must_use]
    pub fn open_or_skip(test_name: &str) -> Option<Self> {
        match Self::open() {
            Ok(referee) => Some(referee),
            Err(reason) => {
                eprintln!("skipped: {test_name}: {reason}");
                None
            }
        }
    }

    /// How many CPUs the kernel may ever bring up: the number of values in an element of a per-CPU map.
    #[must_use]
    pub fn possible_cpus(&self) -> usize {
        self.cpus
    }
}
