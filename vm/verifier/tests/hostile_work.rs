//! What programs that were made to explode cost.

#[allow(dead_code, reason = "other tests use the rest")]
mod cases_support;
#[path = "hostile_support/programs.rs"]
mod programs;

use std::sync::Arc;

use backstop_verifier::{Limits, Options, verify};

#[test]
fn cost() {
    let insns = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let only = std::env::var("ONLY").unwrap_or_default();
    let options = Options { compat_linux: true, limits: Limits { insns, comparisons: 1 << 40, ..Limits::default() }, ..Options::default() };
    for hostile in programs::all() {
        if !hostile.name.contains(&only) { continue; }
        let (text, stats) = match verify(Arc::new(hostile.program), &options) {
            Ok(v) => ("accepted".to_owned(), *v.stats()),
            Err(r) => (r.reason.kernel_text().lines().last().unwrap_or_default().to_owned(), r.stats),
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let rss = status.lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
        println!("{:40} {:8.3} s insns {:8} states {:7} peak {:7} cmp {:10} {rss} {text}", hostile.name, stats.nanos as f64 / 1e9, stats.insns_processed, stats.total_states, stats.peak_states, stats.comparisons);
    }
}
