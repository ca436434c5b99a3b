//! A compiled program in its place: published, registered, and dropped again.

use backstop_ir::{CalleeId, MapId, OpId};
use backstop_jit_x86::{Image, Symbol};

use super::arena::{Arena, CodeError, Range};
use super::registry::{Boundary, Registration};
use super::thunk::HostThunk;
use crate::record::CodeId;

/// What an image wants to know of the world.
pub(crate) trait Resolve {
    /// Address of a native function of the compiled calling convention.
    fn native(&self, callee: CalleeId) -> u64;
    /// Address of a map's native object.
    fn map(&self, map: MapId) -> u64;
    /// Address of an array's first value plus an offset.
    fn map_value(&self, map: MapId, offset: u32) -> u64;
}

/// A published image. Fields drop in order: first its addresses become unknown, then its code becomes traps.
pub(crate) struct NativeImage {
    registration: Registration,
    range: Range,
    tables: Image,
    /// Host functions that its pool points to.
    _thunks: Vec<HostThunk>,
}

impl NativeImage {
    /// Places an image.
    ///
    /// # Errors
    /// [`CodeError`] if there is no room or the system refuses.
    pub(crate) fn publish(
        image: Image,
        resolve: &dyn Resolve,
        thunks: Vec<HostThunk>,
    ) -> Result<NativeImage, CodeError> {
        let arena = Arena::get()?;
        let mut bytes = image.code.clone();
        bytes.resize(image.pool_offset() as usize, 0xcc);
        for symbol in &image.pool {
            let address = match *symbol {
                Symbol::Native(callee) => resolve.native(callee),
                Symbol::Map(map) => resolve.map(map),
                Symbol::MapValue(map, offset) => resolve.map_value(map, offset),
            };
            bytes.extend_from_slice(&address.to_le_bytes());
        }
        let range = arena.publish(&bytes)?;
        let at = range.address();
        let main_len = image.funcs.first().map_or(0, |f| f.end as usize);
        let boundary =
            image.boundary.map(|b| Boundary { sp_below_rbp: b.sp_below_rbp, callback: at + b.callback as usize });
        let registered = arena.registry().register(at, range.len(), main_len, boundary);
        let registration = registered.ok_or(CodeError::Full { bytes: bytes.len() })?;
        Ok(NativeImage { registration, range, tables: image, _thunks: thunks })
    }

    /// Entry of the main function.
    #[inline]
    pub(crate) fn entry(&self) -> u64 {
        self.range.address() as u64
    }

    /// Its identity in the registry.
    pub(crate) fn id(&self) -> CodeId {
        self.registration.id()
    }

    /// What the compiler said of it.
    pub(crate) fn tables(&self) -> &Image {
        &self.tables
    }

    /// The operation whose call returns to an offset.
    pub(crate) fn op_returning_to(&self, offset: u32) -> Option<OpId> {
        self.tables.op_returning_to(offset)
    }
}
