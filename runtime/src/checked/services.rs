//! What a checked run asks of the runtime: as the interpreter's services, with arguments checked before each call, and with what a call
//! hands out made known to the run.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use backstop_interp::{
    CallBack as InterpreterCallBack, CheckedCode, Checks, Guarded, Halt, Kind, Reason, Region, Rights, Services, Stop,
    WalkedFrame,
};
use backstop_model::{ProgKind, ProgType};

use crate::backend::Backend;
use crate::call::{CallBack, Ended};
use crate::context::packet_bounds;
use crate::maps::{MapInner, inner_from_native};
use crate::program::ProgramCode;
use crate::record::RunRecord;
use crate::services::RunServices;

use super::args::{self, Callable, Handed};
use super::{CheckedProgram, Given, regions};

/// Linux's number of `bpf_tail_call`.
const TAIL_CALL: u32 = 12;

/// A run's checks, and what else its calls are checked against.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a, 'w> {
    pub(super) checks: &'a Checks<'w>,
    /// The kind of the program that was started; what it tail calls is of the same kind.
    pub(super) kind: &'a ProgKind,
    /// Address of the context.
    pub(super) context: u64,
    /// Programs that were tail called: their maps stay handed out when another one has taken their place.
    kept: &'a RefCell<Vec<Arc<ProgramCode>>>,
}

impl<'a, 'w> Surroundings<'a, 'w> {
    /// Hands a run's first regions out: maps, context, packet.
    pub(super) fn new(
        checks: &'a Checks<'w>,
        kept: &'a RefCell<Vec<Arc<ProgramCode>>>,
        given: Given<'a>,
        program: &CheckedProgram,
    ) -> Surroundings<'a, 'w> {
        let Given { kind, args: [context, _], context_len, .. } = given;
        let around = Surroundings { checks, kind, context, kept };
        let raw = kind.ty == ProgType::RawMem;
        around.add(Region {
            start: context,
            len: context_len,
            kind: if raw { Kind::Memory } else { Kind::Context },
            rights: program.context.clone(),
        });
        around.add_maps(program);
        around.find_packet();
        around
    }

    /// All regions of the runtime's pass here.
    fn add(&self, region: Region) {
        // SAFETY: R11: maps, contexts and packets of a run, and the key in its record, are separate pieces of memory that live until
        // it ends, and their rights are no more than their program's type or their map's flags allow.
        unsafe { self.checks.add(region) };
    }

    /// Makes a program's maps known: one that was started or tail called.
    fn add_maps(&self, program: &CheckedProgram) {
        program.regions.iter().for_each(|region| self.add(region.clone()));
    }

    /// Takes the packet's bounds from the context, as helpers left them.
    fn find_packet(&self) {
        // SAFETY: R9: the run's own context, made for this kind of program, whose run is under way.
        let Some((meta, _, end)) = (unsafe { packet_bounds(self.kind, self.context) }) else { return };
        if let Some(old) = self.checks.region_of_kind(Kind::Packet) {
            self.checks.remove(old.start);
        }
        let rights = regions::packet_rights(self.kind);
        self.add(Region { start: meta, len: end.saturating_sub(meta), kind: Kind::Packet, rights });
    }

    /// The map at an address, if it is one of the run's.
    pub(super) fn map(&self, address: u64) -> Option<&'a MapInner> {
        let known = self.checks.region_at(address).is_some_and(|region| region.kind == Kind::Map);
        // SAFETY: R11: a region of this kind is the address of a map that a program of this run holds.
        known.then(|| unsafe { inner_from_native(address) })
    }

    /// Hands out what a callback over a map is shown: key and value.
    fn hand_element(&self, map: &MapInner, [_, key, value, ..]: [u64; 5]) {
        let kind = Kind::MapKey(map.native_address());
        self.add(Region { start: key, len: map.key_size() as u64, kind, rights: Rights::Read });
        self.add(regions::value(map, value));
    }

    /// Hands out what a call gave.
    fn hand_result(&self, handed: Handed<'_>, result: u64) {
        if let (true, Some(map)) = (handed.value && result != 0, handed.map) {
            self.add(regions::value(map, result));
        }
        if handed.moves {
            self.find_packet();
        }
    }
}

