//! CO-RE: every kind of relocation against types that moved, changed or went away.
#![allow(missing_docs)]

mod common;

use backstop_btf::core::{CoreError, PatchProblem, PoisonReason, Resolution, SpecProblem, is_poison, patch, resolve};
use backstop_btf::{Btf, BtfBuilder, CoreKind, CoreRelo, Encoding, Name, TypeId};
use backstop_isa::Slot;
use common::{ACCESS, ACCESS_CODE, access};

fn code() -> Vec<Slot> {
    ACCESS_CODE.chunks_exact(8).map(|c| Slot::from_bytes(c.try_into().expect("8 bytes"))).collect()
}

/// The value that an instruction holds.
fn held(slots: &[Slot], at: usize) -> u64 {
    match slots[at].code & 7 {
        0 => u64::from(slots[at].imm as u32) | u64::from(slots[at + 1].imm as u32) << 32,
        1 => slots[at].off as u64,
        _ => i64::from(slots[at].imm) as u64,
    }
}

/// Answers of the recorded program's relocations against a target, as `text = value` or the reason for poison.
fn answers(target: &Btf) -> Vec<String> {
    let (btf, ext) = access();
    let mut slots = code();
    let mut out = Vec::new();
    for relo in ext.core_relos("tc") {
        let at = relo.insn_off as usize / 8;
        let res = resolve(&btf, &[target], relo).expect("resolves");
        out.push(match patch(&mut slots, at, &res).expect("patches") {
            None => {
                assert_eq!(held(&slots, at), res.value, "{}", res.spec);
                format!("{} = {}", res.kind, res.value as i64)
            }
            Some(poison) => {
                assert!(is_poison(&slots[at]));
                format!("{}: {}", res.kind, poison.reason)
            }
        });
    }
    out
}

/// The program's own types, in which `packet___old` is no flavour of `packet` any more.
fn itself() -> Btf {
    let (flavour, plain) = (b"\0packet___old\0", b"\0packet_v1old\0");
    let at = ACCESS.windows(flavour.len()).position(|w| w == flavour).expect("the flavour's name");
    let mut bytes = ACCESS.to_vec();
    bytes[at..at + plain.len()].copy_from_slice(plain);
    Btf::parse(&bytes).expect("valid")
}

#[test]
fn against_itself_nothing_changes() {
    let (btf, ext) = access();
    let target = itself();
    let mut slots = code();
    for relo in ext.core_relos("tc") {
        let at = relo.insn_off as usize / 8;
        let res = resolve(&btf, &[&target], relo).expect("resolves");
        if relo.kind == CoreKind::FieldExists {
            assert_eq!((res.local_value, res.value), (1, 0), "packet___old is gone");
            continue;
        }
        // clang states the storage unit of a bitfield, the rules go by its declared type.
        if relo.kind == CoreKind::FieldByteSize {
            assert_eq!((res.validate, res.value), (false, 1));
            continue;
        }
        assert_eq!(res.value, held(&slots, at), "{}", res.spec);
        assert_eq!(patch(&mut slots, at, &res), Ok(None));
    }
    assert_eq!(slots, code());
}

#[test]
fn texts_are_those_of_libbpf() {
    let (btf, ext) = access();
    let texts: Vec<String> =
        ext.core_relos("tc").iter().map(|r| resolve(&btf, &[], r).expect("resolves").spec).collect();
    assert_eq!(
        texts,
        [
            "<byte_off> [2] struct packet.tail[3] (0:4:3 @ offset 36)",
            "<byte_off> [2] struct packet.in.a (0:1:0:1:0 @ offset 8)",
            "<byte_off> [2] struct packet.arr[2] (0:2:2 @ offset 24)",
            "<byte_off> [2] struct packet.len (0:0 @ offset 0)",
            "<byte_off> [2] struct packet.in.mode (0:1:0:1:2 @ offset 12.3)",
            "<byte_sz> [2] struct packet.in.mode (0:1:0:1:2 @ offset 12.3)",
            "<field_exists> [16] struct packet___old.length (0:0 @ offset 0)",
            "<signed> [2] struct packet.hash (0:3 @ offset 32)",
            "<lshift_u64> [2] struct packet.in.mode (0:1:0:1:2 @ offset 12.3)",
            "<rshift_u64> [2] struct packet.in.mode (0:1:0:1:2 @ offset 12.3)",
            "<local_type_id> [2] struct packet",
            "<target_type_id> [2] struct packet",
            "<type_exists> [18] typedef packet_t",
            "<type_size> [2] struct packet",
            "<type_matches> [2] struct packet",
            "<enumval_exists> [19] enum verdict::DROP = -3",
            "<enumval_value> [19] enum verdict::DROP = -3",
            "<enumval_value> [20] enum64 wide::HUGE = 20015998343868",
        ]
    );
}

