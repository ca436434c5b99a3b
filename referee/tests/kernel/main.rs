//! The referee before the running kernel. Each test is skipped, in print, where bpf(2) is not permitted.

mod asm;
mod btf;
mod maps;
mod programs;
