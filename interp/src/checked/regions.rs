//! Memory that a run was handed, besides its stack.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Direction, Nearest, Reason};

/// What a region is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// The context.
    Context,
    /// The packet, with its metadata.
    Packet,
    /// One value of the map at this address.
    MapValue(u64),
    /// One key of the map at this address.
    MapKey(u64),
    /// A map itself: named, never accessed.
    Map,
    /// Memory of the host's.
    Memory,
}

impl Kind {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Context => "the context",
            Kind::Packet => "the packet",
            Kind::MapValue(_) => "a map's value",
            Kind::MapKey(_) => "a map's key",
            Kind::Map => "a map itself",
            Kind::Memory => "the memory",
        }
    }
}

/// What may be done with a region's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rights {
    /// Nothing: programs only name it.
    None,
    /// Read.
    Read,
    /// Written.
    Write,
    /// Read and written.
    ReadWrite,
    /// Byte by byte: read, written. Bytes beyond the list: nothing.
    Fields(Arc<[(bool, bool)]>),
}

/// Memory that a run was handed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// Address of its first byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// What it is.
    pub kind: Kind,
    /// What may be done with it.
    pub rights: Rights,
}

impl Region {
    /// Address after its last byte.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    fn nearest(&self) -> Nearest {
        Nearest { kind: Some(self.kind), start: self.start, len: self.len }
    }

    /// Whether an access inside the region is within its rights.
    pub(super) fn admits(&self, at: u64, size: u64, direction: Direction) -> Result<(), Reason> {
        let read = direction == Direction::Read;
        match &self.rights {
            Rights::ReadWrite => Ok(()),
            Rights::Read if read => Ok(()),
            Rights::Write if !read => Ok(()),
            Rights::Read => Err(Reason::ReadOnly),
            Rights::Write => Err(Reason::WriteOnly),
            Rights::None => Err(Reason::Outside),
            Rights::Fields(fields) => {
                let from = at - self.start;
                let allowed = |byte: &u64| {
                    let field = usize::try_from(*byte).ok().and_then(|byte| fields.get(byte));
                    field.is_some_and(|(may_read, may_write)| if read { *may_read } else { *may_write })
                };
                (from..from + size).find(|byte| !allowed(byte)).map_or(Ok(()), |byte| Err(Reason::Field(byte)))
            }
        }
    }
}

/// All of a run's regions.
#[derive(Default)]
pub(super) struct Regions {
    /// By first byte.
    all: BTreeMap<u64, Region>,
    context: Option<u64>,
    packet: Option<u64>,
}

impl Regions {
    pub(super) fn put(&mut self, region: Region) {
        match region.kind {
            Kind::Context => self.context = Some(region.start),
            Kind::Packet => self.packet = Some(region.start),
            _ if region.len == 0 => return,
            _ => {}
        }
        self.all.insert(region.start, region);
    }

    pub(super) fn remove(&mut self, start: u64) {
        self.all.remove(&start);
    }

    pub(super) fn starting(&self, start: u64) -> Option<Region> {
        self.all.get(&start).cloned()
    }

    /// The region that holds the byte at an address.
    pub(super) fn at(&self, address: u64) -> Option<&Region> {
        let (_, region) = self.all.range(..=address).next_back()?;
        (address < region.end()).then_some(region)
    }

    /// As `at`; a region's end belongs to it too, if no other begins there.
    pub(super) fn holding(&self, address: u64) -> Option<Region> {
        let (_, region) = self.all.range(..=address).next_back()?;
        (address <= region.end()).then(|| region.clone())
    }

    pub(super) fn of_kind(&self, kind: Kind) -> Option<Region> {
        let start = match kind {
            Kind::Context => self.context?,
            Kind::Packet => self.packet?,
            Kind::MapValue(_) | Kind::MapKey(_) | Kind::Map | Kind::Memory => return None,
        };
        self.starting(start).filter(|region| region.kind == kind)
    }

    pub(super) fn nearest(&self, at: u64, size: u64) -> Option<Nearest> {
        let below = self.all.range(..=at).next_back().map(|(_, region)| region.nearest());
        let above = self.all.range(at..).next().map(|(_, region)| region.nearest());
        below.into_iter().chain(above).min_by_key(|found| found.gap(at, size))
    }
}
