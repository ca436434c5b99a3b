//! Types of generated functions: what callbacks, global functions and exception callbacks need.

use std::sync::Arc;

use backstop::btf::{Btf, BtfBuilder, Encoding, Linkage, TypeId};
use backstop::model::FuncInfo;

use super::calls::{Function, Role};

/// The program's types and the type of each function. `None` if they can't be built, which leaves a program without callbacks.
pub(super) fn types(functions: &[Function], starts: &[Option<usize>]) -> Option<(Arc<Btf>, Vec<FuncInfo>)> {
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
        let slot = starts.get(number).copied().flatten()?;
        info.push(FuncInfo { slot: u32::try_from(slot).ok()?, func });
    }
    info.sort_by_key(|entry| entry.slot);
    Some((Arc::new(builder.build().ok()?), info))
}

fn func(builder: &mut BtfBuilder, number: usize, function: &Function, int: TypeId, long: TypeId) -> TypeId {
    let names = ["a", "b", "c", "d", "e"];
    let params: Vec<(&str, TypeId)> = names.iter().take(function.args.len()).map(|name| (*name, long)).collect();
    let proto = builder.func_proto(int, &params);
    let linkage = match function.role {
        Role::Global | Role::Exception => Linkage::Global,
        Role::Main => Linkage::Global,
        Role::Static | Role::Loop | Role::Each => Linkage::Static,
    };
    let name = if number == 0 { "generated".to_owned() } else { format!("f{number}") };
    builder.func(&name, proto, linkage)
}
