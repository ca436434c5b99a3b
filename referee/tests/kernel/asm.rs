//! Instructions by hand, and the few steps that most tests share.

use backstop_referee::{Loaded, Outcome, ProgLoad, ProgType, Referee, RunResult, TestRun, errno_name};

pub type Slot = [u8; 8];

pub fn insn(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> Slot {
    let regs = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    let (off, imm) = (off.to_ne_bytes(), imm.to_ne_bytes());
    [opcode, regs, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
}

pub fn mov(dst: u8, imm: i32) -> Slot {
    insn(0xb7, dst, 0, 0, imm)
}

pub fn mov_reg(dst: u8, src: u8) -> Slot {
    insn(0xbf, dst, src, 0, 0)
}

pub fn add(dst: u8, imm: i32) -> Slot {
    insn(0x07, dst, 0, 0, imm)
}

pub fn load_word(dst: u8, src: u8, off: i16) -> Slot {
    insn(0x61, dst, src, off, 0)
}

pub fn store_word(dst: u8, off: i16, imm: i32) -> Slot {
    insn(0x62, dst, 0, off, imm)
}

pub fn helper(id: i32) -> Slot {
    insn(0x85, 0, 0, 0, id)
}

pub fn kfunc(index: i32) -> Slot {
    insn(0x85, 0, 2, 0, index)
}

pub fn exit() -> Slot {
    insn(0x95, 0, 0, 0, 0)
}

/// `dst = map[index]` by the index into the list of maps.
pub fn map_by_index(dst: u8, index: i32) -> [Slot; 2] {
    [insn(0x18, dst, 5, 0, index), insn(0, 0, 0, 0, 0)]
}

pub fn must_load(referee: &Referee, prog: &ProgLoad<'_>) -> Loaded {
    match referee.load(prog).expect("the program reaches the kernel") {
        Outcome::Loaded(loaded) => loaded,
        Outcome::Refused(refused) => {
            panic!("{}: {}", errno_name(refused.errno), refused.log.text())
        }
    }
}

pub fn run(referee: &Referee, prog_type: ProgType, insns: &[Slot], input: &TestRun<'_>) -> RunResult {
    let loaded = must_load(referee, &ProgLoad::new(prog_type, insns.as_flattened()));
    referee.test_run(&loaded, input).expect("a test run")
}

pub fn packet(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| {
            if at == 12 {
                8
            } else if at == 13 {
                0
            } else {
                at.to_le_bytes()[0]
            }
        })
        .collect()
}

pub fn throwing(cookie: i32) -> [Slot; 3] {
    [mov(1, cookie), kfunc(0), exit()]
}
