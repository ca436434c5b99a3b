//! The types that programs with callbacks must bring: one prototype for all functions.

use backstop::btf::{Btf, BtfBuilder, BtfError, Encoding, Linkage, TypeId};

/// Types for main and the functions after it, and the FUNC of each.
pub(crate) fn functions(count: usize) -> Result<(Btf, Vec<TypeId>), BtfError> {
    let mut btf = BtfBuilder::new();
    let long = btf.int("long", 8, Encoding::Signed);
    let pointer = btf.ptr(TypeId::VOID);
    let main = btf.func_proto(long, &[("memory", pointer)]);
    let callback = btf.func_proto(long, &[("round", long), ("context", pointer)]);
    let ids = (0..count).map(|n| match n {
        0 => btf.func("main", main, Linkage::Global),
        n => btf.func(&format!("callback{n}"), callback, Linkage::Static),
    });
    let ids = ids.collect();
    Ok((btf.build()?, ids))
}
