//! A checked run as the verifier's state embedding wants to see it.

#![allow(unsafe_code)]

use std::sync::Arc;

use backstop_interp::{Found, Kind, Region, View, Watch};
use backstop_ir::FuncId;
use backstop_isa::Reg;
use backstop_model::MapSpec;
use backstop_verifier::embed::{Concrete, PacketBounds, Place, PlaceKind};

use crate::context::packet_bounds;
use crate::maps::MapRef;
use crate::program::{Program, ProgramCode};

/// Sees each instruction of a run on the checked interpreter before it runs.
pub trait Observe {
    /// The run stands before an instruction.
    fn before(&mut self, moment: &Moment<'_>);
}

/// A run on the checked interpreter before an instruction; as [`Concrete`] it shows registers, stacks and regions.
pub struct Moment<'a> {
    view: &'a View<'a>,
    code: &'a ProgramCode,
}

impl Moment<'_> {
    /// Slot of the instruction.
    pub fn slot(&self) -> u32 {
        self.view.slot()
    }

    /// Whether this program runs, and not one that it tail called.
    pub fn is_in<H>(&self, program: &Program<H>) -> bool {
        std::ptr::eq(self.code, Arc::as_ptr(program.code()))
    }

    /// Name of the program that runs.
    pub fn program(&self) -> &str {
        self.code.name()
    }

    /// The maps of the program that runs, by [`PlaceKind`]'s index.
    pub fn maps(&self) -> &[Arc<MapSpec>] {
        self.code.ir.maps()
    }

    fn map_index(&self, address: u64) -> Option<u32> {
        let at = self.code.maps.iter().position(|map: &MapRef| map.native_address() == address)?;
        u32::try_from(at).ok()
    }

    fn place(&self, region: &Region, address: u64) -> Place {
        let kind = match region.kind {
            Kind::Context => PlaceKind::Context,
            Kind::Packet => PlaceKind::Packet,
            Kind::MapValue(map) => PlaceKind::MapValue { map: self.map_index(map) },
            Kind::MapKey(map) => PlaceKind::MapKey { map: self.map_index(map) },
            Kind::Map => PlaceKind::Map { map: self.map_index(region.start) },
            Kind::Memory => PlaceKind::Memory,
        };
        let size = if region.kind == Kind::Map { 0 } else { region.len };
        Place { kind, offset: address.wrapping_sub(region.start), size }
    }
}

impl Concrete for Moment<'_> {
    fn frames(&self) -> usize {
        self.view.frames()
    }

    fn function(&self, frame: usize) -> u32 {
        self.view.frame(frame).map_or(u32::MAX, |frame| frame.function)
    }

    fn call_site(&self, frame: usize) -> Option<u32> {
        self.view.call_site(frame)
    }

    fn reg(&self, frame: usize, reg: Reg) -> Option<u64> {
        self.view.reg(frame, reg)
    }

    fn stack_byte(&self, frame: usize, offset: i32) -> Option<u8> {
        self.view.stack_byte(frame, offset)
    }

    fn context(&self) -> Option<u64> {
        self.view.region_of_kind(Kind::Context).map(|region| region.start)
    }

    fn packet(&self) -> Option<PacketBounds> {
        let context = self.view.region_of_kind(Kind::Context)?;
        // SAFETY: R9: the context of a run that is under way, whose programs are all of one kind.
        let (meta, data, end) = unsafe { packet_bounds(self.code.kind(), context.start) }?;
        Some(PacketBounds { meta, data, end })
    }

    fn region(&self, address: u64) -> Option<Place> {
        let stack = u64::from(backstop_abi::MAX_STACK);
        match self.view.find(address)? {
            Found::Stack { frame, offset } => {
                let offset = stack.checked_add_signed(offset)?;
                Some(Place { kind: PlaceKind::Stack { frame }, offset, size: stack })
            }
            Found::Region(region) => Some(self.place(&region, address)),
            Found::Function(index) => {
                let first = self.code.ir.func(FuncId(index))?.blocks.first()?;
                let op = first.ops.first().map_or(first.term_id, |op| op.id);
                let slot = self.code.ir.position(op)?.slot?;
                Some(Place { kind: PlaceKind::Function { slot }, offset: 0, size: 0 })
            }
        }
    }
}

/// An [`Observe`] as the interpreter calls it.
pub(crate) struct Observed<'a> {
    /// The program that was started.
    pub(crate) code: &'a Arc<ProgramCode>,
    pub(crate) observe: &'a mut dyn Observe,
}

impl Watch for Observed<'_> {
    fn before(&mut self, view: &View<'_>) {
        if view.code_id() == self.code.id.to_word() {
            return self.observe.before(&Moment { view, code: self.code });
        }
        if let Some(code) = ProgramCode::by_id(crate::record::CodeId::from_word(view.code_id())) {
            self.observe.before(&Moment { view, code: &code });
        }
    }
}
