//! The 14 programs on all engines: equal results first, then times as multiples of native code's.

use serde::Serialize;

use crate::Error;
use crate::names::PROGRAMS;
use crate::peer::{Engine, Peer};
use crate::programs::Program;
use crate::timing::{Effort, geomean, interleave};
use crate::{backstop_engines, linux, native, rbpf_engines, wasm};

/// All engines; native code first.
pub const ENGINES: [Engine; 7] = [
    Engine { name: "native", make: native::make },
    Engine { name: "Backstop JIT", make: backstop_engines::jit },
    Engine { name: "Linux JIT", make: linux::make },
    Engine { name: "rbpf JIT", make: rbpf_engines::jit },
    Engine { name: "wasmtime", make: wasm::make },
    Engine { name: "Backstop interp", make: backstop_engines::interp },
    Engine { name: "rbpf interp", make: rbpf_engines::interp },
];

/// How often each engine runs before its result and memory are compared with native code's.
const COMPARED_RUNS: u32 = 3;

/// One engine's entry in a row.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// The engine.
    pub engine: &'static str,
    /// 25th percentile in nanoseconds a run.
    pub ns: Option<f64>,
    /// Median in nanoseconds a run.
    pub median_ns: Option<f64>,
    /// `ns` as a multiple of native code's.
    pub ratio: Option<f64>,
    /// Why there is no number.
    pub missing: Option<String>,
}

/// One program's row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The program.
    pub program: &'static str,
    /// An entry for each of [`ENGINES`].
    pub cells: Vec<Cell>,
}

type Placed = (usize, Box<dyn Peer>);

/// Measures the programs whose names pass `wanted`.
pub fn measure(effort: Effort, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for name in PROGRAMS.into_iter().filter(|name| wanted(name)) {
        eprintln!("{name}");
        rows.push(row(&Program::open(name)?, effort)?);
    }
    Ok(rows)
}

fn row(program: &Program, effort: Effort) -> Result<Row, Error> {
    let mut cells: Vec<Cell> = ENGINES.iter().map(|e| empty(e.name)).collect();
    let mut placed: Vec<Placed> = Vec::new();
    let mut native = (native::make)(program)?;
    let expected = outcome(native.as_mut(), program)?;
    for (index, (engine, cell)) in ENGINES.iter().zip(&mut cells).enumerate() {
        let checked = (engine.make)(program).and_then(|mut peer| {
            let found = outcome(peer.as_mut(), program)?;
            compare(&expected, &found)?;
            Ok(peer)
        });
        match checked {
            Ok(peer) => placed.push((index, peer)),
            Err(error) => {
                eprintln!("{} on {}: {error}", program.name, engine.name);
                cell.missing = Some(error.to_string());
            }
        }
    }
    let mut peers: Vec<&mut dyn Peer> = placed.iter_mut().map(|(_, peer)| peer.as_mut() as &mut dyn Peer).collect();
    let times = interleave(&mut peers, effort)?;
    let baseline = times.first().map_or(f64::NAN, |native| native.quarter);
    for ((index, _), times) in placed.iter().zip(times) {
        if let Some(cell) = cells.get_mut(*index) {
            cell.ns = Some(times.quarter);
            cell.median_ns = Some(times.median);
            cell.ratio = Some(times.quarter / baseline);
        }
    }
    Ok(Row { program: program.name, cells })
}

fn empty(engine: &'static str) -> Cell {
    Cell { engine, ns: None, median_ns: None, ratio: None, missing: None }
}

/// Results of the first runs, and the memory after them.
fn outcome(peer: &mut dyn Peer, program: &Program) -> Result<(Vec<u64>, Vec<u8>), Error> {
    peer.set_memory(&program.initial.0)?;
    let results = (0..COMPARED_RUNS).map(|_| peer.run()).collect::<Result<Vec<_>, _>>()?;
    Ok((results, peer.memory()?))
}

fn compare(expected: &(Vec<u64>, Vec<u8>), found: &(Vec<u64>, Vec<u8>)) -> Result<(), Error> {
    if expected.0 != found.0 {
        return Err(format!("wrong result: {:x?}, native code gives {:x?}", found.0, expected.0).into());
    }
    let differing = expected.1.iter().zip(&found.1).position(|(a, b)| a != b);
    differing.map_or(Ok(()), |at| Err(format!("wrong memory at byte {at} after the run").into()))
}

/// Geometric means of the engines' ratios, over the programs that each ran (and how many these are).
pub fn means(rows: &[Row]) -> Vec<(Option<f64>, usize)> {
    let of = |index: usize| rows.iter().filter_map(move |row| row.cells.get(index)?.ratio);
    (0..ENGINES.len()).map(|index| (geomean(of(index)), of(index).count())).collect()
}
