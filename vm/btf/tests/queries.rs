//! What can be asked of real types: clang's output for `data/shapes.c`, and the running kernel's.
#![allow(missing_docs)]

mod common;

use backstop_btf::{Btf, BtfBuilder, Encoding, Kind, Linkage, Type, TypeId, assignable, essential_name, same_shape};
use common::{ACCESS, SHAPES, access, shapes};

fn find(btf: &Btf, name: &str, kind: Kind) -> TypeId {
    btf.find(name, kind).unwrap_or_else(|| panic!("{kind} {name} is missing"))
}

#[test]
fn encoding_gives_the_same_bytes_back() {
    for bytes in [SHAPES, ACCESS] {
        assert_eq!(Btf::parse(bytes).expect("parses").encode(), bytes);
    }
}

#[test]
fn names_kinds_and_sizes() {
    let (btf, _) = shapes();
    let node = find(&btf, "node", Kind::Struct);
    assert_eq!((btf.name(node), btf.kind(node), btf.size_of(node)), ("node", Kind::Struct, Some(96)));
    assert_eq!(btf.size_of(find(&btf, "table", Kind::Var)), Some(288));
    assert_eq!(btf.size_of(find(&btf, "callback_t", Kind::Typedef)), Some(8));
    assert_eq!(btf.size_of(find(&btf, "forward", Kind::Fwd)), None);
    assert_eq!(btf.size_of(TypeId::VOID), None);
    assert_eq!(btf.find("node", Kind::Union), None);
    assert_eq!(btf.find("", Kind::Ptr), None);
    assert_eq!(btf.find_all("prog").collect::<Vec<_>>(), [find(&btf, "prog", Kind::Func)]);
    let nowhere = TypeId(u32::MAX);
    assert_eq!((btf.ty(nowhere), btf.get(nowhere), btf.name(nowhere)), (&Type::Void, None, ""));
    assert!(btf.members(nowhere).is_empty() && btf.proto(nowhere).is_none() && btf.leaf_at(nowhere, 0, 1).is_none());
}

#[test]
fn members_by_name_and_by_place() {
    let (btf, _) = shapes();
    let node = find(&btf, "node", Kind::Struct);
    let place = |path| btf.field(node, path).map(|f| (f.bit_offset, f.bit_size));
    assert_eq!(place("next"), Some((0, 0)));
    assert_eq!(place("bits"), Some((640, 40)));
    assert_eq!(place("both"), Some((704, 0)));
    assert_eq!(place("hi"), Some((720, 0)));
    assert_eq!(place("lo.x"), None);
    assert_eq!(place("nothing"), None);
    assert_eq!(place(""), None);
    let path = |offset, size| btf.leaf_at(node, offset, size).map(|l| (l.path, l.bit_offset, l.bit_size));
    let leaf = |path: &str, bit, bits| Some((path.to_owned(), bit, bits));
    assert_eq!(path(8, 8), leaf("name", 64, 0));
    assert_eq!(path(12, 2), leaf("name", 64, 0));
    assert_eq!(path(56 + 16, 4), leaf("small[1][1]", 576, 0));
    assert_eq!(path(80, 8), leaf("bits", 640, 40));
    assert_eq!(path(88, 4), leaf("both", 704, 0));
    assert_eq!(path(90, 2), leaf("hi", 720, 0));
    assert_eq!(path(90, 4), None);
    assert_eq!(path(96, 1), None);
    assert_eq!(path(u64::MAX, 1), None);
}

#[test]
fn nested_members_by_dotted_path() {
    let (btf, _) = access();
    let packet = find(&btf, "packet", Kind::Struct);
    assert_eq!(btf.field(packet, "in.mode").map(|f| (f.bit_offset, f.bit_size)), Some((99, 5)));
    assert_eq!(btf.field(packet, "in").map(|f| f.byte_offset()), Some(8));
}

#[test]
fn c_spelling() {
    let (btf, _) = shapes();
    let node = find(&btf, "node", Kind::Struct);
    let spelled: Vec<String> = btf.members(node).iter().map(|m| btf.declaration(m.ty, btf.str(m.name))).collect();
    assert_eq!(
        spelled,
        [
            "struct node *next",
            "const volatile char *restrict name",
            "struct forward *f",
            "union uforward *u",
            "__rcu int *guarded",
            "int (*compare)(const void *, struct node *, ...)",
            "double weight",
            "float small[2][3]",
            "unsigned long long bits",
            "_Bool on",
            "union (anon)",
        ]
    );
    assert_eq!(btf.type_name(find(&btf, "helper", Kind::Func)), "int helper(struct node *n, enum small s)");
    assert_eq!(btf.type_name(find(&btf, "hook", Kind::Var)), "callback_t hook");
    assert_eq!(btf.type_name(find(&btf, "text", Kind::Var)), "const char text[16]");
    assert_eq!(btf.type_name(btf.members(node)[7].ty), "float[2][3]");
    assert_eq!(btf.type_name(btf.members(node)[5].ty), "int (*)(const void *, struct node *, ...)");
    assert_eq!(btf.type_name(TypeId::VOID), "void");
}

