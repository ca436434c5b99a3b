//! `.BTF.ext`: what clang writes is read, what is wrong is refused by its name and place.
#![allow(missing_docs)]

mod common;

use backstop_btf::{Btf, BtfExt, CoreKind, ExtError, Kind, RecordProblem, TypeId};
use common::{ACCESS_CODE, access, raw, shapes};

#[test]
fn functions_and_lines() {
    let (btf, ext) = shapes();
    let names = |section| ext.func_info(section).iter().map(|f| (f.insn_off, btf.name(f.func))).collect::<Vec<_>>();
    assert_eq!(names("tc"), [(0, "prog")]);
    assert_eq!(names(".text"), [(0, "helper")]);
    assert!(names("nothing").is_empty() && ext.line_at("nothing", 0).is_none());
    let line = ext.line_at(".text", 0).expect("a line");
    assert_eq!(btf.str(line.file).rsplit('/').next(), Some("shapes.c"));
    assert_eq!(btf.str(line.text), "\tvolatile int x = n->both;");
    assert_eq!((line.line, line.column), (41, 22));
    let lines = ext.line_info("tc");
    assert!(lines.windows(2).all(|w| w[0].insn_off <= w[1].insn_off));
    let last = lines.last().expect("lines");
    assert_eq!(ext.line_at("tc", u32::MAX), Some(last));
    assert!(btf.str(last.text).starts_with("\treturn helper(ctx, TWO)"));
}

#[test]
fn relocations() {
    let (btf, ext) = access();
    let relos = ext.core_relos("tc");
    assert_eq!(relos.len(), 18);
    let first = relos[0];
    assert_eq!((first.insn_off, btf.name(first.ty), btf.str(first.access)), (0, "packet", "0:4:3"));
    for raw in 0..13 {
        let kind = CoreKind::from_raw(raw).expect("a kind");
        assert!(relos.iter().any(|r| r.kind == kind), "{kind} is not in the data");
    }
    assert!(relos.iter().all(|r| (r.insn_off as usize) < ACCESS_CODE.len()));
    assert_eq!(CoreKind::from_raw(13), None);
}

/// Strings: 1 "f", 3 "tc", 6 "0:0", then a name of 257 bytes at 10.
fn types() -> Btf {
    let strings = [b"\0f\0tc\x000:0\0".as_slice(), &[b's'; 257], b"\0"].concat();
    Btf::parse(&raw(&[0, 13 << 24, 0, 1, 12 << 24, 1], &strings)).expect("valid")
}

