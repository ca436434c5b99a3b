//! Every way in which `.BTF` can be wrong is refused by its name, at its place, with a remedy.
#![allow(missing_docs)]

mod common;

use backstop_btf::{Btf, BtfBuilder, BtfError, Encoding, Kind, Name, SecVar, TypeId, TypeProblem};
use common::{info, raw};

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const FLOAT: u32 = 16;
const DECL_TAG: u32 = 17;
const ENUM64: u32 = 19;

/// Offsets: 1 "a", 3 a control character, 5 broken UTF-8, 7 "é".
const STRINGS: &[u8] = b"\0a\0\x01\0\xff\0\xc3\xa9\0";
const A: u32 = 1;
/// `int a`, 32 bits, always type 1.
const AN_INT: [u32; 4] = [A, INT << 24, 4, 32];

fn problem_in(types: &[u32]) -> (TypeId, usize, TypeProblem) {
    match Btf::parse(&raw(types, STRINGS)) {
        Err(error @ BtfError::Type { .. }) => {
            let text = error.to_string();
            let BtfError::Type { id, offset, kind, problem } = error else { unreachable!() };
            let head = format!("BTF type {id} {kind} at byte {offset:#x}: ");
            assert!(text.starts_with(&head) && text.ends_with(problem.remedy()), "{text}");
            (id, offset, problem)
        }
        other => panic!("expected a refused type, got {:?}", other.map(|b| b.len())),
    }
}

/// The problem of the type that follows `int a`.
fn second(types: &[u32]) -> TypeProblem {
    let all: Vec<u32> = AN_INT.iter().chain(types).copied().collect();
    let (id, offset, problem) = problem_in(&all);
    assert_eq!((id, offset), (TypeId(2), 24 + 16));
    problem
}

#[test]
fn headers() {
    let good = raw(&AN_INT, STRINGS);
    assert!(Btf::parse(&good).is_ok());
    let with = |at: usize, byte: u8| {
        let mut b = good.clone();
        b[at] = byte;
        Btf::parse(&b).map(|b| b.len())
    };
    let header = |at, what| Err(BtfError::BadHeader { offset: at, what });
    assert_eq!(Btf::parse(&[]).map(|b| b.len()), Err(BtfError::TooShort { len: 0 }));
    assert_eq!(Btf::parse(&good[..23]).map(|b| b.len()), Err(BtfError::TooShort { len: 23 }));
    assert_eq!(Btf::parse(&[0xeb, 0x9f, 1, 0]).map(|b| b.len()), Err(BtfError::BigEndian));
    assert_eq!(with(0, 0x7f), Err(BtfError::BadMagic { found: 0xeb7f }));
    assert_eq!(with(2, 2), Err(BtfError::BadVersion { found: 2 }));
    assert_eq!(with(3, 1), header(3, "unknown flags are set"));
    assert_eq!(with(4, 23), header(4, "header length is below 24"));
    assert_eq!(with(7, 1), header(4, "header length is beyond the data"));
    assert_eq!(with(4, 25), header(24, "fields of a newer header are set"));
    assert_eq!(with(8, 2), header(8, "type section is not 4-byte aligned"));
    assert_eq!(with(13, 1), header(12, "type section ends beyond the data"));
    assert_eq!(with(21, 1), header(20, "string section ends beyond the data"));
    assert_eq!(with(16, 0), header(16, "type and string sections overlap"));
}

#[test]
fn a_longer_header_of_zeros_is_accepted() {
    let mut b = raw(&AN_INT, STRINGS);
    b.splice(24..24, [0; 8]);
    b[4] = 32;
    assert_eq!(Btf::parse(&b).map(|b| b.len()), Ok(2));
}

#[test]
fn string_sections() {
    let strings = |s: &[u8]| Btf::parse(&raw(&[], s)).map(|b| b.len());
    let bad = |what| Err(BtfError::BadStrings { offset: 24, what });
    assert_eq!(strings(b"\0"), Ok(1));
    assert_eq!(strings(b""), bad("does not begin with an empty string"));
    assert_eq!(strings(b"a\0"), bad("does not begin with an empty string"));
    assert_eq!(strings(b"\0a"), bad("does not end with a NUL"));
    assert_eq!(strings(&vec![0; 1 << 24]), bad("is longer than 16 MiB"));
}

