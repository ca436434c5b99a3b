//! The domain against the running kernel: random walks over two scalar registers, whose state after every instruction
//! the verifier's log tells at level 2. Linux's precision must give the same text, bound by bound, and see the same
//! branches as open.
//!
//! Asks only Linux 6.18, whose precision [`Precision::Linux`] has. The seed is printed; `BACKSTOP_SEED=n` repeats a run, and
//! `BACKSTOP_WALKS=n` makes it longer.

#[path = "domain_support/mod.rs"]
mod support;

use backstop_isa::{AluOp, ByteOrder, Instr, Operand, Reg, Size, Width, encode_all, slots_to_bytes};
use backstop_referee::{ProgLoad, ProgType, Referee};
use backstop_verifier::domain::{self as domain, Precision, Scalar, refine, refine_same, sign_fork};
use std::collections::{HashMap, HashSet};
use support::{ALU_OPS, CMP_OPS, WIDTHS};

const WALKS: u64 = 1_500;
const STEPS: usize = 30;
const GET_PRANDOM_U32: i32 = 7;
/// The two registers that are walked; both survive calls.
const WALKED: [Reg; 2] = [Reg::R6, Reg::R7];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Of every length and sign, often a mask or a power of two.
    fn number(&mut self) -> u64 {
        let shift = self.below(64);
        match self.below(5) {
            0 => self.next(),
            1 => (1 << shift) + self.below(3) - 1,
            2 => self.next() >> shift,
            3 => !(self.next() >> shift),
            _ => self.immediate() as i64 as u64,
        }
    }

    fn immediate(&mut self) -> i32 {
        let shift = self.below(32) as u32;
        match self.below(7) {
            0 => self.next() as i32,
            1 => 1i32 << shift,
            2 => (1i32 << shift).wrapping_sub(1),
            3 => -(self.below(300) as i32),
            4 => i32::MIN.wrapping_add(self.below(5) as i32 - 2),
            5 => self.below(16) as i32,
            _ => (self.next() as u32 >> shift) as i32,
        }
    }
}

/// When in the log a state is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    /// First time after the instruction of this slot.
    After(usize),
    /// Second time after it, where the kernel walks it twice.
    Again(usize),
    /// Coming by a jump to this slot.
    Arriving(usize),
}

/// What the domain says of the registers.
struct Claim {
    when: When,
    regs: [Scalar; 2],
    /// The operation and its operands.
    why: String,
}