/// The services of one checked run.
pub(super) struct CheckedServices<'a, 'w> {
    inner: RunServices,
    around: Surroundings<'a, 'w>,
}

impl<'a, 'w> CheckedServices<'a, 'w> {
    pub(super) fn new(record: &mut RunRecord<'_>, around: Surroundings<'a, 'w>) -> CheckedServices<'a, 'w> {
        CheckedServices { inner: RunServices::new(record), around }
    }

    pub(super) fn halted(&self) -> Option<Halt> {
        self.inner.halted
    }

    fn fault(&mut self) -> Stop {
        self.inner.halted = self.inner.halted.or(Some(Halt::Fault));
        Stop
    }
}

/// A program that was tail called. Only made of programs for the checked interpreter.
pub(super) struct Target(Arc<ProgramCode>);

impl Target {
    fn program(&self) -> &CheckedProgram {
        match &self.0.backend {
            Backend::Checked(program) => program,
            _ => unreachable!("tail-call targets are checked when they are made"),
        }
    }
}

impl Deref for Target {
    type Target = CheckedCode<Callable>;

    fn deref(&self) -> &CheckedCode<Callable> {
        &self.program().code
    }
}

impl Services for CheckedServices<'_, '_> {
    type Callee = Callable;
    type Mode = Guarded;
    type Target = Target;

    fn call_native(
        &mut self,
        callee: &Callable,
        args: [u64; 5],
        vm: &mut dyn InterpreterCallBack<Self>,
    ) -> Result<u64, Stop> {
        let around = self.around;
        let Ok(handed) = callee.admit(&around, args) else { return Err(self.fault()) };
        let mut back = Back { vm, around, handed, halted: None };
        let result = self.inner.perform(&callee.native, args, &mut back);
        self.inner.halted = self.inner.halted.or(back.halted);
        let result = result?;
        around.hand_result(handed, result);
        Ok(result)
    }

    fn tail_call(&mut self, context: u64, map: u64, index: u32) -> Result<Option<Target>, Stop> {
        let around = self.around;
        if context != around.context {
            around.checks.refuse(Reason::Argument(1, "it is not the run's own context"));
            return Err(self.fault());
        }
        let array = match args::map(&around, TAIL_CALL, map) {
            Ok(array) => array,
            Err(what) => {
                around.checks.refuse(Reason::Argument(2, what));
                return Err(self.fault());
            }
        };
        let target = array.program(index).filter(|code| matches!(code.backend, Backend::Checked(_))).map(Target);
        if let Some(target) = &target {
            around.kept.borrow_mut().push(Arc::clone(&target.0));
            around.add_maps(target.program());
        }
        Ok(target)
    }

    fn caught(&mut self, cookie: u64, outermost: bool, frames: &[WalkedFrame]) {
        self.inner.note_caught(cookie, outermost, frames);
    }

    fn legacy_load(&mut self, offset: u32, size: u32) -> Option<u64> {
        crate::helpers::legacy_load(self.inner.record(), offset, size)
    }

    fn halted(&mut self, halt: Halt) {
        self.inner.halted = Some(halt);
    }
}

/// A helper's way back into a checked program.
struct Back<'b, 'a, 'w> {
    vm: &'b mut dyn InterpreterCallBack<CheckedServices<'a, 'w>>,
    around: Surroundings<'a, 'w>,
    handed: Handed<'a>,
    halted: Option<Halt>,
}

impl CallBack for Back<'_, '_, '_> {
    fn call_back(&mut self, run: &mut RunRecord<'_>, function: u64, args: [u64; 5]) -> Result<u64, Ended> {
        if let (true, Some(map)) = (self.handed.elements, self.handed.map) {
            self.around.hand_element(map, args);
        }
        let mut services = CheckedServices::new(run, self.around);
        let value = self.vm.call_back(&mut services, function, args);
        self.halted = self.halted.or(services.halted());
        value.map_err(|Stop| Ended)
    }
}