/// A target in which every field of `access.c` moved, changed its width, or its way of being nested.
fn moved() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, Encoding::Signed);
    let u64_ = b.int("u64", 8, Encoding::Unsigned);
    let u16_ = b.int("u16", 2, Encoding::Unsigned);
    let char_ = b.int("char", 1, Encoding::Signed);
    let long = b.int("long", 8, Encoding::Signed);
    let inner = b.structure_with_bitfields(
        "inner_renamed",
        16,
        &[("mode", u16_, 12, 7), ("flag", u16_, 27, 3), ("a", int, 64, 0)],
    );
    let arr = b.array(int, int, 8);
    let tail = b.array(char_, int, 4);
    let anon = b.structure("", 24, &[("x", long, 0), ("in", inner, 64)]);
    let packet = b.structure(
        "packet___v6",
        96,
        &[
            ("arr", arr, 0),
            ("len", u64_, 256),
            ("", anon, 320),
            ("tail", tail, 512),
            ("hash", u64_, 576),
            ("length", u16_, 640),
        ],
    );
    b.typedef("packet_t", packet);
    b.enumeration("verdict", 4, true, &[("NEW", 0), ("DROP___x", -7)]);
    b.enumeration64("wide", 8, false, &[("HUGE", 5)]);
    b.build().expect("valid")
}

#[test]
fn moved_fields() {
    assert_eq!(
        answers(&moved()),
        [
            "byte_off = 67",
            "byte_off = 56",
            "byte_off = 8",
            "byte_off = 32",
            // Bits 12..19 of `in`, which lies at byte 48, do not fit a 2-byte load but a 4-byte one.
            "byte_off = 48",
            "byte_sz = 4",
            "field_exists = 1",
            "signed = 0",
            "lshift_u64 = 45",
            "rshift_u64 = 57",
            "local_type_id = 2",
            "target_type_id = 10",
            "type_exists = 1",
            "type_size = 96",
            "type_matches = 0",
            "enumval_exists = 1",
            "enumval_value = -7",
            "enumval_value = 5",
        ]
    );
}

#[test]
fn a_load_follows_its_fields_size() {
    let (btf, ext) = access();
    let target = moved();
    let mut slots = code();
    let relo = ext.core_relos("tc")[3];
    let res = resolve(&btf, &[&target], &relo).expect("resolves");
    assert_eq!((res.local_size, res.size, res.unsafe_resize), (Some(4), Some(8), false));
    assert_eq!(slots[3].code, 0x61);
    patch(&mut slots, 3, &res).expect("patches");
    assert_eq!((slots[3].code, slots[3].off), (0x79, 32));
}