/// A walk: straight code but for jumps to its end, and what is known along it.
struct Walk {
    random: Random,
    code: Vec<Instr>,
    /// Length of `code` in slots.
    slots: usize,
    regs: [Scalar; 2],
    claims: Vec<Claim>,
    /// Slots of branches, and whether both ways are open.
    branches: Vec<(usize, bool)>,
    /// Indices in `code` (and their slots) whose offset is to lead to the end.
    to_end: Vec<(usize, usize)>,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let mut walk = Walk {
            random: Random(seed),
            code: Vec::new(),
            slots: 0,
            regs: [Scalar::unknown(); 2],
            claims: Vec::new(),
            branches: Vec::new(),
            to_end: Vec::new(),
        };
        walk.forget(0);
        walk.forget(1);
        for _ in 0..STEPS {
            if !walk.step() {
                break;
            }
        }
        walk.end();
        walk
    }

    /// Appends an instruction; gives its slot.
    fn push(&mut self, instr: Instr) -> usize {
        let slot = self.slots;
        self.slots += instr.slots();
        self.code.push(instr);
        slot
    }

    fn forget(&mut self, x: usize) {
        self.push(Instr::CallHelper { id: GET_PRANDOM_U32 });
        let src = Operand::Reg(Reg::R0);
        self.push(Instr::Mov { width: Width::W64, dst: WALKED[x], src });
        self.regs[x] = Scalar::unknown();
    }

    fn claim(&mut self, when: When, why: String) {
        self.claims.push(Claim { when, regs: self.regs, why });
    }

    /// One instruction on one register that makes `result` of it.
    fn change(&mut self, x: usize, instr: Instr, result: Scalar) {
        let why = format!("{instr} with {}", self.regs[x]);
        let slot = self.push(instr);
        self.regs[x] = result;
        self.claim(When::After(slot), why);
    }

    /// False if the walk can't go on.
    fn step(&mut self) -> bool {
        let x = self.random.below(2) as usize;
        let (dst, old) = (WALKED[x], self.regs[x]);
        match self.random.below(21) {
            0 => self.forget(x),
            1 => {
                let imm = self.random.number();
                self.push(Instr::LoadImm64 { dst, imm });
                self.regs[x] = Scalar::constant(imm);
            }
            2 => {
                let mov = Instr::Mov { width: Width::W32, dst, src: Operand::Reg(dst) };
                self.change(x, mov, domain::mov32(&old));
            }
            3 => {
                let width = self.random.pick(&WIDTHS);
                let from = match width {
                    Width::W32 => self.random.pick(&[Size::B1, Size::B2]),
                    Width::W64 => self.random.pick(&[Size::B1, Size::B2, Size::B4]),
                };
                let result = domain::movsx(width, from, &old, Precision::Linux);
                self.change(x, Instr::MovSx { width, from, dst, src: dst }, result);
            }
            4 => {
                let width = self.random.pick(&WIDTHS);
                self.change(x, Instr::Neg { width, dst }, domain::neg(width, &old, Precision::Linux));
            }
            5 => {
                let order = self.random.pick(&[ByteOrder::Le, ByteOrder::Be, ByteOrder::Swap]);
                let size = self.random.pick(&[Size::B2, Size::B4, Size::B8]);
                self.change(x, Instr::End { order, size, dst }, domain::byte_order(order, size, &old));
            }
            6 => self.spill_and_fill(x),
            7..=13 => return self.arithmetic(x),
            _ => self.branch(x),
        }
        true
    }

    fn spill_and_fill(&mut self, x: usize) {
        let (dst, old) = (WALKED[x], self.regs[x]);
        let signed = self.random.below(2) == 0;
        let size = self.random.pick(&[Size::B1, Size::B2, Size::B4]);
        self.push(Instr::Store { size: Size::B8, base: Reg::R10, off: -8, src: Operand::Reg(dst) });
        let result = if signed {
            domain::sign_extend_load(size.bytes(), &old)
        } else {
            domain::zero_extend_load(size.bytes(), &old)
        };
        self.change(x, Instr::Load { size, signed, dst, base: Reg::R10, off: -8 }, result);
    }

    /// The second operand of a compare or an operation, and what is known of it.
    fn operand(&mut self, x: usize, imm: i32) -> (Operand, Scalar) {
        match self.random.below(8) {
            0..4 => (Operand::Imm(imm), Scalar::constant(imm as i64 as u64)),
            4..7 => (Operand::Reg(WALKED[1 - x]), self.regs[1 - x]),
            _ => (Operand::Reg(WALKED[x]), self.regs[x]),
        }
    }

    fn arithmetic(&mut self, x: usize) -> bool {
        let width = self.random.pick(&WIDTHS);
        let op = self.random.pick(&ALU_OPS);
        let imm = match op {
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
                let bits = if width == Width::W64 { 64 } else { 32 };
                let any = self.random.below(bits) as i32;
                self.random.pick(&[any, any, (bits / 2) as i32])
            }
            AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => self.random.immediate() | 1,
            _ => self.random.immediate(),
        };
        let (src, value) = self.operand(x, imm);
        let old = self.regs[x];
        let instr = Instr::Alu { width, op, dst: WALKED[x], src };
        let Some((ones, zeros)) = sign_fork(op, &old, &value) else {
            self.change(x, instr, domain::alu(op, width, &old, &value, Precision::Linux));
            return true;
        };
        self.change(x, instr, domain::alu(op, width, &ones, &value, Precision::Linux));
        let slot = self.slots - 1;
        self.regs[x] = domain::alu(op, width, &zeros, &value, Precision::Linux);
        self.claim(When::Again(slot), format!("{instr} again with {zeros}"));
        // Gives the log an instruction to tell the state before.
        self.push(Instr::Mov { width: Width::W64, dst: Reg::R8, src: Operand::Imm(0) });
        false
    }

    fn branch(&mut self, x: usize) {
        let (width, op) = (self.random.pick(&WIDTHS), self.random.pick(&CMP_OPS));
        let old = self.regs;
        let any = self.random.immediate();
        let ends = [any, any, old[x].umin as i32, old[x].umax as i32, old[x].s32_min, old[x].s32_max];
        let imm = self.random.pick(&ends);
        let (src, value) = self.operand(x, imm);
        let same = src == Operand::Reg(WALKED[x]);
        let ways = if same {
            refine_same(op, width, &old[x], Precision::Linux)
        } else {
            refine(op, width, &old[x], &value, Precision::Linux)
        };
        let both = ways.taken.is_some() && ways.not_taken.is_some();
        let jump = if both { self.random.below(2) == 0 } else { ways.taken.is_some() };
        let Some((first, second)) = (if jump { ways.taken } else { ways.not_taken }) else { return };
        self.regs[x] = first;
        if src == Operand::Reg(WALKED[1 - x]) {
            self.regs[1 - x] = second;
        }
        let why = format!("{op:?} {width:?} {} and {value}, taken: {jump}, same: {same}", old[x]);
        let slot = self.slots;
        self.branches.push((slot, both));
        let off = i16::from(jump);
        if !jump {
            self.to_end.push((self.code.len(), slot));
        }
        self.push(Instr::Branch { width, op, dst: WALKED[x], src, off });
        if jump {
            self.to_end.push((self.code.len(), slot + 1));
            self.push(Instr::Jump { off: 0, long: false });
        }
        let when = if jump && both { When::Arriving(self.slots) } else { When::After(slot) };
        self.claim(when, why);
    }

    fn end(&mut self) {
        for (index, slot) in std::mem::take(&mut self.to_end) {
            let distance = self.slots - slot - 1;
            match &mut self.code[index] {
                Instr::Branch { off, .. } => *off = distance as i16,
                Instr::Jump { off, .. } => *off = distance as i32,
                other => panic!("{other} does not jump"),
            }
        }
        self.push(Instr::Mov { width: Width::W64, dst: Reg::R0, src: Operand::Imm(0) });
        self.push(Instr::Exit);
    }
}

