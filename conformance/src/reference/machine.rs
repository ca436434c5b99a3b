//! The reference machine: runs decoded steps over a memory of its own, at addresses of its own.
//!
//! Invariants: it touches nothing but the regions that it was given; every access is checked; it ends after a fixed number of steps.
//! Where the text leaves a value undefined (r1 to r5 after a call, new frames) it puts a pattern that no case may let through.

use super::semantics::{Modify, Semantics};
use super::step::{Place, Source, Step, decode};

/// Where the memory lies that r1 points to.
const MEMORY: u64 = 0x5_1000_0000;
/// Where the values of maps lie, [`MAP_STRIDE`] bytes apart.
const MAPS: u64 = 0x6_2000_0000;
const MAP_STRIDE: u64 = 1 << 24;
/// Where the oldest frame's stack ends; newer ones lie below.
const STACK: u64 = 0x7_3000_1000;
const FRAME: u64 = 512;
const FRAMES: usize = 8;
/// What a function's address and a map's handle look like.
const FUNCTION: u64 = 0x8_4000_0000;
const HANDLE: u64 = 0x9_5000_0000;
const UNDEFINED: u64 = 0xdead_beef_dead_beef;
const MOST_STEPS: u64 = 64_000_000;

const MAP_LOOKUP: i32 = 1;
const LOOP: i32 = 181;
const LOOP_LIMIT: u64 = 1 << 23;

/// Why the reference can't say what a program does: a defect of the exerciser, never of an engine.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An instruction that the text does not define was reached.
    #[error("the reference does not know the instruction at slot {0}")]
    Unknown(usize),
    /// An access outside every region.
    #[error("the reference has no {bytes} bytes at {address:#x}")]
    Access {
        /// The address.
        address: u64,
        /// How many bytes.
        bytes: usize,
    },
    /// More than 8 frames.
    #[error("the reference has 8 frames")]
    Depth,
    /// A helper or kfunc that is not modelled.
    #[error("the reference does not know function {0}")]
    Function(i32),
    /// Too many steps.
    #[error("the reference stopped after {MOST_STEPS} steps")]
    Steps,
}

/// Why a function was left.
enum Leave {
    /// The program is over, with this result.
    End(u64),
    Fault(Fault),
}

impl From<Fault> for Leave {
    fn from(fault: Fault) -> Leave {
        Leave::Fault(fault)
    }
}

type Left<T> = Result<T, Leave>;

/// A program as the reference reads it.
pub struct Text {
    steps: Vec<Step>,
}

impl Text {
    /// Decodes the slots.
    pub fn new(slots: &[[u8; 8]]) -> Text {
        Text { steps: decode(slots) }
    }
}

/// What a program is run over.
pub struct World<'a> {
    /// What r1 points to; r2 is its length. For packet programs the packet, which r1 does not point to.
    pub memory: &'a mut [u8],
    /// The program gets a packet: legacy loads read it.
    pub packet: bool,
    /// The value of each map (arrays of one element).
    pub maps: &'a mut [Vec<u8>],
}

/// Runs a program from its first slot and gives r0.
///
/// # Errors
/// [`Fault`].
pub fn run<S: Semantics + ?Sized>(rules: &S, text: &Text, world: World<'_>) -> Result<u64, Fault> {
    let length = world.memory.len() as u64;
    let context = (length as u32).to_le_bytes();
    let mut machine = Machine { rules, text, world, context, stack: vec![0; FRAMES * FRAME as usize], steps: 0 };
    let args = [MEMORY, length, UNDEFINED, UNDEFINED, UNDEFINED];
    match machine.function(0, args, 0) {
        Ok(value) | Err(Leave::End(value)) => Ok(value),
        Err(Leave::Fault(fault)) => Err(fault),
    }
}

struct Machine<'a, S: ?Sized> {
    rules: &'a S,
    text: &'a Text,
    world: World<'a>,
    /// What a packet program may read of its context: `len`, its first field.
    context: [u8; 4],
    stack: Vec<u8>,
    steps: u64,
}

type Registers = [u64; 11];