#[test]
fn missing_fields_are_poison_where_a_value_is_needed() {
    let mut b = BtfBuilder::new();
    let uint = b.int("unsigned int", 4, Encoding::Unsigned);
    b.structure("packet", 4, &[("size", uint, 0)]);
    b.enumeration("verdict", 4, true, &[("PASS", 1)]);
    let none = "no matching targets found";
    let expected = |size, id| {
        [
            format!("byte_off: {none}"),
            format!("byte_off: {none}"),
            format!("byte_off: {none}"),
            format!("byte_off: {none}"),
            format!("byte_off: {none}"),
            format!("byte_sz: {none}"),
            "field_exists = 0".to_owned(),
            format!("signed: {none}"),
            format!("lshift_u64: {none}"),
            format!("rshift_u64: {none}"),
            "local_type_id = 2".to_owned(),
            format!("target_type_id = {id}"),
            "type_exists = 0".to_owned(),
            format!("type_size = {size}"),
            "type_matches = 0".to_owned(),
            "enumval_exists = 0".to_owned(),
            format!("enumval_value: {none}"),
            format!("enumval_value: {none}"),
        ]
    };
    assert_eq!(answers(&b.build().expect("valid")), expected(4, 2));
    assert_eq!(answers(&BtfBuilder::new().build().expect("valid")), expected(0, 0));
}

#[test]
fn poison_is_a_call_of_an_invalid_helper_in_all_slots() {
    let (btf, ext) = access();
    let empty = BtfBuilder::new().build().expect("valid");
    let mut slots = code();
    let relo = ext.core_relos("tc")[16];
    let res = resolve(&btf, &[&empty], &relo).expect("resolves");
    let at = relo.insn_off as usize / 8;
    let poison = patch(&mut slots, at, &res).expect("patches").expect("poison");
    let call = Slot { code: 0x85, dst: 0, src: 0, off: 0, imm: 0xbad2310 };
    assert_eq!((slots[at], slots[at + 1]), (call, call));
    assert_eq!(poison.reason, PoisonReason::NoMatchingTargets);
    assert_eq!(
        poison.to_string(),
        "CO-RE relocation <enumval_value> [19] enum verdict::DROP = -3: no matching targets found"
    );
}

/// A program whose only relocation asks about `struct s`, made by `make`.
fn local(make: impl FnOnce(&mut BtfBuilder) -> TypeId, access: &str, kind: CoreKind) -> (Btf, CoreRelo) {
    let mut b = BtfBuilder::new();
    let ty = make(&mut b);
    let access = b.string(access);
    (b.build().expect("valid"), CoreRelo { insn_off: 0, ty, access, kind })
}

fn target<R>(make: impl FnOnce(&mut BtfBuilder) -> R) -> Btf {
    let mut b = BtfBuilder::new();
    make(&mut b);
    b.build().expect("valid")
}

fn one_field(b: &mut BtfBuilder, ty: &str, size: u8, encoding: Encoding) -> TypeId {
    let f = b.int("field type", size, encoding);
    b.structure(ty, 16, &[("f", f, 0)])
}

const LOAD: Slot = Slot { code: 0x61, dst: 1, src: 1, off: 0, imm: 0 };

fn asked(local: &(Btf, CoreRelo), targets: &[&Btf]) -> Result<Resolution, CoreError> {
    resolve(&local.0, targets, &local.1)
}

#[test]
fn signed_fields_of_another_size_cannot_be_loaded() {
    let l = local(|b| one_field(b, "s", 4, Encoding::Signed), "0:0", CoreKind::FieldByteOffset);
    let t = target(|b| one_field(b, "s", 8, Encoding::Signed));
    let res = asked(&l, &[&t]).expect("resolves");
    let mut slots = [LOAD];
    let poison = patch(&mut slots, 0, &res).expect("patches").expect("poison");
    assert_eq!(poison.reason, PoisonReason::UnsafeResize { local: 4, target: 8 });
    assert!(is_poison(&slots[0]));
    // As a number, the offset is still right.
    let mut slots = [Slot { code: 0xb7, ..LOAD }];
    assert_eq!(patch(&mut slots, 0, &res), Ok(None));
}