/// The log, taken apart.
#[derive(Default)]
struct Told {
    /// The states after a slot, in order.
    after: HashMap<usize, Vec<String>>,
    /// The state on coming to a slot from another.
    arriving: HashMap<usize, String>,
    /// Slots of which a second way was walked.
    left_twice: HashSet<usize>,
}

impl Told {
    fn new(log: &str) -> Told {
        let mut told = Told::default();
        for line in log.lines() {
            told.read_arrival(line);
            told.read_instruction(line);
        }
        told
    }

    /// `from 19 to 21: R0=...`
    fn read_arrival(&mut self, line: &str) -> Option<()> {
        let (from, rest) = line.strip_prefix("from ")?.split_once(" to ")?;
        let (to, state) = rest.split_once(':')?;
        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
        if from != to {
            self.left_twice.insert(from);
            self.arriving.entry(to).or_insert_with(|| state.to_owned());
        }
        Some(())
    }

    /// `21: (54) w7 &= 127      ; R7=127`
    fn read_instruction(&mut self, line: &str) -> Option<()> {
        let (slot, rest) = line.split_once(": (")?;
        let (_, state) = rest.split_once("; ")?;
        self.after.entry(slot.parse().ok()?).or_default().push(format!(" {state}"));
        Some(())
    }

    fn state(&self, when: When) -> Option<&str> {
        match when {
            When::After(slot) => self.after.get(&slot)?.first(),
            When::Again(slot) => self.after.get(&slot)?.get(1),
            When::Arriving(slot) => self.arriving.get(&slot),
        }
        .map(String::as_str)
    }
}

/// The value of a register in a state's text, without marks and ids.
fn value(state: &str, reg: Reg) -> Option<String> {
    let name = format!(" R{}", reg.index());
    let (_, rest) = state.split_once(&name)?;
    // Behind the number there may be a mark before the equals sign.
    let (_, text) = rest.split_once('=')?;
    let text = text.strip_prefix('P').unwrap_or(text);
    let mut depth = 0i32;
    let end = text.find(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0 && c == ' '
    });
    let mut text = text[..end.unwrap_or(text.len())].to_owned();
    if let Some(id) = text.find("id=") {
        let len = text[id..].find([',', ')'])?;
        let comma = usize::from(text[id + len..].starts_with(','));
        text.replace_range(id..id + len + comma, "");
    }
    Some(text)
}

/// Compares one walk with what the kernel says of it; gives how many values were compared.
fn compare(referee: &Referee, seed: u64) -> Result<u32, String> {
    let walk = Walk::new(seed);
    let bytes = slots_to_bytes(&encode_all(&walk.code));
    let load = ProgLoad { log_level: 2, ..ProgLoad::new(ProgType::SocketFilter, &bytes) };
    let outcome = referee.load(&load).map_err(|e| e.to_string())?;
    let log = outcome.log();
    if !outcome.is_loaded() {
        return Err(format!("the kernel refuses: {:?}", log.reason()));
    }
    let told = Told::new(log.text());
    for (slot, both) in &walk.branches {
        if told.left_twice.contains(slot) != *both {
            return Err(format!("at {slot}: both ways open is {both} here and not there\n{}", log.text()));
        }
    }
    let mut compared = 0;
    for claim in &walk.claims {
        // Not told: a branch that taught nothing, or the last state before the end was seen.
        let Some(state) = told.state(claim.when) else { continue };
        for (reg, ours) in WALKED.into_iter().zip(claim.regs) {
            let Some(theirs) = value(state, reg) else { continue };
            compared += 1;
            if theirs != ours.to_string() {
                return Err(format!("{:?} {reg}, {}\n  here   {ours}\n  kernel {theirs}", claim.when, claim.why));
            }
        }
    }
    Ok(compared)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_walks_have_the_kernels_bounds() {
    let name = "random_walks_have_the_kernels_bounds";
    let Some(referee) = Referee::open_or_skip(name) else { return };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !release.starts_with("6.18.") {
        eprintln!("skipped: {name}: this is Linux {}, not 6.18", release.trim());
        return;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
    let first = setting("BACKSTOP_SEED").unwrap_or(now);
    let walks = setting("BACKSTOP_WALKS").unwrap_or(WALKS);
    println!("BACKSTOP_SEED={first}");
    let mut compared = 0;
    let mut differences = Vec::new();
    for seed in (0..walks).map(|i| first.wrapping_add(i)) {
        match compare(&referee, seed) {
            Ok(n) => compared += n,
            Err(text) => differences.push(format!("BACKSTOP_SEED={seed}: {text}")),
        }
    }
    println!("{compared} values compared");
    differences.truncate(10);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(u64::from(compared) > walks * 5, "only {compared} values compared over {walks} walks");
}