#[test]
fn records_cut_short_allocate_nothing() {
    let (id, offset, problem) = problem_in(&[0, STRUCT << 24 | 0xffff, 0xffff_ffff, 0, 0, 0]);
    assert_eq!((id, offset), (TypeId(1), 24));
    assert_eq!(problem, TypeProblem::Truncated { needed: 12 + 12 * 0xffff, left: 24 });
    assert_eq!(second(&[A]), TypeProblem::Truncated { needed: 8, left: 4 });
    assert_eq!(second(&[A, INT << 24, 4]), TypeProblem::Truncated { needed: 16, left: 12 });
    assert_eq!(second(&[0, info(ENUM64, 2), 8, A, 0, 0]), TypeProblem::Truncated { needed: 36, left: 24 });
    assert_eq!(second(&[0, info(FUNC_PROTO, 9), 0]), TypeProblem::Truncated { needed: 84, left: 12 });
    assert_eq!(second(&[A, info(DATASEC, 1), 4]), TypeProblem::Truncated { needed: 24, left: 12 });
}

#[test]
fn too_many_types() {
    let types: Vec<u32> = std::iter::repeat_n([0, PTR << 24, 0], 0x10_0000).flatten().collect();
    let (id, _, problem) = problem_in(&types);
    assert_eq!((id, problem), (TypeId(0x10_0000), TypeProblem::TooManyTypes { max: 0xf_ffff }));
}

#[test]
fn info_words() {
    assert_eq!(second(&[0, 0, 0]), TypeProblem::UnknownKind);
    assert_eq!(second(&[0, 20 << 24, 0]), TypeProblem::UnknownKind);
    assert_eq!(second(&[0, PTR << 24 | 1 << 16, 1]), TypeProblem::BadInfo { info: PTR << 24 | 1 << 16 });
    assert_eq!(second(&[0, info(PTR, 1), 1]), TypeProblem::BadInfo { info: info(PTR, 1) });
    assert_eq!(second(&[0, 1 << 31 | PTR << 24, 1]), TypeProblem::BadInfo { info: 1 << 31 | PTR << 24 });
}

#[test]
fn names() {
    let outside = TypeProblem::NameOutside { name: Name(10), len: STRINGS.len() };
    assert_eq!(second(&[10, FWD << 24, 0]), outside);
    assert_eq!(second(&[u32::MAX, FWD << 24, 0]), TypeProblem::NameOutside { name: Name(u32::MAX), len: 10 });
    assert_eq!(second(&[3, FWD << 24, 0]), TypeProblem::BadName { name: Name(3) });
    assert_eq!(second(&[5, FWD << 24, 0]), TypeProblem::BadName { name: Name(5) });
    assert_eq!(second(&[8, FWD << 24, 0]), TypeProblem::BadName { name: Name(8) });
    for kind in [FWD, TYPEDEF, DECL_TAG, VAR, DATASEC, FUNC] {
        assert_eq!(second(&[0, kind << 24, 0, 0]), TypeProblem::NameMissing);
    }
    assert_eq!(second(&[2, FWD << 24, 0]), TypeProblem::NameMissing);
    for kind in [PTR, CONST, ARRAY, FUNC_PROTO] {
        assert_eq!(second(&[A, kind << 24, 0, 0, 0, 0]), TypeProblem::NameForbidden { name: Name(A) });
    }
    let long = [b"\0".as_slice(), &vec![b'x'; 1025], b"\0"].concat();
    match Btf::parse(&raw(&[1, FWD << 24, 0], &long)) {
        Err(BtfError::Type { problem, .. }) => {
            assert_eq!(problem, TypeProblem::NameTooLong { name: Name(1), max: 1024 });
        }
        other => panic!("{other:?}"),
    }
    assert!(Btf::parse(&raw(&[2, FWD << 24, 0], &long)).is_ok());
    let utf8 = Btf::parse(&raw(&[7, FWD << 24, 0], STRINGS)).expect("UTF-8 names are names");
    assert_eq!(utf8.name(TypeId(1)), "\u{e9}");
}

#[test]
fn references_outside() {
    let outside = |n| TypeProblem::IdOutside { to: TypeId(n), last: 2 };
    assert_eq!(second(&[0, PTR << 24, 3]), outside(3));
    assert_eq!(second(&[0, CONST << 24, u32::MAX]), outside(u32::MAX));
    assert_eq!(second(&[0, ARRAY << 24, 0, 9, 1, 1]), outside(9));
    assert_eq!(second(&[0, ARRAY << 24, 0, 1, 9, 1]), outside(9));
    assert_eq!(second(&[0, info(STRUCT, 1), 4, A, 9, 0]), outside(9));
    assert_eq!(second(&[A, FUNC << 24, 9]), outside(9));
    assert_eq!(second(&[0, info(FUNC_PROTO, 1), 0, A, 9]), outside(9));
    assert_eq!(second(&[0, FUNC_PROTO << 24, 9]), outside(9));
    assert_eq!(second(&[A, VAR << 24, 9, 0]), outside(9));
    assert_eq!(second(&[A, info(DATASEC, 1), 4, 9, 0, 4]), outside(9));
    assert_eq!(second(&[A, DECL_TAG << 24, 9, u32::MAX]), outside(9));
}

