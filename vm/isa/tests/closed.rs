//! The decoder is closed and the encoder its inverse, over the whole space of opcodes and registers.

use std::collections::HashSet;

use backstop_isa::table::{Field, Fill, Group, ImmField, NextField, OffField, RegField, Row, rows, rows_of};
use backstop_isa::{DecodeError, Illegal, Instr, Slot, decode, decode_all, slots_from_bytes};

const OFFS: [i16; 10] = [0, 1, 2, 7, 8, 16, 32, -1, i16::MAX, i16::MIN];
const IMMS: [i32; 18] = [0, 1, 2, 8, 16, 32, 64, 0x40, 0x41, 0x51, 0xa1, 0xe0, 0xe1, 0xf1, 0x100, 0x110, -1, i32::MIN];
const FULL: Fill = Fill { dst: 3, src: 4, off: 0x123, imm: 0x1234_5678, next_imm: -7 };

fn fill(dst: u8, src: u8) -> Fill {
    Fill { dst, src, ..FULL }
}

#[test]
fn whatever_decodes_encodes_back() {
    let mut accepted = 0u32;
    for code in 0..=u8::MAX {
        for off in OFFS {
            for imm in IMMS {
                for regs in 0..=u8::MAX {
                    let slot = Slot { code, dst: regs & 15, src: regs >> 4, off, imm };
                    let slots = [slot, Slot { imm: 9, ..Slot::default() }];
                    let Ok(instr) = decode(&slots, 0) else {
                        continue;
                    };
                    assert_eq!(*instr.encode(), slots[..instr.slots()], "{slot:?} is {instr}");
                    accepted += 1;
                }
            }
        }
    }
    // Loads, stores and branches alone take 11 * 11 registers and every offset of the set.
    assert!(accepted > 100_000, "{accepted}");
}

#[test]
fn names_and_operations_are_unique_and_every_code_has_one_selector() {
    let names: HashSet<_> = rows().map(|row| row.name).collect();
    let ops: HashSet<_> = rows().map(|row| row.op).collect();
    assert_eq!((names.len(), ops.len()), (rows().len(), rows().len()));
    for code in 0..=u8::MAX {
        let selectors: Vec<_> = rows_of(code).iter().map(Row::selector).collect();
        let fields: HashSet<_> = selectors.iter().map(|s| s.map(|(field, _)| field)).collect();
        let values: HashSet<_> = selectors.iter().collect();
        assert!(fields.len() <= 1, "{code:#04x} has more than one selector: {fields:?}");
        assert_eq!(values.len(), selectors.len(), "{code:#04x} has a sub-code twice");
    }
}

#[test]
fn the_table_covers_the_groups() {
    let count = |group| rows().filter(|row| row.group == group).count();
    // 0x84 neg; 11 operations less mul, div, mod in two forms each; mov in two; two movsx; le, be, swap of 16 and 32.
    let base32_alu = rows().filter(|row| row.code & 7 == 4 && row.group == Group::Base32).count();
    assert_eq!(base32_alu, 1 + 8 * 2 + 2 + 2 + 4);
    assert_eq!(count(Group::Divmul32), 10);
    assert_eq!(count(Group::Divmul64), 10);
    assert_eq!(count(Group::Atomic32), 10);
    assert_eq!(count(Group::Atomic64), 10);
    assert_eq!(count(Group::Packet), 6);
    assert_eq!(count(Group::AcquireRelease), 8);
    assert_eq!((count(Group::MayGoto), count(Group::AddrSpaceCast)), (1, 1));
    let standard = rows().filter(|row| row.group.is_standard()).count();
    assert_eq!(standard, rows().len() - 10);
}

#[test]
fn instances_decode_to_their_row() {
    for row in rows() {
        for dst in 0..=255 {
            let slots = row.instance(fill(dst, dst.wrapping_mul(7)));
            let instr = decode(&slots, 0).unwrap_or_else(|e| panic!("{}: {e}", row.name));
            assert_eq!(instr.op(), row.op, "{}", row.name);
            assert_eq!(instr.slots(), row.slots());
            let legal = row.legal_instance(fill(dst, dst.wrapping_mul(7)));
            let legal = decode(&legal, 0).unwrap_or_else(|e| panic!("{}: {e}", row.name));
            assert_eq!(legal.check_legal(), Ok(()), "{}: {legal}", row.name);
        }
    }
}

/// Every single field of every row, made wrong, is refused, and the error names it.
#[test]
fn every_reserved_field_is_refused() {
    for row in rows() {
        let good = row.instance(FULL).to_vec();
        let refused = |field: Field, change: &dyn Fn(&mut Slot)| {
            let mut bad = good.clone();
            change(&mut bad[0]);
            let value = bad[0].field(field);
            let expect = DecodeError::Reserved { at: 0, code: row.code, field, value };
            assert_eq!(decode(&bad, 0), Err(expect), "{}", row.name);
        };
        if row.dst == RegField::Zero {
            refused(Field::Dst, &|slot| slot.dst = 1);
        }
        if row.src == RegField::Zero {
            refused(Field::Src, &|slot| slot.src = 10);
        }
        if row.off == OffField::Zero {
            refused(Field::Off, &|slot| slot.off = -1);
        }
        if row.imm == ImmField::Zero {
            refused(Field::Imm, &|slot| slot.imm = i32::MIN);
        }
    }
}

#[test]
fn registers_above_r10_are_refused() {
    for row in rows() {
        for n in 11..=15 {
            for (field, carried) in [(Field::Dst, row.dst), (Field::Src, row.src)] {
                if !carried.is_register() {
                    continue;
                }
                let mut slots = row.instance(FULL).to_vec();
                match field {
                    Field::Dst => slots[0].dst = n,
                    _ => slots[0].src = n,
                }
                let error = DecodeError::Register { at: 0, field, value: n };
                assert_eq!(decode(&slots, 0), Err(error), "{}", row.name);
            }
        }
    }
}

