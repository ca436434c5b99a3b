//! The texts with which Linux refuses what the decoder refuses: facts, taken from the log of a running 6.18 kernel.

use backstop_isa::{Slot, decode};

/// Opcode, destination, source, offset, immediate, and the log's last line.
const REFUSED: &[(u8, u8, u8, i16, i32, &str)] = &[
    (0x00, 0, 0, 0, 0, "unknown opcode 00"),
    (0x8d, 0, 0, 0, 0, "unknown opcode 8d"),
    (0x8f, 0, 0, 0, 0, "unknown opcode 8f"),
    (0xdf, 0, 0, 0, 16, "unknown opcode df"),
    (0x99, 0, 1, 0, 0, "unknown opcode 99"),
    (0x38, 0, 0, 0, 0, "unknown opcode 38"),
    (0xe6, 0, 0, 0, 0, "unknown opcode e6"),
    (0x01, 0, 0, 0, 0, "BPF_LDX uses reserved fields"),
    (0xc1, 0, 0, 0, 0, "BPF_LDX uses reserved fields"),
    (0x61, 0, 1, 0, 1, "BPF_LDX uses reserved fields"),
    (0x07, 0, 1, 0, 0, "BPF_ALU uses reserved fields"),
    (0x0f, 0, 1, 0, 3, "BPF_ALU uses reserved fields"),
    (0x07, 0, 0, 1, 0, "BPF_ALU uses reserved fields"),
    (0x37, 0, 0, 2, 1, "BPF_ALU uses reserved fields"),
    (0x07, 11, 1, 0, 0, "BPF_ALU uses reserved fields"),
    (0xb7, 0, 0, 8, 1, "BPF_MOV uses reserved fields"),
    (0xbf, 0, 0, 7, 0, "BPF_MOV uses reserved fields"),
    (0xbc, 0, 0, 32, 0, "BPF_MOV uses reserved fields"),
    (0xbc, 0, 0, 1, 1, "BPF_MOV uses reserved fields"),
    (0xbf, 0, 11, 9, 0, "BPF_MOV uses reserved fields"),
    (0x87, 0, 0, 0, 1, "BPF_NEG uses reserved fields"),
    (0x87, 11, 0, 1, 0, "BPF_NEG uses reserved fields"),
    (0xd4, 0, 0, 0, 8, "BPF_END uses reserved fields"),
    (0xdc, 0, 1, 0, 16, "BPF_END uses reserved fields"),
    (0xd7, 0, 0, 1, 16, "BPF_END uses reserved fields"),
    (0x62, 10, 1, -8, 1, "BPF_ST uses reserved fields"),
    (0x63, 10, 0, -8, 1, "BPF_STX uses reserved fields"),
    (0x30, 1, 0, 0, 0, "BPF_LD_[ABS|IND] uses reserved fields"),
    (0x30, 0, 11, 0, 0, "BPF_LD_[ABS|IND] uses reserved fields"),
    (0x50, 0, 1, 1, 0, "BPF_LD_[ABS|IND] uses reserved fields"),
    (0x18, 0, 0, 1, 0, "BPF_LD_IMM64 uses reserved fields"),
    (0x18, 11, 0, 1, 0, "BPF_LD_IMM64 uses reserved fields"),
    (0x18, 0, 7, 0, 0, "unrecognized bpf_ld_imm64 insn"),
    (0x05, 0, 0, 0, 1, "BPF_JA uses reserved fields"),
    (0x06, 0, 0, 1, 0, "BPF_JA uses reserved fields"),
    (0x15, 0, 1, 0, 0, "BPF_JMP/JMP32 uses reserved fields"),
    (0x1e, 0, 0, 0, 1, "BPF_JMP/JMP32 uses reserved fields"),
    (0x1d, 0, 11, 0, 1, "BPF_JMP/JMP32 uses reserved fields"),
    (0x15, 11, 1, 0, 0, "R11 is invalid"),
    (0x1d, 12, 11, 0, 0, "R12 is invalid"),
    (0xe5, 0, 0, 0, 1, "invalid may_goto imm 1"),
    (0xe5, 1, 0, 0, 0, "invalid may_goto imm 0"),
    (0x95, 0, 0, 0, 1, "BPF_EXIT uses reserved fields"),
    (0x95, 1, 0, 0, 0, "BPF_EXIT uses reserved fields"),
    (0x85, 0, 0, 1, 5, "BPF_CALL uses reserved fields"),
    (0x85, 0, 1, 1, 1, "BPF_CALL uses reserved fields"),
    (0x85, 0, 3, 0, 5, "BPF_CALL uses reserved fields"),
    (0x85, 1, 0, 0, 5, "BPF_CALL uses reserved fields"),
    (0xbf, 11, 13, 0, 0, "R13 is invalid"),
    (0xdb, 12, 11, -8, 0, "R11 is invalid"),
    (0xdb, 12, 11, 0, 0x100, "R11 is invalid"),
    (0x7b, 11, 12, 0, 0, "R12 is invalid"),
    (0xb7, 15, 0, 0, 0, "R15 is invalid"),
    (0xdb, 10, 0, -8, 0xe0, "BPF_ATOMIC uses invalid atomic opcode e0"),
    (0xc3, 10, 0, -8, 0x10, "BPF_ATOMIC uses invalid atomic opcode 10"),
    (0xd3, 10, 0, -8, 0x111, "BPF_ATOMIC uses invalid atomic opcode 111"),
    (0xcb, 12, 11, -8, 0xf1, "invalid atomic operand size"),
    (0xd3, 10, 0, -8, 0, "invalid atomic operand size"),
];

#[test]
fn the_first_fault_is_the_one_that_linux_names() {
    for &(code, dst, src, off, imm, text) in REFUSED {
        let slots = [Slot { code, dst, src, off, imm }, Slot::default()];
        let error = decode(&slots, 0).expect_err(text);
        assert_eq!(error.kernel_text().as_deref(), Some(text), "{slots:?}: {error}");
    }
}

#[test]
fn faults_of_second_slots() {
    let load = |src| Slot { code: 0x18, src, ..Slot::default() };
    let text = |slots: &[Slot]| decode(slots, 0).unwrap_err().kernel_text();
    let one = Slot { imm: 1, ..Slot::default() };
    let exit = Slot { code: 0x95, ..Slot::default() };
    assert_eq!(text(&[load(0), exit]).as_deref(), Some("invalid bpf_ld_imm64 insn"));
    assert_eq!(text(&[load(1), one]).as_deref(), Some("unrecognized bpf_ld_imm64 insn"));
    assert_eq!(text(&[load(5), one]).as_deref(), Some("unrecognized bpf_ld_imm64 insn"));
    assert_eq!(text(&[load(0)]).as_deref(), Some("last insn is not an exit or jmp"));
}

/// Linux passes over these; the decoder, which holds to RFC 9669, does not, and claims no text for them.
#[test]
fn what_linux_accepts_has_no_text() {
    let exit = Slot { code: 0x95, off: 1, ..Slot::default() };
    assert_eq!(decode(&[exit], 0).unwrap_err().kernel_text(), None);
    let func = [Slot { code: 0x18, src: 4, ..Slot::default() }, Slot { imm: 1, ..Slot::default() }];
    assert_eq!(decode(&func, 0).unwrap_err().kernel_text(), None);
}
