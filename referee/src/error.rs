//! What can go wrong between a caller and the kernel. A refusal of a program is no error: see `Outcome`.

use std::io;

/// Why there is no referee on this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// bpf(2) is a Linux system call.
    #[error("bpf(2) exists on Linux only")]
    NotLinux,
    /// The kernel refused a program of two instructions.
    #[error("bpf(2) is not permitted: {}", describe(*errno))]
    Bpf {
        /// The error number of `BPF_PROG_LOAD`.
        errno: i32,
    },
    /// The number of possible CPUs could not be read.
    #[error("cannot read the number of possible CPUs")]
    Cpus(#[source] io::Error),
    /// The probe failed before it reached the kernel.
    #[error("the probe failed")]
    Probe(#[source] Box<Error>),
}

/// A call that could not be made, or that the kernel did not carry out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel answered with an error number.
    #[error("{what}: {}", describe(*errno))]
    Call {
        /// The command, in words.
        what: &'static str,
        /// The kernel's error number.
        errno: i32,
    },
    /// The kernel refused the BTF.
    #[error("BPF_BTF_LOAD: {}: {}", errno_name(*errno), log.trim_end().lines().last().unwrap_or_default())]
    BtfRefused {
        /// The kernel's error number.
        errno: i32,
        /// The kernel's log about the BTF; may be empty.
        log: String,
    },
    /// A buffer has not the size that the kernel will read or write.
    #[error("{what} has {got} bytes, {want} are needed")]
    Size {
        /// Which buffer.
        what: &'static str,
        /// Its length in bytes.
        got: usize,
        /// The length that is needed, in bytes.
        want: usize,
    },
    /// A buffer is longer than bpf(2) can say.
    #[error("{what} has {got} bytes, more than bpf(2) can take")]
    TooLong {
        /// Which buffer.
        what: &'static str,
        /// Its length in bytes.
        got: usize,
    },
    /// A name or licence holds a NUL byte.
    #[error("{what} holds a NUL byte")]
    Nul {
        /// Which string.
        what: &'static str,
    },
    /// A kfunc call names an index outside of the list of kfuncs.
    #[error("slot {slot}: kfunc index {index} is outside of the list of {count}")]
    KfuncIndex {
        /// The instruction slot of the call.
        slot: usize,
        /// The call's immediate.
        index: i32,
        /// How many kfuncs were given.
        count: usize,
    },
    /// The running kernel has no such function, structure or type in its BTF.
    #[error("the running kernel's BTF has no {kind} `{name}`")]
    NoSuchType {
        /// The kind of type looked for.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// BTF (the kernel's own or the caller's) is not as its format says.
    #[error("BTF at byte {offset}: {what}")]
    Btf {
        /// Where, counted from the blob's first byte.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A file of the kernel could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `BPF_PROG_TEST_RUN` can't run programs of this type.
    #[error("the kernel has no test run for programs of type {prog_type}")]
    NoTestRun {
        /// The program's type.
        prog_type: crate::ProgType,
    },
    /// The test run's inputs are not those that the kernel takes for this type.
    #[error("a test run of a {prog_type} program: {what}")]
    Inputs {
        /// The program's type.
        prog_type: crate::ProgType,
        /// What is wrong, and what would be right.
        what: &'static str,
    },
    /// A map kept changing (or its keys never ended) while it was read.
    #[error("the walk over a map of {max_entries} entries did not end; is somebody writing to it?")]
    EndlessWalk {
        /// The map's capacity.
        max_entries: u32,
    },
}

/// Name and text of an error number.
fn describe(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    // The standard library adds the number, which the name says already.
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("{}, {text}", errno_name(errno))
}

/// The name of an error number as `errno(3)` and the kernel's sources write it; `errno N` for those never seen from bpf(2).
#[must_use]
pub fn errno_name(errno: i32) -> String {
    // ENOTSUPP leaves the kernel in spite of being internal to it (include/linux/errno.h).
    const ENOTSUPP: i32 = 524;
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::ESRCH => "ESRCH",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::E2BIG => "E2BIG",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENOSPC => "ENOSPC",
        libc::EDOM => "EDOM",
        libc::ERANGE => "ERANGE",
        libc::EDEADLK => "EDEADLK",
        libc::ENOSYS => "ENOSYS",
        libc::ELOOP => "ELOOP",
        libc::EBADFD => "EBADFD",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        ENOTSUPP => "ENOTSUPP",
        _ => return format!("errno {errno}"),
    };
    name.to_owned()
}