#[test]
fn references_of_the_wrong_kind() {
    let bad = |role, to, found| TypeProblem::BadReference { role, to: TypeId(to), found };
    assert_eq!(second(&[A, FUNC << 24, 1]), bad("the prototype", 1, Kind::Int));
    assert_eq!(second(&[A, info(DATASEC, 1), 4, 1, 0, 4]), bad("a section variable", 1, Kind::Int));
    assert_eq!(second(&[A, DECL_TAG << 24, 1, u32::MAX]), bad("the tag's target", 1, Kind::Int));
    assert_eq!(second(&[0, info(UNION, 1), 4, A, 0, 0]), bad("a member", 0, Kind::Void));
    assert_eq!(second(&[0, ARRAY << 24, 0, 0, 1, 1]), bad("the element", 0, Kind::Void));
    assert_eq!(second(&[0, PTR << 24, 3, A, VAR << 24, 1, 0]), bad("the pointee", 3, Kind::Var));
    assert_eq!(second(&[A, TYPEDEF << 24, 3, A, VAR << 24, 1, 0]), bad("the modified type", 3, Kind::Var));
    assert_eq!(second(&[0, ARRAY << 24, 0, 1, 3, 1, 0, PTR << 24, 0]), bad("the index", 3, Kind::Ptr));
    assert_eq!(second(&[0, info(FUNC_PROTO, 2), 0, 0, 0, 0, 0]), TypeProblem::VoidParam { index: 0 });
    assert_eq!(second(&[0, info(FUNC_PROTO, 1), 0, A, 0]), TypeProblem::VoidParam { index: 0 });
}

#[test]
fn things_without_a_size() {
    let member = [0, info(STRUCT, 1), 4, A, 3, 0, A, FWD << 24, 0];
    assert_eq!(second(&member), TypeProblem::Unsized { role: "a member", to: TypeId(3) });
    let element = [0, ARRAY << 24, 0, 3, 1, 1, 0, FUNC_PROTO << 24, 0];
    assert_eq!(second(&element), TypeProblem::Unsized { role: "the element", to: TypeId(3) });
}

#[test]
fn cycles() {
    let through = |n| TypeProblem::Cycle { through: TypeId(n) };
    assert_eq!(second(&[A, TYPEDEF << 24, 2]), through(2));
    assert_eq!(second(&[A, TYPEDEF << 24, 3, 0, CONST << 24, 2]), through(3));
    assert_eq!(second(&[0, PTR << 24, 3, 0, CONST << 24, 2]), through(3));
    assert_eq!(second(&[A, info(STRUCT, 1), 4, A, 2, 0]), through(2));
    assert_eq!(second(&[0, ARRAY << 24, 0, 2, 1, 1]), through(2));
    // struct a { struct a x[1]; }: the array closes the circle.
    let (id, _, problem) =
        problem_in(&[A, info(STRUCT, 1), 4, A, 2, 0, 0, ARRAY << 24, 0, 1, 3, 1, A, INT << 24, 4, 32]);
    assert_eq!((id, problem), (TypeId(2), through(1)));
    // struct a { const struct a *x; } is no circle.
    let list = [A, info(STRUCT, 1), 8, A, 2, 0, 0, PTR << 24, 3, 0, CONST << 24, 1];
    assert_eq!(Btf::parse(&raw(&list, STRINGS)).map(|b| b.len()), Ok(4));
}

#[test]
fn nesting_has_a_limit() {
    let chain = |kind: u32, n: u32| -> Vec<u32> {
        AN_INT.iter().copied().chain((1..=n).flat_map(|to| [0, kind << 24, to])).collect()
    };
    assert_eq!(Btf::parse(&raw(&chain(PTR, 64), STRINGS)).map(|b| b.len()), Ok(66));
    assert_eq!(problem_in(&chain(PTR, 65)).2, TypeProblem::TooDeep { max: 64 });
    assert_eq!(problem_in(&chain(CONST, 100_000)).2, TypeProblem::TooDeep { max: 64 });
    let nested = |n: u32| -> Vec<u32> {
        AN_INT.iter().copied().chain((1..=n).flat_map(|to| [0, info(STRUCT, 1), 4, A, to, 0])).collect()
    };
    let btf = Btf::parse(&raw(&nested(64), STRINGS)).expect("64 levels");
    assert_eq!(btf.leaf_at(TypeId(65), 0, 4).map(|l| l.ty), Some(TypeId(1)));
    assert_eq!(problem_in(&nested(65)).2, TypeProblem::TooDeep { max: 64 });
    assert_eq!(problem_in(&nested(50_000)).2, TypeProblem::TooDeep { max: 64 });
}

