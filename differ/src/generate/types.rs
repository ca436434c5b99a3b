//! Types of generated functions: what callbacks, global functions and exception callbacks need.

use std::sync::Arc;

use backstop::btf::{Btf, BtfBuilder, Encoding, Linkage, TypeId};
use backstop::model::FuncInfo;

use super::calls::Role;

/// What the types say of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Signature {
    /// First slot.
    pub(crate) slot: usize,
    pub(crate) role: Role,
    /// How many arguments.
    pub(crate) args: usize,
}

/// The program's types and the type of each function, main first. `None` if they can't be built, which leaves a program without callbacks.
pub(crate) fn types(functions: &[Signature]) -> Option<(Arc<Btf>, Vec<FuncInfo>)> {
    let mut builder = BtfBuilder::new();
    let int = builder.int("int", 4, Encoding::Signed);
    let long = builder.int("unsigned long long", 8, Encoding::Unsigned);
    let mut info = Vec::new();
    let mut main = None;
    for (number, function) in functions.iter().enumerate() {
        let func = func(&mut builder, number, function, int, long);
        if number == 0 {
            main = Some(func);
        }
        if let (Role::Exception, Some(main)) = (function.role, main) {
            builder.decl_tag(&format!("exception_callback:f{number}"), main, None);
        }
        info.push(FuncInfo { slot: u32::try_from(function.slot).ok()?, func });
    }
    info.sort_by_key(|entry| entry.slot);
    Some((Arc::new(builder.build().ok()?), info))
}

fn func(builder: &mut BtfBuilder, number: usize, function: &Signature, int: TypeId, long: TypeId) -> TypeId {
    let names = ["a", "b", "c", "d", "e"];
    let params: Vec<(&str, TypeId)> = names.iter().take(function.args).map(|name| (*name, long)).collect();
    let proto = builder.func_proto(int, &params);
    let linkage = match function.role {
        Role::Main | Role::Global | Role::Exception => Linkage::Global,
        Role::Static | Role::Loop | Role::Each => Linkage::Static,
    };
    let name = if number == 0 { "generated".to_owned() } else { format!("f{number}") };
    builder.func(&name, proto, linkage)
}