#[test]
fn spelling_of_hostile_types_is_bounded() {
    let mut b = BtfBuilder::new();
    let mut id = b.func_proto(TypeId::VOID, &[]);
    for _ in 0..30 {
        let p = b.ptr(id);
        id = b.func_proto(p, &[("a", p), ("b", p), ("c", p)]);
    }
    let btf = b.build().expect("valid");
    assert!(btf.type_name(id).len() < 20_000);
}

#[test]
fn functions_tags_and_enums() {
    let (btf, _) = shapes();
    let helper = find(&btf, "helper", Kind::Func);
    let proto = btf.proto(helper).expect("prototype");
    assert_eq!((btf.type_name(proto.ret), proto.params.len(), proto.variadic), ("int".to_owned(), 2, false));
    assert!(matches!(btf.ty(helper), Type::Func { linkage: Linkage::Static, .. }));
    assert_eq!(btf.decl_tags(helper, Some(0)).collect::<Vec<_>>(), ["argument"]);
    assert_eq!(btf.decl_tags(helper, None).count(), 0);
    let node = find(&btf, "node", Kind::Struct);
    assert_eq!(btf.decl_tags(node, None).collect::<Vec<_>>(), ["whole"]);
    assert_eq!(btf.decl_tags(node, Some(9)).collect::<Vec<_>>(), ["member"]);
    let compare = btf.field(node, "compare").expect("compare").ty;
    assert_eq!(btf.proto(compare).map(|p| (p.params.len(), p.variadic)), Some((2, true)));
    let tagged = btf.members(node)[4].ty;
    let tags: Vec<&str> = btf.type_tags(tagged).chain(btf.type_tags(btf.pointee(tagged).expect("pointer"))).collect();
    assert_eq!(tags, ["rcu"]);
    assert_eq!(btf.enum_value(find(&btf, "big", Kind::Enum64), "BIGGER"), Some((1 << 40) + 1));
    assert_eq!(btf.enum_value(find(&btf, "negative", Kind::Enum), "MINUS"), Some(-1));
    assert_eq!(btf.enum_name(find(&btf, "small", Kind::Enum), 2), Some("TWO"));
    assert!(btf.is_const(btf.field(node, "name").and_then(|f| btf.pointee(f.ty)).expect("name")));
    assert!(!btf.is_const(node));
}

#[test]
fn sections_are_placed_by_the_linker() {
    let (mut btf, _) = shapes();
    let bss = find(&btf, ".bss", Kind::Datasec);
    let sizes: Vec<u32> = btf.datasec_vars(bss).iter().map(|v| v.size).collect();
    assert_eq!(sizes, [288, 8, 4]);
    let before = btf.encode();
    assert!(btf.place_datasec(bss, 299, &[0, 288, 296]).is_err());
    assert_eq!(btf.encode(), before);
    btf.place_datasec(bss, 300, &[12, 4, 0]).expect("fits");
    assert_eq!(btf.size_of(bss), Some(300));
    let again = Btf::parse(&btf.encode()).expect("still valid");
    assert_eq!(
        again.datasec_vars(bss).iter().map(|v| (v.offset, v.size)).collect::<Vec<_>>(),
        [(0, 4), (4, 8), (12, 288)],
        "in the order of their offsets"
    );
}

#[test]
fn flavours() {
    for (name, essential) in [
        ("task_struct___v2", "task_struct"),
        ("a___b___c", "a___b"),
        ("___x", "___x"),
        ("a___", "a___"),
        ("a____b", "a____b"),
        ("plain", "plain"),
        ("é___ü", "é"),
        ("", ""),
    ] {
        assert_eq!(essential_name(name), essential);
    }
    let (btf, _) = access();
    let all: Vec<&str> = btf.find_essential("packet").map(|id| btf.name(id)).collect();
    assert_eq!(all, ["packet", "packet___old"]);
    assert_eq!(btf.find_all("packet").count(), 1);
}