/// A `.BTF.ext` section with the given parts.
fn ext(parts: [&[u32]; 3]) -> Vec<u8> {
    let mut out = vec![0x9f, 0xeb, 1, 0];
    let mut words = vec![32];
    let mut at = 0;
    for part in parts {
        words.extend([at, part.len() as u32 * 4]);
        at += part.len() as u32 * 4;
    }
    for word in words.iter().chain(parts.concat().iter()) {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out
}

fn refused(parts: [&[u32]; 3]) -> (&'static str, String, usize, RecordProblem) {
    match BtfExt::parse(&ext(parts), &types()) {
        Err(ExtError::Record { part, section, offset, problem }) => (part, section, offset, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn good_ones() {
    let btf = types();
    let funcs = [8, 3, 1, 0, 2];
    // Records longer than known, two runs of one section, out of order.
    let lines = [20, 3, 1, 8, 1, 1, 5 << 10 | 7, 99, 3, 1, 0, 1, 1, 4 << 10, 99];
    let relos = [16, 3, 1, 8, 1, 6, 2];
    let e = BtfExt::parse(&ext([&funcs, &lines, &relos]), &btf).expect("valid");
    assert_eq!(e.func_info("tc")[0].func, TypeId(2));
    assert_eq!(e.line_info("tc").iter().map(|l| (l.insn_off, l.line)).collect::<Vec<_>>(), [(0, 4), (8, 5)]);
    assert_eq!(e.line_at("tc", 15).map(|l| (l.line, l.column)), Some((5, 7)));
    assert_eq!(e.core_relos("tc")[0].kind, CoreKind::FieldExists);
    assert_eq!(BtfExt::parse(&ext([&[], &[], &[]]), &btf), Ok(BtfExt::default()));
    // The shorter header of old compilers has no CO-RE part.
    let mut old = ext([&[], &[], &[]]);
    old.truncate(24);
    old[4] = 24;
    assert_eq!(BtfExt::parse(&old, &btf), Ok(BtfExt::default()));
}

#[test]
fn headers() {
    let good = ext([&[8, 3, 1, 0, 2], &[], &[]]);
    let parse = |b: &[u8]| BtfExt::parse(b, &types()).map(|_| ());
    let with = |at: usize, byte: u8| {
        let mut b = good.clone();
        b[at] = byte;
        parse(&b)
    };
    let header = |offset, what| Err(ExtError::BadHeader { offset, what });
    assert_eq!(parse(&good), Ok(()));
    assert_eq!(parse(&good[..3]), Err(ExtError::TooShort { len: 3 }));
    assert_eq!(parse(&good[..7]), Err(ExtError::TooShort { len: 7 }));
    assert_eq!(parse(&[0xeb, 0x9f]), Err(ExtError::BigEndian));
    assert_eq!(with(0, 0), Err(ExtError::BadMagic { found: 0xeb00 }));
    assert_eq!(with(2, 9), Err(ExtError::BadVersion { found: 9 }));
    assert_eq!(with(3, 9), header(3, "unknown flags are set"));
    assert_eq!(with(4, 20), header(4, "header length is below 24"));
    assert_eq!(with(5, 20), header(4, "header length is beyond the data"));
    assert_eq!(with(8, 2), header(8, "a part is not 4-byte aligned"));
    assert_eq!(with(13, 1), header(12, "a part ends beyond the data"));
    assert_eq!(with(27, 0xff), header(28, "a part ends beyond the data"));
}

#[test]
fn records() {
    use RecordProblem::*;
    let tc = || "tc".to_owned();
    let none = String::new;
    let funcs = |words: &[u32]| refused([words, &[], &[]]);
    assert_eq!(funcs(&[4]), ("func_info", none(), 32, BadRecordSize { size: 4, least: 8 }));
    assert_eq!(funcs(&[9]), ("func_info", none(), 32, BadRecordSize { size: 9, least: 8 }));
    assert_eq!(funcs(&[8, 3]), ("func_info", tc(), 40, Truncated { needed: 4, left: 0 }));
    assert_eq!(funcs(&[8, 3, 0]), ("func_info", tc(), 40, NoRecords));
    assert_eq!(funcs(&[8, 999, 1, 0, 2]), ("func_info", none(), 36, NameOutside(999)));
    assert_eq!(funcs(&[8, 10, 1, 0, 2]), ("func_info", none(), 36, NameTooLong(10)));
    let huge = Truncated { needed: 8 * 0xffff_ffff, left: 8 };
    assert_eq!(funcs(&[8, 3, u32::MAX, 0, 2]), ("func_info", tc(), 44, huge));
    assert_eq!(funcs(&[8, 3, 1, 4, 2]), ("func_info", tc(), 44, Misaligned(4)));
    assert_eq!(funcs(&[8, 3, 2, 0, 2, 8, 1]), ("func_info", tc(), 52, BadType(TypeId(1))));
    assert_eq!(funcs(&[8, 3, 1, 0, 7]), ("func_info", tc(), 44, BadType(TypeId(7))));
    let lines = |words: &[u32]| refused([&[], words, &[]]);
    assert_eq!(lines(&[12]), ("line_info", none(), 32, BadRecordSize { size: 12, least: 16 }));
    assert_eq!(lines(&[16, 3, 1, 0, 999, 1, 0]), ("line_info", tc(), 44, NameOutside(999)));
    assert_eq!(lines(&[16, 3, 1, 0, 1, 999, 0]), ("line_info", tc(), 44, NameOutside(999)));
    let relos = |words: &[u32]| refused([&[], &[], words]);
    assert_eq!(relos(&[16, 3, 1, 0, 3, 6, 0]), ("core_relo", tc(), 44, BadType(TypeId(3))));
    assert_eq!(relos(&[16, 3, 1, 0, 1, 999, 0]), ("core_relo", tc(), 44, NameOutside(999)));
    assert_eq!(relos(&[16, 3, 1, 0, 1, 6, 13]), ("core_relo", tc(), 44, BadKind(13)));
    let shown = BtfExt::parse(&ext([&[], &[], &[16, 3, 1, 0, 1, 6, 13]]), &types()).expect_err("refused").to_string();
    assert_eq!(
        shown,
        "BTF.ext core_relo at byte 0x2c (section tc): relocation kind 13 is unknown; rebuild the object, or drop its \
         debug information with llvm-strip -g"
    );
}

#[test]
fn foreign_encodings_in_source_lines_are_shown_as_question_marks() {
    let btf = Btf::parse(&raw(&[1, 7 << 24, 0], b"\0s\0caf\xe9 \xc3\xa9\0")).expect("valid");
    assert_eq!(btf.str(backstop_btf::Name(3)), "caf? \u{e9}");
    assert_eq!(btf.find("s", Kind::Fwd), Some(TypeId(1)));
}
