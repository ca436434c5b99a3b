//! What clang writes into `.BTF`, made into what the kernel takes.
//!
//! An object's BTF is not finished: section types have no sizes, their variables no offsets, externs have a linkage that
//! the kernel does not know. Loaders mend that from the ELF symbols. Here ids never change, since `.BTF.ext`, maps and
//! programs name types by id: what the kernel can't take is turned into `const void`, which nothing else names.

use std::collections::HashSet;

use crate::Error;
use crate::btf::{Blob, Record, word};

const KIND_CONST: u32 = 10;
const FUNC: u8 = 12;
const VAR: u8 = 14;
const DATASEC: u8 = 15;
const DECL_TAG: u8 = 17;
const EXTERN: u32 = 2;

/// Where a data section's variables lie, from the ELF file.
#[derive(Debug, Clone, Copy)]
pub struct DataSection<'a> {
    /// The section's name as BTF has it, such as `.bss`.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u32,
    /// Its variables and their offsets in bytes.
    pub variables: &'a [(&'a str, u32)],
}

/// Makes BTF of an object file fit for [`crate::Referee::load_btf`], with all type ids as they were. Sections that are in
/// `sections` get sizes and offsets, so that they can be the value type of their map; other sections, extern functions and
/// variables, and tags on those, become `const void`.
///
/// # Errors
/// [`Error::Btf`] where the blob is not well formed.
pub fn kernel_btf(btf: &[u8], sections: &[DataSection<'_>]) -> Result<Vec<u8>, Error> {
    let blob = Blob::parse(btf)?;
    let records = blob.records().collect::<Result<Vec<_>, _>>()?;
    let mut fixed: Vec<Option<Vec<u8>>> =
        records.iter().map(|record| section(&blob, &records, record, sections)).collect();
    let held: HashSet<u32> =
        fixed.iter().flatten().flat_map(|tail| tail.chunks_exact(12)).filter_map(|entry| word(entry, 0)).collect();
    let lost: HashSet<u32> = records.iter().filter(|record| is_lost(record, &held)).map(|record| record.id).collect();

    let mut types = Vec::with_capacity(btf.len());
    for (record, fixed) in records.iter().zip(fixed.iter_mut()) {
        let tag_on_lost = record.kind == DECL_TAG && lost.contains(&record.size_or_type);
        if let Some(tail) = fixed.take() {
            let size = known(&blob, record, sections).map_or(0, |section| section.size);
            push(&mut types, &[record.name_off, record.info, size], &tail);
        } else if record.kind == DATASEC || lost.contains(&record.id) || tag_on_lost {
            push(&mut types, &[0, KIND_CONST << 24, 0], &[]);
        } else {
            push(&mut types, &[record.name_off, record.info, record.size_or_type], record.tail);
        }
    }
    assemble(&types, blob.strings)
}

/// Extern functions, and variables that no kept section has.
fn is_lost(record: &Record<'_>, held: &HashSet<u32>) -> bool {
    match record.kind {
        FUNC => record.info & 0xffff == EXTERN,
        VAR => !held.contains(&record.id) || word(record.tail, 0) == Some(EXTERN),
        _ => false,
    }
}

fn known<'s, 'n>(blob: &Blob<'_>, record: &Record<'_>, sections: &'s [DataSection<'n>]) -> Option<&'s DataSection<'n>> {
    let name = blob.name(record.name_off);
    sections.iter().find(|section| section.name.as_bytes() == name)
}

/// The variables of a section in the order of their offsets, which the kernel insists on; `None` unless all are known.
fn section(
    blob: &Blob<'_>,
    records: &[Record<'_>],
    record: &Record<'_>,
    sections: &[DataSection<'_>],
) -> Option<Vec<u8>> {
    if record.kind != DATASEC {
        return None;
    }
    let section = known(blob, record, sections)?;
    let mut entries = Vec::new();
    for entry in record.tail.chunks_exact(12) {
        let id = word(entry, 0)?;
        let variable = records.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        if variable.kind != VAR || word(variable.tail, 0) == Some(EXTERN) {
            return None;
        }
        let name = blob.name(variable.name_off);
        let (_, offset) = section.variables.iter().find(|(known, _)| known.as_bytes() == name)?;
        entries.push((*offset, id, word(entry, 8)?));
    }
    entries.sort_unstable();
    let mut tail = Vec::with_capacity(record.tail.len());
    for (offset, id, size) in entries {
        [id, offset, size].iter().for_each(|word| tail.extend(word.to_ne_bytes()));
    }
    Some(tail)
}

fn push(types: &mut Vec<u8>, words: &[u32; 3], tail: &[u8]) {
    words.iter().for_each(|word| types.extend(word.to_ne_bytes()));
    types.extend(tail);
}

fn assemble(types: &[u8], strings: &[u8]) -> Result<Vec<u8>, Error> {
    const HEADER: u32 = 24;
    let too_long = |_| Error::Btf { offset: 0, what: "more than 4 GiB" };
    let type_len = u32::try_from(types.len()).map_err(too_long)?;
    let string_len = u32::try_from(strings.len()).map_err(too_long)?;
    let mut out = Vec::with_capacity(types.len().saturating_add(strings.len()).saturating_add(24));
    out.extend(0xeb9f_u16.to_ne_bytes());
    out.extend([1, 0]);
    for word in [HEADER, 0, type_len, type_len, string_len] {
        out.extend(word.to_ne_bytes());
    }
    out.extend(types);
    out.extend(strings);
    Ok(out)
}
