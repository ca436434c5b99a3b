//! Helper calls, from the model's prototypes.

use std::sync::LazyLock;

use backstop::isa::{CmpOp, Instr, Operand, Width};
use backstop::model::{ArgKind, CallbackUse, HelperProto, MapKind, ProgKind, RetKind, helpers};

use super::Shape;
use super::body::Writer;
use super::calls::{Given, Role, SAFE};
use super::maps::MapUse;
use super::state::{Few, Kind, STACK_WORDS, reg, word_off};

/// Helpers that the runtime has, and whose result is not the same for the same program and input: clocks, chance, the host's threads.
pub const UNSTEADY: [u32; 8] = [5, 7, 14, 16, 118, 125, 160, 208];
/// Helpers that the runtime has and no program is generated with, each with its reason.
const LEFT_OUT: &[(u32, &str)] = &[];

/// Helpers that programs are generated with: what the runtime has, so that none is forgotten.
pub fn generated() -> &'static [u32] {
    static ALL: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let left_out = |id: &u32| LEFT_OUT.iter().any(|(left, _)| left == id);
        backstop::runnable::helpers().into_iter().filter(|id| !left_out(id)).collect()
    });
    &ALL
}

pub(super) const TAIL_CALL: u32 = 12;
const TRACE_PRINTK: u32 = 6;
const GET_CURRENT_COMM: u32 = 16;
/// Helpers over packets: few types have them.
pub(super) const PACKET: [u32; 11] = [9, 10, 11, 26, 39, 44, 54, 65, 188, 189, 190];
/// Helpers that tell what only one machine or engine knows, or that print: not for Linux.
const OWN: [u32; 8] = [6, 8, 14, 16, 42, 165, 177, 195];

/// A call's arguments and what they settle.
#[derive(Default)]
struct Plan {
    args: Vec<Given>,
    map: Option<MapUse>,
    /// Bytes of the memory that the last argument names: what a size after it may say.
    room: Option<u32>,
    callback: Option<(usize, Role)>,
}

fn supported(arg: ArgKind) -> bool {
    use ArgKind::*;
    matches!(
        arg,
        None | Anything
            | Ctx
            | ConstMap
            | MapKey
            | MapValue
            | MapValueOrNull
            | UninitMapValue
            | Mem
            | MemOrNull
            | UninitMem
            | UninitMemOrNull
            | FixedMem(_)
            | UninitFixedMem(_)
            | UninitFixedMemAligned(_)
            | Size
            | SizeOrZero
            | Callback
            | StackOrNull
            | ConstStr
            | UninitLong
    )
}

pub(super) fn usable(proto: &HelperProto, kind: &ProgKind, shape: Shape) -> bool {
    let known = shape.unsteady || generated().binary_search(&proto.id).is_ok();
    known
        && !(shape.kernel && OWN.contains(&proto.id))
        && helpers::allowed(proto.id, kind)
        && (!proto.might_sleep || kind.sleepable)
        && proto.args.iter().all(|arg| supported(*arg))
        && matches!(proto.ret, RetKind::Integer | RetKind::Void | RetKind::MapValueOrNull)
        && !matches!(proto.callback, Some(CallbackUse::UserRingbufDrain | CallbackUse::Timer | CallbackUse::FindVma))
}

impl Writer<'_, '_> {
    pub(super) fn helper(&mut self) {
        let no_tail_call = self.function_here().is_none_or(|f| f.no_tail_call) || self.holds();
        let [without, with] = &self.known.menus;
        let menu = if no_tail_call { without } else { with };
        let from = match self.source.byte() {
            0..=95 => &menu.favourites,
            96..=159 if !menu.packet.is_empty() => &menu.packet,
            _ => &menu.all,
        };
        if let Some(proto) = self.source.pick(from) {
            self.call_helper(proto);
        }
    }

    /// A tail call, where the type has them and nothing stands against it.
    pub(super) fn tail_call(&mut self) {
        let no_tail_call = self.function_here().is_none_or(|f| f.no_tail_call) || self.holds();
        let proto = helpers::proto(TAIL_CALL).filter(|proto| usable(proto, &self.kind, self.shape));
        if let Some(proto) = proto.filter(|_| !no_tail_call) {
            self.call_helper(proto);
            // After the last of 33 there is a boundary for each, and frames of others in between.
            if self.source.chance(128) {
                let always = self.source.chance(128);
                self.throw(always);
            }
        }
    }

