//! Lookups of code addresses among 10,000 loaded programs, while another thread loads and unloads: by themselves, and in throws,
//! each of whose frames costs one.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use backstop::{EngineChoice, Store, TypedProgram, bench};
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

/// An address in the middle of an image, and the address of the image's first byte.
type Place = (usize, usize);

/// The middle of each image, shuffled.
fn places(kinds: [&Programs; 2]) -> Result<Vec<Place>, GuestError> {
    let middle = |program: &TypedProgram<(), Call>| {
        let range = bench::code_range(program.untyped()).ok_or("a program has no compiled code")?;
        Ok::<Place, GuestError>((range.start + range.len() / 2, range.start))
    };
    let mut places = kinds.into_iter().flatten().map(middle).collect::<Result<Vec<_>, _>>()?;
    // Fisher and Yates, with Knuth's generator: the same order each time.
    let mut state = 1u64;
    for last in (1..places.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        places.swap(last, (state >> 33) as usize % (last + 1));
    }
    Ok(places)
}

/// Looks addresses up in the places' order. `WAITS`: each lookup waits for the answer before it, which a throw's walk does not do: its
/// next address comes from the stack.
fn look_up<const WAITS: bool>(c: &mut Criterion<ThreadClock>, label: &str, places: &[Place]) {
    c.bench_function(label, |b| {
        b.iter_custom(|rounds| {
            let started = ThreadTime::now();
            let (mut next, mut wrong) = (0, 0);
            for _ in 0..rounds {
                let (address, start) = places[next];
                // The right answer's difference is 0, which the compiler can't know.
                let astray = bench::image_at(address).map_or(1, |found| found.wrapping_sub(start));
                wrong += astray;
                next += if WAITS { 1 + astray } else { 1 };
                if next >= places.len() {
                    next = 0;
                }
            }
            black_box(wrong);
            started.elapsed()
        });
    });
    assert!(places.iter().all(|&(address, start)| bench::image_at(address) == Some(start)));
}

fn lookups(c: &mut Criterion<ThreadClock>, around: &str, places: &[Place]) {
    for (which, places) in [("one", &places[..1]), ("each_at_random", places)] {
        look_up::<false>(c, &format!("registry/{around}/lookup/{which}"), places);
        look_up::<true>(c, &format!("registry/{around}/lookup_after_lookup/{which}"), places);
    }
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
    let places = places([&shallow, &deep])?;
    lookups(c, "quiet", &places);
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
        lookups(c, "loading", &places);
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
