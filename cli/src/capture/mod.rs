//! The main job: a packet program over each packet of a capture, on one engine or on both side by side.

mod compare;
mod contents;
mod drive;
mod lane;
mod reader;
mod report;
pub mod verdict;
mod writer;

pub use drive::run;
