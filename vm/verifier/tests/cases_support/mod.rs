//! What the corpus of small programs is read, built and judged with.

pub mod build;
pub mod corpus;
pub mod kernel;
pub mod types;