#[test]
fn shapes_are_compared() {
    let (a, _) = shapes();
    let (c, _) = access();
    let node = find(&a, "node", Kind::Struct);
    assert!(same_shape((&a, node), (&a, node)));
    assert!(!same_shape((&a, node), (&c, find(&c, "packet", Kind::Struct))));
    let mut b = BtfBuilder::new();
    let int = b.int("s32", 4, Encoding::Signed);
    let uint = b.int("u32", 4, Encoding::Unsigned);
    let int_t = b.typedef("int_t", int);
    let s = b.structure("s", 8, &[("x", int, 0), ("y", uint, 32)]);
    let same = b.structure("s___other", 8, &[("x", int_t, 0), ("y", uint, 32)]);
    let moved = b.structure("s", 8, &[("x", int_t, 32), ("y", uint, 0)]);
    let forward = b.forward("s", false);
    let [p, p_same, p_forward, p_int] = [s, same, forward, int].map(|t| b.ptr(t));
    let const_s = b.constant(s);
    let p_const = b.ptr(const_s);
    let p_void = b.ptr(TypeId::VOID);
    let f = b.func_proto(int, &[("a", p)]);
    let g = b.func_proto(int_t, &[("b", p_forward)]);
    let btf = b.build().expect("valid");
    let alike = |x, y| same_shape((&btf, x), (&btf, y));
    assert!(alike(int, int_t) && alike(s, same) && alike(p, p_same) && alike(p, p_forward) && alike(p_forward, p));
    assert!(alike(f, g) && alike(p, p_const));
    assert!(!alike(int, uint) && !alike(s, moved) && !alike(p, p_int) && !alike(s, forward) && !alike(p, s));
    let fits = |x, y| assignable((&btf, x), (&btf, y));
    assert!(fits(p, p_const) && fits(p, p_void) && fits(p_void, p) && fits(int, uint) && fits(p, p_forward));
    assert!(!fits(p_const, p) && !fits(p_const, p_void) && !fits(p, int) && !fits(p, p_int));
}

#[test]
fn recursive_shapes_end() {
    let list = |name: &str| {
        let mut b = BtfBuilder::new();
        let node = b.next_id();
        let p = TypeId(node.0 + 1);
        b.structure("", 16, &[(name, p, 0), ("b", p, 64)]);
        b.ptr(node);
        (b.build().expect("valid"), node)
    };
    let (x, y, z) = (list("a"), list("a"), list("c"));
    assert!(same_shape((&x.0, x.1), (&y.0, y.1)));
    assert!(!same_shape((&x.0, x.1), (&z.0, z.1)));
}

#[test]
fn unions_of_unions_do_not_explode() {
    let mut b = BtfBuilder::new();
    let mut id = b.int("int", 4, Encoding::Signed);
    for _ in 0..60 {
        id = b.union("", 4, &[("", id), ("", id)]);
    }
    let btf = b.build().expect("valid");
    assert_eq!(btf.field(id, "x"), None);
    assert_eq!(btf.leaf_at(id, 0, 2).map(|l| l.path), Some(String::new()));
    assert_eq!(btf.leaf_at(id, 2, 4), None);
}

#[test]
fn builder_extends_what_was_parsed() {
    let (btf, ext) = shapes();
    let mut b = BtfBuilder::extend(&btf);
    let node = find(&btf, "node", Kind::Struct);
    let p = b.ptr(node);
    let both = b.structure_with_bitfields("pair", 16, &[("n", p, 0, 0), ("x", find(&btf, "int", Kind::Int), 64, 3)]);
    b.decl_tag("mine", both, Some(1));
    let grown = Btf::parse(&b.emit().expect("valid")).expect("valid");
    assert_eq!(grown.type_name(p), "struct node *");
    assert_eq!(grown.decl_tags(both, Some(1)).collect::<Vec<_>>(), ["mine"]);
    assert_eq!(grown.field(both, "x").map(|f| (f.bit_offset, f.bit_size)), Some((64, 3)));
    let line = ext.line_at("tc", 0).expect("line");
    assert_eq!(grown.str(line.text), btf.str(line.text));
}

#[test]
fn the_running_kernel() {
    let path = "/sys/kernel/btf/vmlinux";
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return println!("skipped: {path}: {error}"),
    };
    let btf = Btf::parse(&bytes).expect("the kernel's types are valid");
    let task = find(&btf, "task_struct", Kind::Struct);
    assert!(btf.size_of(task).is_some_and(|s| s > 1000));
    let comm = btf.field(task, "comm").expect("comm");
    assert_eq!(btf.type_name(comm.ty), "char[16]");
    let leaf = btf.leaf_at(task, comm.byte_offset() + 3, 1).expect("comm[3]");
    assert_eq!(leaf.path, "comm[3]");
    let throw = find(&btf, "bpf_throw", Kind::Func);
    assert_eq!(btf.type_name(throw), "void bpf_throw(u64 cookie)");
    assert!(btf.field(find(&btf, "__sk_buff", Kind::Struct), "data_end").is_some());
    assert_eq!(btf.encode(), bytes);
    for id in btf.ids() {
        assert!(btf.type_name(id).len() < 20_000);
    }
}