#[test]
fn sizes() {
    for size in [0, 3, 5, 32, u32::MAX] {
        if size == 0 || size > 16 {
            assert_eq!(second(&[A, INT << 24, size, 8]), TypeProblem::BadSize { size });
        }
        assert_eq!(second(&[A, ENUM << 24, size]), TypeProblem::BadSize { size });
        assert_eq!(second(&[A, FLOAT << 24, size]), TypeProblem::BadSize { size });
    }
    assert_eq!(second(&[A, FWD << 24, 8]), TypeProblem::BadSize { size: 8 });
    for word in [0, 33, 32 | 1 << 16, 3 << 24 | 32, 0x1000_0020, 0x0000_0120] {
        assert_eq!(second(&[A, INT << 24, 4, word]), TypeProblem::BadInt { word, size: 4 });
    }
    let huge = [0, ARRAY << 24, 0, 1, 1, 0x4000_0000];
    assert_eq!(second(&huge), TypeProblem::ArrayOverflow { len: 0x4000_0000, elem_size: 4 });
    let (id, _, problem) = problem_in(
        &[AN_INT.as_slice(), &[0, ARRAY << 24, 0, 1, 1, 0x3fff_ffff], &[0, ARRAY << 24, 0, 2, 1, 2]].concat(),
    );
    assert_eq!((id, problem), (TypeId(3), TypeProblem::ArrayOverflow { len: 2, elem_size: 0xffff_fffc }));
}

#[test]
fn members() {
    let flag = 1 << 31;
    let outside = |index, end, bits| TypeProblem::MemberOutside { index, end, bits };
    let bad = |bit_offset, bit_size| TypeProblem::BadBitfield { index: 0, bit_offset, bit_size };
    assert_eq!(second(&[0, info(STRUCT, 1), 4, A, 1, 8]), outside(0, 40, 32));
    assert_eq!(second(&[0, info(STRUCT, 2), 4, A, 1, 0, A, 1, u32::MAX - 7]), outside(1, 0x1_0000_0018, 32));
    assert_eq!(second(&[0, info(UNION, 1), 3, A, 1, 0]), outside(0, 32, 24));
    assert_eq!(second(&[0, info(STRUCT, 1), 16, A, 3, 4, 0, PTR << 24, 1]), bad(4, 0));
    assert_eq!(second(&[0, flag | info(STRUCT, 1), 4, A, 1, 33 << 24]), bad(0, 33));
    assert_eq!(second(&[0, flag | info(STRUCT, 1), 4, A, 1, 5 << 24 | 30]), outside(0, 35, 32));
    assert_eq!(second(&[0, flag | info(STRUCT, 1), 8, A, 3, 5 << 24, 0, PTR << 24, 1]), bad(0, 5));
}

#[test]
fn variables_and_tags() {
    let datasec = |size, offset, len| {
        let types = [A, VAR << 24, 1, 0, A, info(DATASEC, 1), size, 2, offset, len];
        Btf::parse(&raw(&[AN_INT.as_slice(), &types].concat(), STRINGS)).map(|b| b.len())
    };
    assert_eq!(datasec(4, 0, 4), Ok(4));
    assert_eq!(datasec(0, 0, 4), Ok(4), "an object that is not linked yet");
    for (offset, end) in [(1, 5), (u32::MAX, 0x1_0000_0003)] {
        let Err(BtfError::Type { problem, .. }) = datasec(4, offset, 4) else { panic!("accepted") };
        assert_eq!(problem, TypeProblem::VarOutside { index: 0, start: offset.into(), end, size: 4 });
    }
    assert_eq!(second(&[A, VAR << 24, 1, 3]), TypeProblem::BadLinkage { found: 3 });
    let bad = |component, count| TypeProblem::BadComponent { component, count };
    let tag = |n: u32| [A, DECL_TAG << 24, 3, n, 0, info(STRUCT, 1), 4, A, 1, 0];
    assert_eq!(second(&tag(1)), bad(1, 1));
    assert_eq!(second(&tag(0xffff_fffe)), bad(-2, 1));
    assert_eq!(second(&[A, DECL_TAG << 24, 3, 0, A, VAR << 24, 1, 0]), bad(0, 0));
    let types = [A, FUNC << 24 | 3, 3, 0, FUNC_PROTO << 24, 0];
    assert_eq!(second(&types), TypeProblem::BadLinkage { found: 3 });
}

#[test]
fn builder_refuses_what_records_cannot_say() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, Encoding::Signed);
    let var = b.var("v", int, backstop_btf::Linkage::Global);
    b.datasec(".data", 4, &vec![SecVar { ty: var, offset: 0, size: 4 }; 0x10000]);
    match b.emit() {
        Err(BtfError::Type { id: TypeId(3), problem: TypeProblem::ListTooLong { max: 0xffff }, .. }) => {}
        other => panic!("{other:?}"),
    }
}