#[test]
fn second_slots_are_checked_field_by_field() {
    for row in rows().filter(|row| row.slots() == 2) {
        let good = row.instance(FULL).to_vec();
        assert_eq!(decode(&good[..1], 0), Err(DecodeError::MissingSecondSlot { at: 0 }));
        for field in [Field::Code, Field::Dst, Field::Src, Field::Off] {
            let mut bad = good.clone();
            match field {
                Field::Code => bad[1].code = 1,
                Field::Dst => bad[1].dst = 1,
                Field::Src => bad[1].src = 1,
                Field::Off => bad[1].off = 1,
                Field::Imm => unreachable!("not in the list"),
            }
            assert_eq!(decode(&bad, 0), Err(DecodeError::SecondSlot { at: 1, field, value: 1 }));
        }
        let mut bad = good.clone();
        bad[1].imm = 5;
        let refused = matches!(decode(&bad, 0), Err(DecodeError::SecondImmediate { at: 1, value: 5, .. }));
        assert_eq!(refused, row.next == NextField::Zero, "{}", row.name);
    }
}

#[test]
fn positions_count_slots() {
    let slots = backstop_isa::assemble("r1 = 5 ll\nr1 += 2\nexit").unwrap();
    let starts: Vec<_> = decode_all(&slots).unwrap().into_iter().map(|(at, _)| at).collect();
    assert_eq!(starts, [0, 2, 3]);
    let error = DecodeError::OutOfRange { at: 4, len: 4 };
    assert_eq!(decode(&slots, 4), Err(error));
    assert_eq!(decode(&slots, usize::MAX), Err(DecodeError::OutOfRange { at: usize::MAX, len: 4 }));
    let bytes = backstop_isa::slots_to_bytes(&slots);
    assert_eq!(slots_from_bytes(&bytes), Ok(slots));
    assert_eq!(slots_from_bytes(&bytes[1..]), Err(DecodeError::PartialSlot { len: 31 }));
}

#[test]
fn errors_read_well() {
    let text = |slots: &[Slot]| decode(slots, 0).unwrap_err().to_string();
    let slot = |code, src, off, imm| Slot { code, dst: 0, src, off, imm };
    assert_eq!(text(&[slot(0x07, 2, 0, 5)]), "slot 0: src_reg of opcode 0x07 (add64_imm) is 2, must be 0");
    assert_eq!(
        text(&[slot(0xbf, 2, 7, 0)]),
        "slot 0: offset of opcode 0xbf is 0x7, must be 0x0, 0x1, 0x8, 0x10 or 0x20"
    );
    assert_eq!(text(&[slot(0x8d, 0, 0, 0)]), "slot 0: unknown opcode 0x8d");
    assert_eq!(text(&[slot(0xbf, 11, 0, 0)]), "slot 0: src_reg names r11, must be r0 to r10");
}

#[test]
fn legality_is_what_linux_adds() {
    let check = |text: &str| {
        let slots = backstop_isa::assemble(text).unwrap();
        let verdict = decode(&slots, 0).unwrap().check_legal();
        verdict.map_err(|illegal: Illegal| illegal.kernel_text().unwrap())
    };
    for (text, kernel) in [
        ("r0 /= 0", "div by zero"),
        ("w0 s%= 0", "div by zero"),
        ("r0 <<= 64", "invalid shift 64"),
        ("w0 s>>= 32", "invalid shift 32"),
        ("r0 >>= -1", "invalid shift -1"),
        ("r10 = 1", "frame pointer is read only"),
        ("r10 = 1 ll", "frame pointer is read only"),
        ("r10 = *(u64 *)(r1 + 0)", "frame pointer is read only"),
        ("r10 = xchg_64(r1 + 0, r10)", "frame pointer is read only"),
        ("r1 = addr_space_cast(r2, 1, 1)", "addr_space_cast insn can only convert between address space 1 and 0"),
    ] {
        assert_eq!(check(text), Err(kernel.to_owned()), "{text}");
    }
    for text in [
        "r0 /= -1",
        "r0 <<= 63",
        "w0 <<= 31",
        "r0 /= r1",
        "*(u64 *)(r10 - 8) = r10",
        "r1 = addr_space_cast(r2, 1, 0)",
        "r1 = addr_space_cast(r2, 0, 1)",
        "r0 = cmpxchg_64(r10 - 8, r0, r10)",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

/// The type can say what the set lacks; then the encoder gives what no decoder accepts.
#[test]
fn values_outside_the_set_encode_to_nothing() {
    use backstop_isa::{AtomicOp, Reg, Size, Width};
    let outside = [
        Instr::Atomic { size: Size::B1, op: AtomicOp::Add, fetch: false, base: Reg::R1, off: 0, src: Reg::R2 },
        Instr::MovSx { width: Width::W32, from: Size::B4, dst: Reg::R1, src: Reg::R2 },
        Instr::Load { size: Size::B8, signed: true, dst: Reg::R1, base: Reg::R2, off: 0 },
    ];
    for instr in outside {
        let error = DecodeError::UnknownOpcode { at: 0, code: 0 };
        assert_eq!(decode(&instr.encode(), 0), Err(error));
        assert_eq!(instr.check_legal(), Err(Illegal::NotInSet));
    }
    let far = Instr::Jump { off: 70_000, long: false };
    assert_eq!(decode(&far.encode(), 0), Ok(Instr::Jump { off: 70_000, long: true }));
}