impl<S: Semantics + ?Sized> Machine<'_, S> {
    fn function(&mut self, entry: usize, args: [u64; 5], depth: usize) -> Left<u64> {
        if depth >= FRAMES {
            return Err(Fault::Depth.into());
        }
        let mut r = [UNDEFINED; 11];
        r[1..6].copy_from_slice(&args);
        r[10] = STACK - depth as u64 * FRAME;
        let mut at = entry;
        loop {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(Fault::Steps.into());
            }
            let step = self.text.steps.get(at).copied().unwrap_or(Step::Nothing);
            at += 1;
            match step {
                Step::Jump { to } => at = to,
                Step::Branch { condition, bits, dst, src, to } => {
                    if self.rules.holds(condition, bits, r[dst], self.operand(&r, src)) {
                        at = to;
                    }
                }
                // It may always go on: a runtime's budget is far beyond what a case needs.
                Step::MayGoto => {}
                Step::Call { to } => r[0] = self.function(to, arguments(&r), depth + 1)?,
                Step::Helper { id } => r[0] = self.helper(id, arguments(&r), depth)?,
                Step::Kfunc { index: 0 } => return Err(Leave::End(r[1])),
                Step::Kfunc { index } => return Err(Fault::Function(index).into()),
                Step::Exit => return Ok(r[0]),
                Step::Packet { size, index, imm } => r[0] = self.packet(&r, size, index, imm)?,
                Step::Constant { .. } | Step::MapValue { .. } | Step::Map { .. } | Step::Function { .. } => {
                    at += 1;
                    self.wide(&mut r, step);
                }
                Step::Nothing => return Err(Fault::Unknown(at - 1).into()),
                _ => self.plain(&mut r, step)?,
            }
            if matches!(step, Step::Call { .. } | Step::Helper { .. } | Step::Packet { .. }) {
                r[1..6].fill(UNDEFINED);
            }
        }
    }

    fn operand(&self, r: &Registers, src: Source) -> u64 {
        match src {
            Source::Register(n) => r[n],
            Source::Immediate(imm) => self.rules.immediate(imm),
        }
    }

    fn wide(&self, r: &mut Registers, step: Step) {
        match step {
            Step::Constant { dst, value } => r[dst] = value,
            Step::MapValue { dst, map, off } => r[dst] = MAPS + map as u64 * MAP_STRIDE + off,
            Step::Map { dst, map } => r[dst] = HANDLE + map as u64,
            Step::Function { dst, slot } => r[dst] = FUNCTION + slot as u64,
            _ => {}
        }
    }

    fn plain(&mut self, r: &mut Registers, step: Step) -> Result<(), Fault> {
        let rules = self.rules;
        match step {
            Step::Arithmetic { op, bits, dst, src } => {
                r[dst] = rules.arithmetic(op, bits, r[dst], self.operand(r, src));
            }
            Step::Negate { bits, dst } => r[dst] = rules.negate(bits, r[dst]),
            Step::Move { bits, dst, src } => r[dst] = rules.mov(bits, self.operand(r, src)),
            Step::SignExtend { bits, from, dst, src } => r[dst] = rules.sign_extend(bits, from, r[src]),
            Step::ByteOrder { order, size, dst } => r[dst] = rules.byte_order(order, size, r[dst]),
            Step::Load { dst, place, sign } => r[dst] = rules.load(place.size, sign, self.read(r, place)?),
            Step::Store { place, src } => {
                let value = self.operand(r, src);
                self.write(r, place, value)?;
            }
            Step::Modify { op, fetch, place, src } => {
                let old = self.read(r, place)?;
                self.write(r, place, rules.modify(op, place.size, old, r[src], r[0]))?;
                if fetch {
                    let target = if op == Modify::Cmpxchg { 0 } else { src };
                    r[target] = rules.fetched(place.size, old);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The helpers that cases call: an element of an array of one, and a counted loop.
    fn helper(&mut self, id: i32, args: [u64; 5], depth: usize) -> Left<u64> {
        let [a, b, c, _, _] = args;
        match id {
            MAP_LOOKUP => {
                let map = a.wrapping_sub(HANDLE);
                let key = u32::from_le_bytes(array(self.bytes(b, 4)?));
                Ok(if key == 0 { MAPS + map * MAP_STRIDE } else { 0 })
            }
            LOOP if a & 0xffff_ffff > LOOP_LIMIT => Ok(-7_i64 as u64),
            LOOP => {
                let entry = usize::try_from(b.wrapping_sub(FUNCTION)).unwrap_or(usize::MAX);
                let rounds = a & 0xffff_ffff;
                for round in 0..rounds {
                    if self.function(entry, [round, c, UNDEFINED, UNDEFINED, UNDEFINED], depth + 1)? == 1 {
                        return Ok(round + 1);
                    }
                }
                Ok(rounds)
            }
            other => Err(Fault::Function(other).into()),
        }
    }

    /// Legacy loads: big-endian; one beyond the packet ends the program with 0.
    fn packet(&self, r: &Registers, size: u32, index: Option<usize>, imm: i32) -> Left<u64> {
        let index = index.map_or(0, |n| r[n] as u32 as i32);
        let start = usize::try_from(imm.wrapping_add(index)).map_err(|_| Leave::End(0))?;
        let end = start + (size / 8) as usize;
        match self.world.memory.get(start..end) {
            Some(bytes) if self.world.packet => Ok(bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))),
            _ => Err(Leave::End(0)),
        }
    }

    fn read(&mut self, r: &Registers, place: Place) -> Result<u64, Fault> {
        let bytes = self.bytes(address(r, place), (place.size / 8) as usize)?;
        Ok(bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }

    fn write(&mut self, r: &Registers, place: Place, value: u64) -> Result<(), Fault> {
        let bytes = self.bytes(address(r, place), (place.size / 8) as usize)?;
        for (to, from) in bytes.iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
        Ok(())
    }

    fn bytes(&mut self, address: u64, bytes: usize) -> Result<&mut [u8], Fault> {
        let floor = STACK - FRAMES as u64 * FRAME;
        let found = if address >= HANDLE {
            None
        } else if address >= floor {
            part(&mut self.stack, address - floor, bytes)
        } else if address >= MAPS {
            let map = (address - MAPS) / MAP_STRIDE;
            let value = self.world.maps.get_mut(map as usize);
            value.and_then(|value| part(value, (address - MAPS) % MAP_STRIDE, bytes))
        } else if address < MEMORY {
            None
        } else {
            let region = if self.world.packet { &mut self.context[..] } else { &mut *self.world.memory };
            part(region, address - MEMORY, bytes)
        };
        found.ok_or(Fault::Access { address, bytes })
    }
}

fn arguments(r: &Registers) -> [u64; 5] {
    let [_, a, b, c, d, e, ..] = *r;
    [a, b, c, d, e]
}

fn array(bytes: &[u8]) -> [u8; 4] {
    let mut out = [0; 4];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

fn address(r: &Registers, place: Place) -> u64 {
    r[place.base].wrapping_add(i64::from(place.off) as u64)
}

fn part(region: &mut [u8], start: u64, bytes: usize) -> Option<&mut [u8]> {
    let start = usize::try_from(start).ok()?;
    region.get_mut(start..start.checked_add(bytes)?)
}
