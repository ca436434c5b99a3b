//! Lookups of code addresses among 10,000 loaded programs, while another thread loads and unloads. A lookup can't be called
//! from here, so it is measured in throws: each of their frames costs one, and seven frames more cost seven lookups and seven
//! steps of the walk. That is an upper bound of a lookup's cost.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use backstop::{EngineChoice, Store, TypedProgram};
use backstop_benches::{Call, Guest, GuestError, ThreadClock, ThreadTime};
use criterion::Criterion;

const PROGRAMS: usize = 10_000;

type Programs = Vec<TypedProgram<(), Call>>;

/// Half of them throw from one subprogram deep, half from seven.
fn load_many(guest: &Guest, name: &str) -> Result<Programs, GuestError> {
    (0..PROGRAMS / 2).map(|_| guest.typed(name)).collect()
}

/// Runs each program in turn, throwing `cookie` unless it is 0. `stride` 0 stays with one program, so that its lines are in the
/// caches.
fn run_in_turn(
    c: &mut Criterion<ThreadClock>,
    label: &str,
    (programs, cookie): (&Programs, u64),
    stride: usize,
    store: &mut Store<()>,
) {
    let mut call = Call { argument: cookie, result: 0 };
    let mut next = 0;
    c.bench_function(label, |b| {
        b.iter(|| {
            next = (next + stride) % programs.len();
            programs[next].run(store, black_box(&mut call)).map(|exit| exit.value())
        });
    });
}

fn in_turn(c: &mut Criterion<ThreadClock>, around: &str, shallow: &Programs, deep: &Programs, store: &mut Store<()>) {
    // A prime stride visits all programs and never the next one in memory.
    for (way, stride) in [("one", 0), ("each_in_turn", 1009)] {
        let label = |what: &str| format!("registry/{around}/{way}/{what}");
        run_in_turn(c, &label("no_throw_1"), (shallow, 0), stride, store);
        run_in_turn(c, &label("throw_1"), (shallow, 1), stride, store);
        run_in_turn(c, &label("throw_8"), (deep, 1), stride, store);
    }
}

fn registry(c: &mut Criterion<ThreadClock>) -> Result<(), GuestError> {
    let guest = Guest::open(EngineChoice::Jit)?;
    let mut store = guest.store();
    let started = ThreadTime::now();
    let shallow = load_many(&guest, "throw_1")?;
    let deep = load_many(&guest, "throw_8")?;
    println!("loading: {:.1} us a program", started.elapsed().as_secs_f64() * 1e6 / PROGRAMS as f64);
    in_turn(c, "quiet", &shallow, &deep, &mut store);
    let (stop, loads) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Loaded, and unloaded at once: the runtime has nobody else to keep it for.
                if guest.typed("throw_1").is_ok() {
                    loads.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        in_turn(c, "loading", &shallow, &deep, &mut store);
        stop.store(true, Ordering::Relaxed);
    });
    println!("loaded and unloaded meanwhile: {}", loads.load(Ordering::Relaxed));
    Ok(())
}

fn main() -> Result<(), GuestError> {
    let mut c = Criterion::default().with_measurement(ThreadClock).configure_from_args();
    registry(&mut c)?;
    c.final_summary();
    Ok(())
}
