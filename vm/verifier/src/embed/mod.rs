//! State embedding: a run of a proved program must, at every instruction, be inside what the proof said of it.

mod concrete;

pub use concrete::{Concrete, PacketBounds, Place, PlaceKind};