#[test]
fn pointers_of_the_target_may_be_narrower() {
    let make = |b: &mut BtfBuilder| {
        let p = b.ptr(TypeId::VOID);
        b.structure("s", 16, &[("f", p, 0)])
    };
    let l = local(make, "0:0", CoreKind::FieldByteOffset);
    let t = target(|b| {
        let p = b.ptr(TypeId::VOID);
        b.structure("s", 32, &[("f", p, 128)]);
    });
    let res = asked(&l, &[&t]).expect("resolves");
    let mut slots = [Slot { code: 0x79, ..LOAD }];
    assert_eq!(patch(&mut slots, 0, &res), Ok(None));
    assert_eq!((slots[0].code, slots[0].off), (0x79, 16));
}

#[test]
fn incompatible_fields_do_not_match() {
    let l = local(|b| one_field(b, "s", 4, Encoding::Signed), "0:0", CoreKind::FieldExists);
    let exists = |make: fn(&mut BtfBuilder) -> TypeId| {
        let t = target(|b| {
            let f = make(b);
            b.structure("s", 64, &[("f", f, 0)]);
        });
        asked(&l, &[&t]).expect("resolves").value
    };
    assert_eq!(exists(|b| b.int("u8", 1, Encoding::Unsigned)), 1);
    assert_eq!(exists(|b| b.ptr(TypeId::VOID)), 0);
    assert_eq!(exists(|b| b.float("float", 4)), 0);
    assert_eq!(exists(|b| b.structure("x", 4, &[])), 0);
    assert_eq!(exists(|b| b.enumeration("e", 4, false, &[("A", 0)])), 0);
}

#[test]
fn enums_match_across_widths_and_by_name() {
    let with = |name: &'static str, wide: bool| {
        move |b: &mut BtfBuilder| {
            let values = [("A", 1)];
            let e =
                if wide { b.enumeration64(name, 8, false, &values) } else { b.enumeration(name, 4, false, &values) };
            b.structure("s", 8, &[("f", e, 0)])
        }
    };
    let l = local(with("e", false), "0:0", CoreKind::FieldExists);
    let value = |t: Btf| asked(&l, &[&t]).expect("resolves").value;
    assert_eq!(value(target(|b| with("e___new", true)(b))), 1);
    assert_eq!(value(target(|b| with("", true)(b))), 1);
    assert_eq!(value(target(|b| with("other", false)(b))), 0);
}

#[test]
fn flavours_on_either_side_and_ambiguity() {
    let l = local(|b| one_field(b, "s___mine", 4, Encoding::Unsigned), "0:0", CoreKind::FieldByteOffset);
    let at = |places: &[(&str, u32)]| {
        target(|b| {
            let f = b.int("u32", 4, Encoding::Unsigned);
            for &(name, bit) in places {
                b.structure(name, 16, &[("f", f, bit)]);
            }
        })
    };
    let value = |t: &Btf| asked(&l, &[t]).map(|r| r.value);
    assert_eq!(value(&at(&[("s", 32)])), Ok(4));
    assert_eq!(value(&at(&[("s___theirs", 64)])), Ok(8));
    assert_eq!(value(&at(&[("s", 32), ("s___b", 32)])), Ok(4));
    let error = value(&at(&[("s", 32), ("s___b", 64)])).expect_err("ambiguous");
    assert!(matches!(&error, CoreError::Ambiguous { first: TypeId(2), second: TypeId(3), .. }));
    assert_eq!(
        error.to_string(),
        "CO-RE relocation <byte_off> [2] struct s___mine.f (0:0 @ offset 0) of the instruction at byte 0: ambiguous, \
         [2] and [3] of the target give different answers (4 at bit 32 and 8 at bit 64); use a flavour that only one of \
         them matches"
    );
}

#[test]
fn the_first_target_with_a_candidate_counts() {
    let l = local(|b| one_field(b, "s", 4, Encoding::Unsigned), "0:0", CoreKind::FieldByteOffset);
    let at = |name, bit| {
        target(|b| {
            let f = b.int("u32", 4, Encoding::Unsigned);
            b.structure(name, 16, &[("f", f, bit)]);
        })
    };
    let (other, first, second) = (at("t", 0), at("s", 32), at("s", 64));
    let res = asked(&l, &[&other, &first, &second]).expect("resolves");
    assert_eq!((res.value, res.target.map(|(i, s)| (i, s.root))), (4, Some((1, TypeId(2)))));
}