    fn call_helper(&mut self, proto: &'static HelperProto) {
        let functions = self.functions.len();
        let Some(mut plan) = self.plan(proto) else {
            // A callback that nothing names would be no function of the program.
            self.functions.truncate(functions);
            return;
        };
        if proto.id == TRACE_PRINTK {
            // It prints r3 to r5 whether or not the program set them; Linux checks no more of them than that, and what an engine left there
            // is its own.
            for _ in 0..3 {
                let number = self.given_number();
                plan.args.push(number);
            }
        }
        self.give(&plan.args);
        self.code.push(Instr::CallHelper { id: proto.id as i32 });
        if UNSTEADY.contains(&proto.id) && !self.shape.unsteady {
            return self.forget(proto, &plan);
        }
        match (proto.ret, plan.map) {
            (RetKind::MapValueOrNull, Some(map)) => self.found(map),
            (RetKind::Integer, _) => self.state.after_call(Kind::Scalar),
            _ => self.state.after_call(Kind::Unknown),
        }
    }

    /// Goes on with a looked-up value if there is one.
    fn found(&mut self, map: MapUse) {
        self.state.after_call(Kind::Unknown);
        let over = self.code.label();
        self.code.wait_jump(over);
        let null = Operand::Imm(0);
        self.code.push(Instr::Branch { width: Width::W64, op: CmpOp::Eq, dst: reg(0), src: null, off: 0 });
        let before = self.state.clone();
        let value = Kind::memory(map.value_size());
        self.state.set(0, value);
        let writable = self.state.writable();
        let kept = SAFE.into_iter().skip(1).find(|n| writable.contains(n) && !self.state.get(*n).is_pointer());
        if let Some(kept) = kept
            && self.source.chance(160)
        {
            self.code.copy(reg(kept), reg(0));
            self.state.set(kept, value);
        }
        let statements = 1 + self.source.below(5);
        self.block(statements);
        self.code.place(over);
        self.state.meet(&before);
    }

    /// Drops what differs from run to run: the result, and what was written.
    fn forget(&mut self, proto: &HelperProto, plan: &Plan) {
        self.state.after_call(Kind::Scalar);
        self.code.set(reg(0), 0);
        if proto.id == GET_CURRENT_COMM
            && let Some(Given::Stack(off)) = plan.args.first()
        {
            let last = usize::try_from(-i32::from(*off) / 8 - 1).unwrap_or(0);
            for word in 0..=last.min(STACK_WORDS - 1) {
                if self.state.word(word) == Kind::Scalar {
                    self.zero_word(word);
                }
            }
        }
    }

    fn plan(&mut self, proto: &HelperProto) -> Option<Plan> {
        let mut plan = Plan::default();
        for (n, arg) in proto.args.iter().enumerate().filter(|(_, arg)| **arg != ArgKind::None) {
            let given = self.argument(proto, *arg, n + 1, &mut plan)?;
            plan.args.push(given);
        }
        Some(plan)
    }

    fn argument(&mut self, proto: &HelperProto, arg: ArgKind, n: usize, plan: &mut Plan) -> Option<Given> {
        match arg {
            ArgKind::Anything => Some(self.anything(proto, n)),
            ArgKind::Ctx => self.given_pointer(Kind::Ctx, n),
            ArgKind::ConstMap => {
                let map = self.map_for(proto)?;
                plan.map = Some(map);
                Some(Given::Map(self.maps.index(map)))
            }
            ArgKind::MapKey => Some(self.stack_memory(plan.map?.key_size())?.0),
            ArgKind::MapValueOrNull if self.source.chance(64) => Some(Given::Imm(0)),
            ArgKind::MapValue | ArgKind::UninitMapValue | ArgKind::MapValueOrNull => {
                Some(self.stack_memory(plan.map?.value_size())?.0)
            }
            ArgKind::MemOrNull | ArgKind::UninitMemOrNull if self.source.chance(64) => {
                plan.room = Some(0);
                Some(Given::Imm(0))
            }
            ArgKind::Mem | ArgKind::MemOrNull | ArgKind::UninitMem | ArgKind::UninitMemOrNull => {
                let write = matches!(arg, ArgKind::UninitMem | ArgKind::UninitMemOrNull);
                let (given, room) = self.any_memory(write, proto.id == GET_CURRENT_COMM && !self.shape.unsteady)?;
                plan.room = Some(room);
                Some(given)
            }
            ArgKind::Size | ArgKind::SizeOrZero => {
                let room = plan.room.take()? as usize;
                let size = if room == 0 { 0 } else { 1 + self.source.below(room) };
                // Formats want whole words.
                let size = if matches!(proto.id, 165 | 177) && n > 2 { size / 8 * 8 } else { size };
                Some(Given::Imm(size as i32))
            }
            ArgKind::FixedMem(len) | ArgKind::UninitFixedMem(len) | ArgKind::UninitFixedMemAligned(len) => {
                Some(self.stack_memory(len)?.0)
            }
            ArgKind::UninitLong => Some(self.stack_memory(8)?.0),
            ArgKind::ConstStr => Some(Given::MapValue(self.maps.index(MapUse::Constants))),
            ArgKind::Callback => self.callback(proto, plan),
            ArgKind::StackOrNull => self.callback_context(plan),
            _ => None,
        }
    }

