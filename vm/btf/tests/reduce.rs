//! Parts of a set of types: what is kept is whole, what is only pointed to has a name.
#![allow(missing_docs)]

use backstop_btf::{Btf, BtfBuilder, Encoding, Kind, Linkage, Type, TypeId};

/// `inner` is held, `far` pointed to, `other` neither; `use_inner` is a tagged function.
fn types() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, Encoding::Signed);
    let far = b.structure("far", 4, &[("x", int, 0)]);
    let to_far = b.ptr(far);
    let inner = b.structure("inner", 16, &[("far", to_far, 0), ("n", int, 64)]);
    let array = b.array(inner, int, 2);
    b.structure("outer", 40, &[("n", int, 0), ("inners", array, 64)]);
    b.structure("other", 4, &[("x", int, 0)]);
    let to_inner = b.ptr(inner);
    let proto = b.func_proto(int, &[("inner", to_inner)]);
    let func = b.func("use_inner", proto, Linkage::Static);
    b.decl_tag("kept", func, None);
    b.build().expect("types")
}

fn find(btf: &Btf, name: &str, kind: Kind) -> TypeId {
    btf.find(name, kind).unwrap_or_else(|| panic!("{kind} {name} is missing"))
}

#[test]
fn a_part_holds_what_its_types_hold() {
    let whole = types();
    let part = whole.reduced([find(&whole, "outer", Kind::Struct)]);
    let part = Btf::parse(&part.encode()).expect("the part is valid");
    let outer = find(&part, "outer", Kind::Struct);
    assert_eq!(part.size_of(outer), Some(40));
    assert_eq!(part.field(outer, "inners").map(|f| f.byte_offset()), Some(8));
    let inner = find(&part, "inner", Kind::Struct);
    assert_eq!((part.size_of(inner), part.members(inner).len()), (Some(16), 2));
    let far = find(&part, "far", Kind::Struct);
    assert_eq!((part.size_of(far), part.members(far).len()), (Some(0), 0), "nothing can be read of it");
    assert_eq!(part.find("other", Kind::Struct), None);
    assert_eq!(part.find("use_inner", Kind::Func), None);
}

#[test]
fn a_function_keeps_its_prototype_and_tags() {
    let whole = types();
    let part = whole.reduced([find(&whole, "use_inner", Kind::Func)]);
    let func = find(&part, "use_inner", Kind::Func);
    assert_eq!(part.decl_tags(func, None).collect::<Vec<_>>(), ["kept"]);
    let proto = part.proto(func).expect("a prototype");
    assert_eq!(proto.params.len(), 1);
    let pointee = part.pointee(proto.params[0].ty).expect("a pointer");
    assert_eq!((part.name(pointee), part.size_of(pointee)), ("inner", Some(0)));
    assert!(matches!(part.resolved(proto.ret), Type::Int(_)));
}

#[test]
fn nothing_wanted_is_nothing_kept() {
    assert!(types().reduced([]).is_empty());
    assert!(types().reduced([TypeId(9999)]).find("int", Kind::Int).is_none());
}