#[test]
fn arrays_and_their_bounds() {
    let with = |len| {
        move |b: &mut BtfBuilder| {
            let int = b.int("int", 4, Encoding::Signed);
            let a = b.array(int, int, len);
            b.structure("s", 40, &[("x", int, 0), ("f", a, 32)])
        }
    };
    let value = |own, access: &str, theirs| {
        let l = local(with(own), access, CoreKind::FieldByteOffset);
        let t = target(|b| with(theirs)(b));
        asked(&l, &[&t]).map(|r| r.poison.is_none().then_some(r.value))
    };
    assert_eq!(value(4, "0:1:3", 4), Ok(Some(16)));
    assert_eq!(value(4, "0:1:3", 2), Ok(None));
    assert_eq!(value(4, "0:1:3", 0), Ok(Some(16)), "flexible");
    assert_eq!(value(0, "0:1:100", 0), Ok(Some(404)));
    assert_eq!(value(4, "2:1:1", 4), Ok(Some(88)), "an array of structs");
    let bad = |access, problem| match value(4, access, 4) {
        Err(CoreError::BadSpec { problem: p, .. }) => assert_eq!(p, problem, "{access}"),
        other => panic!("{access}: {other:?}"),
    };
    bad("0:1:4", SpecProblem::NoElement { ty: TypeId(2), index: 4 });
    bad("0:2", SpecProblem::NoMember { ty: TypeId(3), index: 2 });
    bad("0:0:0", SpecProblem::NoParts(TypeId(1)));
    bad("4294967295", SpecProblem::Overflow);
    bad("", SpecProblem::BadString);
    bad("0:", SpecProblem::BadString);
    bad("0:+1", SpecProblem::BadString);
    bad("0:4294967296", SpecProblem::BadString);
    bad(&"0:".repeat(64), SpecProblem::TooLong);
}

