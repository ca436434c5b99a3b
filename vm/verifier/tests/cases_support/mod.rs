//! What the corpus of small programs is read, built and judged with.

pub mod build;
pub mod corpus;
mod every_reason;
pub mod kernel;
pub mod types;
