//! Programs made to explode the proof's states: time until the limit of a million instructions processed.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use backstop_verifier::{Options, verify};
use criterion::{Criterion, criterion_group, criterion_main};

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../vm/verifier/tests/cases_support/mod.rs"]
mod cases_support;
#[path = "../../vm/verifier/tests/hostile_support/programs.rs"]
mod programs;

fn hostile(c: &mut Criterion) {
    let mut group = c.benchmark_group("hostile");
    group.sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(3));
    let options = Options { compat_linux: true, ..Options::default() };
    for program in programs::all() {
        let name = program.name;
        let program = Arc::new(program.program);
        group.bench_function(name, |b| b.iter(|| black_box(verify(program.clone(), &options).is_ok())));
    }
    group.finish();
}

criterion_group!(benches, hostile);
criterion_main!(benches);
