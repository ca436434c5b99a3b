//! Text that programs make.

#![allow(unsafe_code)]

use super::format::{Text, format};
use super::text::constant_string;
use super::{errno, memory};
use crate::call::{Call, Ended};

/// Most arguments of formats that take them as an array (Linux: `MAX_BPRINTF_VARARGS`).
const MAX_ARGS: usize = 12;
/// Bytes of a constant format that are looked at; the verifier knows that it ends.
const MAX_FORMAT: usize = 64 * 1024;

fn errno(error: i64) -> u64 {
    error as u64
}

/// Formats with a format from guest memory, which must hold a NUL.
fn from_memory(address: u64, len: u64, args: &[u64]) -> Result<Text, i64> {
    let make = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).ok_or(errno::EINVAL)?;
        format(bytes.get(..end).unwrap_or_default(), args)
    };
    // SAFETY: I3: the format is readable for `len` bytes.
    unsafe { memory::with(address, len as u32 as usize, make) }
}

/// Arguments from guest memory: 64-bit words.
fn words(address: u64, len: u64) -> Result<Vec<u64>, i64> {
    let len = len as u32 as usize;
    if !len.is_multiple_of(8) || len > MAX_ARGS * 8 || (len != 0 && address == 0) {
        return Err(errno::EINVAL);
    }
    let mut words = vec![0; len / 8];
    for (at, word) in (address..).step_by(8).zip(&mut words) {
        let mut bytes = [0; 8];
        // SAFETY: I3: the data is readable for `len` bytes.
        unsafe { memory::read(at, &mut bytes) };
        *word = u64::from_ne_bytes(bytes);
    }
    Ok(words)
}

/// Hands a line to the host's sink.
fn emit(call: &Call<'_, '_>, text: Result<Text, i64>) -> u64 {
    match text {
        Err(error) => errno(error),
        Ok(text) => {
            if let Some(sink) = call.run.engine.trace() {
                let line = String::from_utf8_lossy(&text.kept);
                sink(line.strip_suffix('\n').unwrap_or(&line));
            }
            text.len
        }
    }
}

/// `bpf_trace_printk(format, len, a, b, c)`: length of the text.
pub(super) fn trace_printk(call: &mut Call<'_, '_>, [at, len, a, b, c]: [u64; 5]) -> Result<u64, Ended> {
    Ok(emit(call, from_memory(at, len, &[a, b, c])))
}

/// `bpf_trace_vprintk(format, len, data, data_len)`: length of the text.
pub(super) fn trace_vprintk(call: &mut Call<'_, '_>, [at, len, data, data_len, _]: [u64; 5]) -> Result<u64, Ended> {
    let text = words(data, data_len).and_then(|args| from_memory(at, len, &args));
    Ok(emit(call, text))
}

/// `bpf_snprintf(to, size, format, data, data_len)`: length of the whole text and its NUL.
pub(super) fn snprintf(_call: &mut Call<'_, '_>, [to, size, at, data, data_len]: [u64; 5]) -> Result<u64, Ended> {
    let text = words(data, data_len).and_then(|args| format(&constant_string(at, MAX_FORMAT), &args));
    let text = match text {
        Ok(text) => text,
        Err(error) => return Ok(errno(error)),
    };
    let size = size as u32 as usize;
    if size != 0 && to != 0 {
        let kept = text.kept.get(..text.kept.len().min(size - 1)).unwrap_or_default();
        // SAFETY: I3: the target is writable for `size` bytes; what is kept and its NUL are no more.
        unsafe {
            memory::write(to, kept);
            memory::write(to + kept.len() as u64, &[0]);
        }
    }
    Ok(text.len + 1)
}