#[test]
fn questions_that_make_no_sense() {
    let problem = |make: fn(&mut BtfBuilder) -> TypeId, access, kind| match asked(&local(make, access, kind), &[]) {
        Err(CoreError::BadSpec { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let s = |b: &mut BtfBuilder| one_field(b, "s", 4, Encoding::Signed);
    let e = |b: &mut BtfBuilder| b.enumeration("e", 4, false, &[("A", 0)]);
    assert_eq!(problem(s, "1", CoreKind::TypeExists), SpecProblem::NotZero);
    assert_eq!(problem(s, "0:0", CoreKind::TypeSize), SpecProblem::NotZero);
    assert_eq!(problem(s, "0", CoreKind::EnumvalValue), SpecProblem::BadRoot(TypeId(2)));
    assert_eq!(problem(e, "1", CoreKind::EnumvalValue), SpecProblem::NoMember { ty: TypeId(1), index: 1 });
    assert_eq!(problem(s, "0", CoreKind::FieldSigned), SpecProblem::ArrayElement);
    assert_eq!(problem(|b| b.forward("s", false), "0", CoreKind::TypeSize), SpecProblem::BadRoot(TypeId(1)));
    assert_eq!(problem(|b| b.forward("s", false), "0:0", CoreKind::FieldExists), SpecProblem::BadRoot(TypeId(1)));
    let wide = |b: &mut BtfBuilder| {
        let long = b.int("long", 8, Encoding::Unsigned);
        b.structure_with_bitfields("s", 16, &[("f", long, 60, 8)])
    };
    assert_eq!(problem(wide, "0:0", CoreKind::FieldByteOffset), SpecProblem::WideBitfield);
    let anonymous = local(|b| one_field(b, "", 4, Encoding::Signed), "0:0", CoreKind::FieldExists);
    assert!(matches!(asked(&anonymous, &[]), Err(CoreError::Anonymous { .. })));
    let missing = (anonymous.0, CoreRelo { ty: TypeId(99), access: Name(u32::MAX), ..anonymous.1 });
    assert!(asked(&missing, &[]).is_err());
}

#[test]
fn types_match_by_what_they_declare() {
    let answer = |kind, own: fn(&mut BtfBuilder) -> TypeId, theirs: fn(&mut BtfBuilder) -> TypeId| {
        let l = local(own, "0", kind);
        let t = target(theirs);
        asked(&l, &[&t]).expect("resolves").value
    };
    let matches = |own, theirs| answer(CoreKind::TypeMatches, own, theirs);
    let exists = |own, theirs| answer(CoreKind::TypeExists, own, theirs);
    fn s(b: &mut BtfBuilder, members: &[(&str, TypeId, u32)]) -> TypeId {
        b.structure("s", 32, members)
    }
    let small = |b: &mut BtfBuilder| {
        let int = b.int("int", 4, Encoding::Signed);
        s(b, &[("a", int, 0)])
    };
    let large = |b: &mut BtfBuilder| {
        let int = b.int("int", 4, Encoding::Signed);
        s(b, &[("z", int, 0), ("a", int, 64)])
    };
    let other = |b: &mut BtfBuilder| {
        let long = b.int("long", 8, Encoding::Signed);
        s(b, &[("a", long, 0)])
    };
    let pointing_forward = |b: &mut BtfBuilder| {
        let f = b.forward("t", false);
        let p = b.ptr(f);
        s(b, &[("a", p, 0)])
    };
    let pointing = |b: &mut BtfBuilder| {
        let t = b.structure("t", 0, &[]);
        let p = b.ptr(t);
        s(b, &[("a", p, 0)])
    };
    let pointing_union = |b: &mut BtfBuilder| {
        let t = b.union("t", 0, &[]);
        let p = b.ptr(t);
        s(b, &[("a", p, 0)])
    };
    assert_eq!((matches(small, small), matches(small, large), matches(large, small)), (1, 1, 0));
    assert_eq!((matches(small, other), exists(small, other)), (0, 1));
    assert_eq!((matches(pointing_forward, pointing), matches(pointing, pointing_forward)), (1, 1));
    assert_eq!((matches(pointing_forward, pointing_union), matches(pointing, pointing_union)), (0, 0));
    let small_enum = |b: &mut BtfBuilder| b.enumeration("s", 4, false, &[("A", 1)]);
    let large_enum = |b: &mut BtfBuilder| b.enumeration("s", 4, false, &[("B", 1), ("A", 2)]);
    let wide_enum = |b: &mut BtfBuilder| b.enumeration64("s", 8, false, &[("A", 1)]);
    assert_eq!((matches(small_enum, large_enum), matches(large_enum, small_enum)), (1, 0));
    assert_eq!((matches(small_enum, wide_enum), exists(small_enum, wide_enum)), (0, 1));
    assert_eq!((exists(small, small_enum), matches(small, small_enum)), (0, 0));
}

#[test]
fn typedefs_of_prototypes() {
    fn make(b: &mut BtfBuilder, count: usize, ret_pointer: bool) -> TypeId {
        let int = b.int("int", 4, Encoding::Signed);
        let p = b.ptr(int);
        let ret = if ret_pointer { p } else { int };
        let proto = b.func_proto(ret, &vec![("x", int); count]);
        let f = b.ptr(proto);
        b.typedef("hook_t", f)
    }
    let l = local(|b| make(b, 2, false), "0", CoreKind::TypeExists);
    let m = local(|b| make(b, 2, false), "0", CoreKind::TypeMatches);
    for (count, pointer, expected) in [(2, false, 1), (3, false, 0), (2, true, 0)] {
        let t = target(|b| make(b, count, pointer));
        assert_eq!(asked(&l, &[&t]).map(|r| r.value), Ok(expected));
        assert_eq!(asked(&m, &[&t]).map(|r| r.value), Ok(expected));
    }
}

#[test]
fn patching_checks_the_instruction() {
    let l = local(|b| one_field(b, "s", 4, Encoding::Unsigned), "0:0", CoreKind::FieldByteOffset);
    let at = |bit, size| {
        let t = target(|b| {
            let f = b.int("u", size, Encoding::Unsigned);
            b.structure("s", 1 << 16, &[("f", f, bit)]);
        });
        asked(&l, &[&t]).expect("resolves")
    };
    let problem = |slots: &mut [Slot], at: usize, res: &Resolution| {
        let before = slots.to_vec();
        let error = patch(slots, at, res).expect_err("refused");
        assert_eq!(slots, before, "nothing is changed");
        error.problem
    };
    let res = at(64, 4);
    assert_eq!(problem(&mut [LOAD], 1, &res), PatchProblem::Outside);
    assert_eq!(problem(&mut [], 0, &res), PatchProblem::Outside);
    let off = Slot { off: 3, ..LOAD };
    assert_eq!(problem(&mut [off], 0, &res), PatchProblem::Mismatch { found: 3, expected: 0 });
    let imm = Slot { code: 0xb7, imm: 7, ..LOAD };
    assert_eq!(problem(&mut [imm], 0, &res), PatchProblem::Mismatch { found: 7, expected: 0 });
    let reg = Slot { code: 0xbf, ..LOAD };
    assert_eq!(problem(&mut [reg], 0, &res), PatchProblem::BadInstruction(0xbf));
    let exit = Slot { code: 0x95, ..LOAD };
    assert_eq!(problem(&mut [exit], 0, &res), PatchProblem::BadInstruction(0x95));
    let wide = Slot { code: 0x18, src: 0, ..LOAD };
    assert_eq!(problem(&mut [wide], 0, &res), PatchProblem::BadInstruction(0x18));
    assert_eq!(problem(&mut [wide, LOAD], 0, &res), PatchProblem::BadInstruction(0x18));
    assert_eq!(problem(&mut [LOAD], 0, &at(8 * 40_000, 4)), PatchProblem::TooLarge(40_000));
    let byte = Slot { code: 0x71, ..LOAD };
    assert_eq!(problem(&mut [byte], 0, &at(0, 8)), PatchProblem::SizeMismatch { found: 1, expected: 4 });
    assert_eq!(problem(&mut [LOAD], 0, &at(0, 16)), PatchProblem::BadSize(16));
    let store = Slot { code: 0x63, ..LOAD };
    let mut slots = [store, Slot { code: 0xb4, ..LOAD }, wide, Slot::default()];
    for i in 0..3 {
        assert_eq!(patch(&mut slots, i, &res), Ok(None));
    }
    assert_eq!((slots[0].off, slots[1].imm, slots[2].imm, slots[3].imm), (8, 8, 8, 0));
}

#[test]
fn unions_of_unions_do_not_explode() {
    let l = local(|b| one_field(b, "s", 4, Encoding::Unsigned), "0:0", CoreKind::FieldExists);
    let t = target(|b| {
        let mut id = b.int("int", 4, Encoding::Signed);
        for i in 0..60 {
            id = b.union(if i == 59 { "s" } else { "" }, 4, &[("", id), ("", id)]);
        }
        b.structure("s", 4, &[("", id, 0), ("", id, 0)]);
    });
    assert_eq!(asked(&l, &[&t]).map(|r| r.value), Ok(0));
}

#[test]
fn prototypes_of_prototypes_do_not_explode() {
    let make = |b: &mut BtfBuilder| {
        let mut id = b.int("int", 4, Encoding::Signed);
        for _ in 0..31 {
            let p = b.func_proto(id, &[("a", id), ("b", id), ("c", id)]);
            id = b.ptr(p);
        }
        b.typedef("t", id)
    };
    let l = local(make, "0", CoreKind::TypeExists);
    let t = target(|b| make(b));
    match asked(&l, &[&t]) {
        Err(CoreError::TooComplex { .. }) => {}
        Ok(res) => assert_eq!(res.value, 0, "deeper than the rules look"),
        other => panic!("{other:?}"),
    }
}