    fn anything(&mut self, proto: &HelperProto, n: usize) -> Given {
        match (proto.callback, n) {
            // Rounds of bpf_loop: few.
            (Some(CallbackUse::Loop), 1) => Given::Imm(self.source.below(6) as i32),
            (Some(_), 4) if !self.source.chance(16) => Given::Imm(0),
            _ if proto.id == TAIL_CALL && self.source.chance(128) => Given::Imm(0),
            _ if matches!(proto.id, 1..=3 | TAIL_CALL) => Given::Imm(self.source.below(4) as i32),
            _ => self.given_number(),
        }
    }

    fn map_for(&mut self, proto: &HelperProto) -> Option<MapUse> {
        let each = proto.callback == Some(CallbackUse::ForEachMapElem);
        let mut all: Vec<MapUse> = MapUse::ELEMENTS.into_iter().chain([MapUse::ProgArray]).collect();
        all.retain(|map| helpers::takes_map(proto.id, map.kind(), &self.kind));
        if self.kind.sleepable {
            all.retain(|map| *map != MapUse::ProgArray);
        }
        if each && !self.shape.unsteady {
            // Hash maps are walked in no order.
            all.retain(|map| map.kind() != MapKind::Hash && map.kind() != MapKind::PercpuHash);
        }
        self.source.pick(&all)
    }

    /// Initialised stack, at least so many bytes; and how many there are.
    fn stack_memory(&mut self, len: u32) -> Option<(Given, u32)> {
        let words = (len.max(1) as usize).div_ceil(8);
        let first = self.source.below(STACK_WORDS.checked_sub(words)? + 1);
        if (first..first + words).any(|word| self.state.word(word) == Kind::Opaque) {
            return None;
        }
        for word in first..first + words {
            if self.state.word(word) != Kind::Scalar || self.source.chance(128) {
                self.zero_word(word);
            }
        }
        Some((Given::Stack(word_off(first + words - 1)), words as u32 * 8))
    }

    fn any_memory(&mut self, write: bool, stack_only: bool) -> Option<(Given, u32)> {
        let regs: Few = SAFE
            .into_iter()
            .filter(|n| matches!(self.state.get(*n), Kind::Memory { writable, .. } if writable || !write))
            .collect();
        if let Some(n) = self.source.pick(&regs)
            && !stack_only
            && self.source.chance(96)
            && let Kind::Memory { len, .. } = self.state.get(n)
        {
            return Some((Given::Copy(n), len));
        }
        let len = 1 + self.source.below(STACK_WORDS * 8 / 2) as u32;
        self.stack_memory(len)
    }

    fn callback(&mut self, proto: &HelperProto, plan: &mut Plan) -> Option<Given> {
        let (role, args, rounds) = match proto.callback? {
            CallbackUse::Loop => (Role::Loop, vec![Kind::Scalar, Kind::Unknown], 6),
            CallbackUse::ForEachMapElem => {
                let map = plan.map?;
                let key = Kind::Memory { len: map.key_size(), writable: false, atomics: false };
                (Role::Each, vec![Kind::Unknown, key, Kind::memory(map.value_size()), Kind::Unknown], 3)
            }
            _ => return None,
        };
        let function = self.add_function(role, args, rounds)?;
        plan.callback = Some((function, role));
        Some(Given::Function(function))
    }

    /// What the callback gets as its last argument: a word of this frame, or nothing.
    fn callback_context(&mut self, plan: &Plan) -> Option<Given> {
        let (function, _) = plan.callback?;
        let (given, kind) = if self.source.chance(128) {
            (self.stack_memory(8)?.0, Kind::memory(8))
        } else {
            (Given::Imm(0), Kind::Scalar)
        };
        if let Some(last) = self.functions.get_mut(function).and_then(|f| f.args.last_mut()) {
            *last = kind;
        }
        Some(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstop::model::ProgType;

    /// A helper whose arguments the generator can't make would be missing from every program.
    #[test]
    fn each_helper_is_usable_in_some_type_of_program() {
        let types: Vec<ProgType> = super::super::types().collect();
        for id in generated() {
            let proto = helpers::proto(*id).expect("the model has what the runtime has");
            let usable = types.iter().any(|ty| {
                let kind = ProgKind::new(*ty);
                usable(proto, &kind, Shape::STEADY)
            });
            assert!(
                usable,
                "no generated program can call bpf_{} ({id}): give it a reason or its arguments",
                proto.name
            );
        }
        assert!(UNSTEADY.iter().chain(&OWN).chain(&PACKET).all(|id| generated().contains(id)));
    }

    #[test]
    fn what_is_left_out_is_in_the_runtime_and_has_a_reason() {
        let runnable = backstop::runnable::helpers();
        assert!(LEFT_OUT.iter().all(|(id, why)| runnable.contains(id) && !why.is_empty()));
    }
}
