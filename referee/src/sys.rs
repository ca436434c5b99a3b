//! bpf(2) itself: the attribute layouts (include/uapi/linux/bpf.h) and one function that makes the call.
//!
//! Invariant: the commands named here are all that this crate can ask of the kernel.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The commands that a referee needs. None of them attaches or pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Cmd {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgLoad = 5,
    TestRun = 10,
    BtfLoad = 18,
    MapLookupAndDelete = 21,
    MapFreeze = 22,
}

/// Attributes of [`Cmd::MapCreate`].
#[repr(C)]
#[derive(Default)]
pub(crate) struct MapCreate {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub inner_map_fd: u32,
    pub numa_node: u32,
    pub map_name: [u8; 16],
    pub map_ifindex: u32,
    pub btf_fd: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub map_extra: u64,
}

/// Attributes of the commands on elements, and of [`Cmd::MapFreeze`] (which wants the rest to be zero).
#[repr(C)]
#[derive(Default)]
pub(crate) struct MapElem {
    pub map_fd: u32,
    pub pad: u32,
    pub key: u64,
    pub value_or_next_key: u64,
    pub flags: u64,
}

/// Attributes of [`Cmd::ProgLoad`], up to `log_true_size` (Linux 6.4).
#[repr(C)]
#[derive(Default)]
pub(crate) struct ProgLoadAttr {
    pub prog_type: u32,
    pub insn_cnt: u32,
    pub insns: u64,
    pub license: u64,
    pub log_level: u32,
    pub log_size: u32,
    pub log_buf: u64,
    pub kern_version: u32,
    pub prog_flags: u32,
    pub prog_name: [u8; 16],
    pub prog_ifindex: u32,
    pub expected_attach_type: u32,
    pub prog_btf_fd: u32,
    pub func_info_rec_size: u32,
    pub func_info: u64,
    pub func_info_cnt: u32,
    pub line_info_rec_size: u32,
    pub line_info: u64,
    pub line_info_cnt: u32,
    pub attach_btf_id: u32,
    pub attach_prog_fd: u32,
    pub core_relo_cnt: u32,
    pub fd_array: u64,
    pub core_relos: u64,
    pub core_relo_rec_size: u32,
    pub log_true_size: u32,
}

/// Attributes of [`Cmd::TestRun`].
#[repr(C)]
#[derive(Default)]
pub(crate) struct TestRunAttr {
    pub prog_fd: u32,
    pub retval: u32,
    pub data_size_in: u32,
    pub data_size_out: u32,
    pub data_in: u64,
    pub data_out: u64,
    pub repeat: u32,
    pub duration: u32,
    pub ctx_size_in: u32,
    pub ctx_size_out: u32,
    pub ctx_in: u64,
    pub ctx_out: u64,
    pub flags: u32,
    pub cpu: u32,
    pub batch_size: u32,
    pub pad: u32,
}

/// Attributes of [`Cmd::BtfLoad`].
#[repr(C)]
#[derive(Default)]
pub(crate) struct BtfLoadAttr {
    pub btf: u64,
    pub btf_log_buf: u64,
    pub btf_size: u32,
    pub btf_log_size: u32,
    pub btf_log_level: u32,
    pub pad: u32,
}

/// One of the attribute structures above.
///
/// # Safety
/// The type is `repr(C)`, has no padding, and any bytes are a value of it, since the kernel reads and writes it whole.
pub(crate) unsafe trait Attr {}
// SAFETY: integers only; the offsets of all u64 fields are multiples of 8 and the sizes are multiples of the alignment
// (held by the test `layouts`).
unsafe impl Attr for MapCreate {}
// SAFETY: as above.
unsafe impl Attr for MapElem {}
// SAFETY: as above.
unsafe impl Attr for ProgLoadAttr {}
// SAFETY: as above.
unsafe impl Attr for TestRunAttr {}
// SAFETY: as above.
unsafe impl Attr for BtfLoadAttr {}

/// Makes the call; the kernel's answer or its error number.
///
/// # Safety
/// Each address in `attr` is null or points to memory that is alive for the call and as long as the length beside it
/// says (or as the map's key and value sizes say); memory that the command writes is not borrowed by anybody else.
#[cfg(target_os = "linux")]
pub(crate) unsafe fn bpf<T: Attr>(cmd: Cmd, attr: &mut T) -> Result<i64, i32> {
    let attr: *mut T = attr;
    // SAFETY: `attr` is alive for the call and has size_of::<T>() bytes; what it points to is the caller's promise.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, cmd as u32, attr, size_of::<T>()) };
    if answer < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
    }
    Ok(answer)
}

/// Elsewhere there is no such call.
///
/// # Safety
/// None needed: nothing is touched.
#[cfg(not(target_os = "linux"))]
pub(crate) unsafe fn bpf<T: Attr>(_cmd: Cmd, _attr: &mut T) -> Result<i64, i32> {
    Err(libc::ENOSYS)
}

/// Takes the descriptor that a creating command answered with.
///
/// # Safety
/// `answer` is the answer of a successful [`Cmd::MapCreate`], [`Cmd::ProgLoad`] or [`Cmd::BtfLoad`], taken only once.
pub(crate) unsafe fn own(answer: i64) -> Result<OwnedFd, i32> {
    let fd = RawFd::try_from(answer).map_err(|_| libc::EBADF)?;
    // SAFETY: the kernel made this descriptor for this call, and the caller takes it once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The address of a buffer as bpf(2) wants it; null for an empty one, which the kernel tells apart.
pub(crate) fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_ptr() as u64 }
}

/// [`address`] for a buffer that the kernel writes.
pub(crate) fn address_mut(bytes: &mut [u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_mut_ptr() as u64 }
}

/// A length in the width of bpf(2).
pub(crate) fn length(what: &'static str, got: usize) -> Result<u32, crate::Error> {
    u32::try_from(got).map_err(|_| crate::Error::TooLong { what, got })
}

/// An object's name: at most 15 bytes; what the kernel forbids in a name becomes an underscore.
pub(crate) fn object_name(name: &str) -> [u8; 16] {
    let mut out = [0; 16];
    for (place, byte) in out.iter_mut().take(15).zip(name.bytes()) {
        *place = if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' { byte } else { b'_' };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn layouts() {
        assert_eq!((size_of::<MapCreate>(), offset_of!(MapCreate, map_extra)), (72, 64));
        assert_eq!((size_of::<MapElem>(), offset_of!(MapElem, flags)), (32, 24));
        assert_eq!(offset_of!(ProgLoadAttr, func_info), 80);
        assert_eq!(offset_of!(ProgLoadAttr, fd_array), 120);
        assert_eq!((size_of::<ProgLoadAttr>(), offset_of!(ProgLoadAttr, log_true_size)), (144, 140));
        assert_eq!((size_of::<TestRunAttr>(), offset_of!(TestRunAttr, ctx_in)), (80, 48));
        assert_eq!((size_of::<BtfLoadAttr>(), offset_of!(BtfLoadAttr, btf_log_level)), (32, 24));
    }

    #[test]
    fn names_are_what_the_kernel_takes() {
        assert_eq!(&object_name("a-b/c")[..6], b"a_b_c\0");
        assert_eq!(object_name("abcdefghijklmnopqrstuvwxyz")[15], 0);
    }
}
