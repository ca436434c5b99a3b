//! The exerciser can fail: with one rule of the reference broken, engines that keep to the RFC are told to be wrong in just that group,
//! and the report shows where.

use backstop_conformance::reference::{Arithmetic, Condition, Modify, Order, Rfc9669, Semantics};
use backstop_conformance::{Exerciser, Report};

/// A rule that is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Broken {
    ImmediateZeroExtended,
    Mod32ByZeroIsZero,
    SdivIsDiv,
    Sub32SignExtended,
    ShiftNotMasked,
    Mov32IsMov64,
    MovsxIsMov,
    Le16DoesNothing,
    Branch64Is32,
    LoadNotSignExtended,
    CmpxchgAlwaysStores,
    Fetch32KeepsUpperHalf,
    Xor64Forgotten,
}

impl Semantics for Broken {
    fn immediate(&self, imm: i32) -> u64 {
        if *self == Broken::ImmediateZeroExtended { u64::from(imm as u32) } else { Rfc9669.immediate(imm) }
    }

    fn arithmetic(&self, op: Arithmetic, bits: u32, dst: u64, src: u64) -> u64 {
        let right = |op| Rfc9669.arithmetic(op, bits, dst, src);
        match (*self, op, bits) {
            (Broken::Mod32ByZeroIsZero, Arithmetic::Mod, 32) if src as u32 == 0 => 0,
            (Broken::SdivIsDiv, Arithmetic::Sdiv, _) => right(Arithmetic::Div),
            (Broken::Sub32SignExtended, Arithmetic::Sub, 32) => right(op) as i32 as i64 as u64,
            (Broken::ShiftNotMasked, Arithmetic::Lsh, 64) if src > 63 => 0,
            (Broken::Xor64Forgotten, Arithmetic::Xor, 64) => dst,
            _ => right(op),
        }
    }

    fn mov(&self, bits: u32, value: u64) -> u64 {
        if *self == Broken::Mov32IsMov64 { value } else { Rfc9669.mov(bits, value) }
    }

    fn sign_extend(&self, bits: u32, from: u32, value: u64) -> u64 {
        if *self == Broken::MovsxIsMov { self.mov(bits, value) } else { Rfc9669.sign_extend(bits, from, value) }
    }

    fn byte_order(&self, order: Order, size: u32, value: u64) -> u64 {
        match (*self, order, size) {
            (Broken::Le16DoesNothing, Order::ToLittle, 16) => value,
            _ => Rfc9669.byte_order(order, size, value),
        }
    }

    fn holds(&self, condition: Condition, bits: u32, dst: u64, src: u64) -> bool {
        Rfc9669.holds(condition, if *self == Broken::Branch64Is32 { 32 } else { bits }, dst, src)
    }

    fn load(&self, size: u32, sign: bool, value: u64) -> u64 {
        Rfc9669.load(size, sign && *self != Broken::LoadNotSignExtended, value)
    }

    fn modify(&self, op: Modify, size: u32, memory: u64, operand: u64, accumulator: u64) -> u64 {
        match (*self, op) {
            (Broken::CmpxchgAlwaysStores, Modify::Cmpxchg) => operand,
            _ => Rfc9669.modify(op, size, memory, operand, accumulator),
        }
    }

    fn fetched(&self, size: u32, memory: u64) -> u64 {
        match (*self, size) {
            (Broken::Fetch32KeepsUpperHalf, 32) => Rfc9669.fetched(32, memory) | 0xffff_ffff << 32,
            _ => Rfc9669.fetched(size, memory),
        }
    }
}

fn exercise(broken: Broken, rows: &[&str]) -> Report {
    let only = rows.iter().map(|row| (*row).to_owned()).collect();
    Exerciser { every: 3, only, shown: 4, ..Exerciser::default() }.run_against(&broken).expect("a report")
}

/// The faults, the row that shows each, and one of its group that does not.
const FAULTS: [(Broken, &str, &str, &str); 13] = [
    (Broken::ImmediateZeroExtended, "jsgt64_imm", "base64", "be64"),
    (Broken::Mod32ByZeroIsZero, "mod32_reg", "divmul32", "div32_reg"),
    (Broken::SdivIsDiv, "sdiv64_reg", "divmul64", "smod64_reg"),
    (Broken::Sub32SignExtended, "sub32_imm", "base32", "sub64_imm"),
    (Broken::ShiftNotMasked, "lsh64_reg", "base64", "rsh64_reg"),
    (Broken::Mov32IsMov64, "mov32_reg", "base32", "neg32"),
    (Broken::MovsxIsMov, "movsx64_s16", "base64", "mov32_reg"),
    (Broken::Le16DoesNothing, "le16", "base32", "le32"),
    (Broken::Branch64Is32, "jeq64_reg", "base64", "jeq32_reg"),
    (Broken::LoadNotSignExtended, "load_s32", "base64", "load_u32"),
    (Broken::CmpxchgAlwaysStores, "atomic64_cmpxchg", "atomic64", "atomic64_xchg"),
    (Broken::Fetch32KeepsUpperHalf, "atomic32_fetch_add", "atomic32", "atomic32_add"),
    (Broken::Xor64Forgotten, "xor64_imm", "base64", "or64_imm"),
];

#[test]
fn every_broken_rule_is_found_in_its_group_and_nowhere_else() {
    for (broken, row, group, sound) in FAULTS {
        let report = exercise(broken, &[row]);
        let found = report.group(group).map(|count| count.wrong.clone()).unwrap_or_default();
        assert_eq!(found.len(), report.columns.len());
        assert!(found.iter().all(|wrong| *wrong > 0), "{broken:?}\n{report}");
        assert_eq!(report.wrong.len(), 4, "{broken:?}\n{report}");
        assert!(report.wrong.iter().all(|wrong| wrong.name == row && !wrong.expected.is_empty()), "{report}");
        let report = exercise(broken, &[sound]);
        assert!(report.sum().cases > 0 && report.is_clean(), "{broken:?}\n{report}");
    }
}

#[test]
fn sequences_find_broken_rules_too() {
    for broken in [Broken::Mod32ByZeroIsZero, Broken::Xor64Forgotten, Broken::LoadNotSignExtended] {
        let report = exercise(broken, &["sequences"]);
        assert!(
            report.group("sequences").is_some_and(|count| count.wrong.iter().all(|n| *n > 0)),
            "{broken:?}\n{report}"
        );
    }
}

#[test]
fn a_wrong_case_is_shown_with_text_inputs_and_both_results() {
    let report = exercise(Broken::Mod32ByZeroIsZero, &["mod32_reg"]);
    let wrong = report.wrong.iter().find(|wrong| wrong.program == "w0 %= w3").or(report.wrong.first()).expect("one");
    assert_eq!(wrong.group, "divmul32");
    assert!(wrong.program.contains("%="), "{}", wrong.program);
    assert_eq!(wrong.inputs.len(), 13);
    // The rule that was broken says 0; the engines keep the dividend.
    let (name, expected) = wrong.expected.first().expect("a register");
    assert_eq!(*expected, 0);
    let dividend = wrong.inputs.iter().find(|(input, _)| input == name).expect("the dividend").1;
    assert_eq!(wrong.got, [(name.clone(), dividend & 0xffff_ffff)]);
    let text = report.to_string();
    assert!(text.contains("wrong: interp: mod32_reg (divmul32)"), "{text}");
    assert_eq!(text.lines().last().and_then(|line| line.split_whitespace().next()), Some("sum"));
}
