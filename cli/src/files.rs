//! Reads input files. Only regular files and pipes are read, and never more than a limit: a device file has no end.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use backstop::btf::Btf;
use object::{Object as _, ObjectSection as _};

use crate::failure::{Failure, Result};

/// Largest input of a run, in bytes.
const MAX_INPUT: u64 = 256 << 20;
/// Largest file that BTF is looked for in, in bytes: a kernel with all its debug information fits.
const MAX_BTF_FILE: u64 = 2 << 30;
/// First two bytes of raw BTF, in this machine's order.
const BTF_MAGIC: u16 = 0xeb9f;

/// Refuses what is no file: opening an object must end.
pub fn check_regular(path: &Path) -> Result<()> {
    let meta = fs::metadata(path).map_err(|e| Failure::read(path, &e))?;
    if meta.is_dir() {
        return Err(Failure::Input(format!("{}: it is a directory; name a file in it", path.display())));
    }
    if !meta.is_file() {
        return Err(Failure::Input(format!("{}: it is no regular file; copy its content into one", path.display())));
    }
    Ok(())
}

/// Opens a file for reading, if it can come to an end.
pub fn open(path: &Path) -> Result<File> {
    let meta = fs::metadata(path).map_err(|e| Failure::read(path, &e))?;
    if meta.is_dir() {
        return Err(Failure::Input(format!("{}: it is a directory; name a file in it", path.display())));
    }
    File::open(path).map_err(|e| Failure::read(path, &e))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open(path)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Failure::read(path, &e))?;
    if bytes.len() as u64 > limit {
        let why = format!("more than {limit} bytes; cut it");
        return Err(Failure::read(path, &io::Error::new(io::ErrorKind::FileTooLarge, why)));
    }
    Ok(bytes)
}

/// The content of an input of a run.
pub fn input(path: &Path) -> Result<Vec<u8>> {
    read(path, MAX_INPUT)
}

/// Types from raw BTF or from the `.BTF` section of an ELF file.
pub fn btf(path: &Path) -> Result<Arc<Btf>> {
    let bytes = read(path, MAX_BTF_FILE)?;
    let raw = match bytes.first_chunk::<2>() {
        Some(magic) if u16::from_ne_bytes(*magic) == BTF_MAGIC => None,
        _ => Some(section(path, &bytes)?),
    };
    let types = Btf::parse(raw.unwrap_or(&bytes));
    types.map(Arc::new).map_err(|e| Failure::Input(format!("{}: {e}", path.display())))
}

fn section<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let fail = |why: String| {
        Failure::Input(format!("{}: {why}; give raw BTF or an ELF file with a .BTF section", path.display()))
    };
    let file = object::File::parse(bytes).map_err(|e| fail(format!("it is neither BTF nor ELF ({e})")))?;
    let section = file.section_by_name(".BTF").ok_or_else(|| fail("it has no .BTF section".to_owned()))?;
    section.data().map_err(|e| fail(format!("its .BTF section can't be read ({e})")))
}
