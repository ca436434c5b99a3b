//! The running kernel as one more column: programs are loaded and test-run there, nothing is attached.
//!
//! What goes there is what is safe there ([`left_out`]): nothing that prints (loading such a program switches a trace event of the system's
//! on), and none of the shapes that Linux 6.18 may not survive.

mod guard;
mod kernel;
mod known;
#[cfg(feature = "libbpf")]
mod libbpf;

pub use guard::{Judged, left_out, takes};
pub use kernel::{Guard, Kernel, Loaded};
pub use known::{KNOWN, Known, Side};
#[cfg(feature = "libbpf")]
pub use libbpf::ThroughLibbpf;

use backstop::isa::{Instr, decode};
use backstop::model::{MapKind, ProgType, Program};
use backstop::{Linker, Object, Packet};
use backstop_referee::{Referee, TestRun, Unavailable};

use crate::column::Columns;
use crate::observe::{End, Observed, Seen, takes_args, takes_packet};
use crate::trial::{Compare, Difference, Tried, What};

/// The kernel, found willing.
#[derive(Debug)]
pub struct Linux {
    referee: Referee,
}

/// What came of one program with Linux's column.
#[derive(Debug)]
pub struct TriedLinux {
    /// As without it.
    pub tried: Tried,
    /// Whether the kernel was asked.
    pub asked: bool,
    /// The same in words, with the reason if it was not.
    pub linux: String,
    /// The reason of a difference that is meant.
    pub known: Option<&'static str>,
}

impl From<Tried> for TriedLinux {
    fn from(tried: Tried) -> TriedLinux {
        TriedLinux { tried, asked: false, linux: "not asked".to_owned(), known: None }
    }
}

/// What the kernel made of a program.
#[derive(Debug)]
pub enum Made {
    /// It was not asked, for this reason.
    LeftOut(String),
    /// It refused it: the log's reason.
    Refused(String),
    /// It ran it. How a run ended is seen by its result alone.
    Ran(Observed),
}

impl Linux {
    /// Asks the kernel whether it takes programs from this process.
    ///
    /// # Errors
    /// Why it does not.
    pub fn open() -> Result<Linux, Unavailable> {
        Referee::open().map(|referee| Linux { referee })
    }

    /// Tries a program on the columns, which judge as Linux does, and on Linux.
    pub fn attempt(&self, columns: &mut Columns, program: &Program, inputs: &[Vec<u8>], insns: u64) -> TriedLinux {
        let inputs = self.inputs(program, inputs);
        let tried = columns.attempt(program, inputs, Compare::All, insns);
        let verified = match &tried {
            Tried::Same(ran) => ran.proof.as_ref().map(backstop::Proof::verified),
            Tried::Refused(_) => None,
            Tried::Unsupported(_) | Tried::PassedOver | Tried::Differs(_) => return tried.into(),
        };
        let load = || Kernel::new(&self.referee).load_alone(program, &|linked| left_out(linked, Judged::of(verified)));
        let theirs = self.make(program, verified.is_some(), inputs, &load);
        let proved = verified.is_some();
        judge(program, tried, proved, theirs)
    }

    /// Tries a program of an object on the columns, which judge as Linux does, and on Linux.
    pub fn attempt_object(
        &self,
        columns: &mut Columns,
        opened: &[Object],
        name: &str,
        inputs: &dyn Fn(&Program) -> Vec<Vec<u8>>,
    ) -> TriedLinux {
        let tried = columns.attempt_object(opened, name, inputs, Compare::Cautious);
        let Some(object) = opened.first() else { return tried.into() };
        if matches!(tried, Tried::PassedOver | Tried::Differs(_)) {
            return tried.into();
        }
        let linker = Linker::<()>::new(object.engine());
        let linked = match object.link(&linker, name) {
            Ok(linked) => linked,
            Err(error) => return TriedLinux { linux: format!("left out: {error}"), ..tried.into() },
        };
        let proved = object.verify(&linker, name).is_ok();
        // What `.values` names comes along, and must be as safe there.
        let guard = |target: &Program| {
            let verified = object.verify(&linker, &target.name);
            left_out(target, Judged::of(verified.as_ref().ok()))
        };
        let load = || Kernel::new(&self.referee).load(object, &linker, &linked, &guard);
        let inputs = inputs(&linked);
        let per_cpu = linked.maps.iter().any(|map| map.kind.info().per_cpu);
        if per_cpu && tells_processor(&linked) {
            return TriedLinux { linux: "left out: it tells which processor it runs on".to_owned(), ..tried.into() };
        }
        if per_cpu && inputs.len() > 1 {
            return TriedLinux { linux: "left out: runs may be on several processors".to_owned(), ..tried.into() };
        }
        let theirs = self.make(&linked, matches!(tried, Tried::Same(_)), &inputs, &load);
        judge(&linked, tried, proved, theirs)
    }

    /// With per-CPU maps one run alone: the next may be on another processor.
    fn inputs<'i>(&self, program: &Program, inputs: &'i [Vec<u8>]) -> &'i [Vec<u8>] {
        let per_cpu = program.maps.iter().any(|map| map.kind.info().per_cpu);
        inputs.get(..1).filter(|_| per_cpu).unwrap_or(inputs)
    }

    /// Loads a program and, if Backstop takes it too, runs it on each input in turn.
    fn make(
        &self,
        program: &Program,
        taken: bool,
        inputs: &[Vec<u8>],
        load: &dyn Fn() -> Result<Result<Loaded, String>, String>,
    ) -> Made {
        if !inputs.iter().all(|input| takes(program.kind.ty, input)) {
            return Made::LeftOut("the kernel's test run does not take this packet".to_owned());
        }
        match load() {
            Ok(Ok(loaded)) if taken && loaded.program.prog_type().has_test_run() => {
                self.observe(program, &loaded, inputs).map_or_else(Made::LeftOut, Made::Ran)
            }
            // What is refused here is not run there: Backstop may know better.
            Ok(Ok(_)) => Made::Ran(Observed::default()),
            Ok(Err(reason)) => Made::Refused(reason),
            Err(why) => Made::LeftOut(why),
        }
    }

    fn observe(&self, program: &Program, loaded: &Loaded, inputs: &[Vec<u8>]) -> Result<Observed, String> {
        let mut observed = Observed::default();
        let ty = program.kind.ty;
        for input in inputs {
            let packet = takes_packet(ty);
            let given = if packet { TestRun::packet(input) } else { TestRun::context(input) };
            let made = self.referee.test_run(&loaded.program, &given).map_err(|e| e.to_string())?;
            let data = if packet { made.data_out } else { made.ctx_out };
            observed.runs.push(Seen { end: End::Returned(u64::from(made.retval)), data, fields: Vec::new() });
        }
        for spec in program.maps.iter().filter(|spec| readable(spec.kind)) {
            let Some(map) = loaded.map(&spec.name) else { continue };
            let mut entries = map.entries().map_err(|e| e.to_string())?;
            entries.sort();
            observed.maps.insert(spec.name.clone(), entries);
        }
        Ok(observed)
    }
}

/// What both sides make of a program. `proved`: Backstop's verdict, whether it can run the program or not.
fn judge(program: &Program, tried: Tried, proved: bool, theirs: Made) -> TriedLinux {
    let asked = |tried| TriedLinux { tried, asked: true, linux: "asked".to_owned(), known: None };
    let (what, made) = match (&tried, theirs) {
        (_, Made::LeftOut(why)) => return TriedLinux { linux: format!("left out: {why}"), ..tried.into() },
        (Tried::Same(ran), Made::Ran(observed)) => match difference(program, &ran.observed, &observed) {
            Some(difference) => difference,
            None => return asked(tried),
        },
        (Tried::Refused(ours), Made::Ran(_)) => (What::Verdict, [ours.clone(), TAKES.to_owned()]),
        (Tried::Same(_), Made::Refused(theirs)) => (What::Verdict, [TAKES.to_owned(), theirs]),
        (Tried::Unsupported(_), Made::Refused(theirs)) if proved => (What::Verdict, [TAKES.to_owned(), theirs]),
        (Tried::Refused(_), Made::Refused(_)) | (Tried::Unsupported(_), _) => return asked(tried),
        (Tried::PassedOver | Tried::Differs(_), _) => return tried.into(),
    };
    let columns = ["backstop".to_owned(), "linux".to_owned()];
    let difference = Difference { what, columns, made };
    match known::find(&difference) {
        Some(known) => TriedLinux { known: Some(known.reason), ..asked(tried) },
        None => asked(Tried::Differs(Box::new(difference))),
    }
}

/// What a side that does not refuse says.
const TAKES: &str = "takes it";

/// Kinds whose content is the same wherever the program ran.
fn readable(kind: MapKind) -> bool {
    matches!(kind, MapKind::Hash | MapKind::Array)
}

/// What of a run both sides can see.
fn difference(program: &Program, ours: &Observed, theirs: &Observed) -> Option<(What, [String; 2])> {
    let ty = program.kind.ty;
    if theirs.runs.is_empty() {
        return None;
    }
    for (n, (a, b)) in ours.runs.iter().zip(&theirs.runs).enumerate() {
        let (left, right) = (a.end.value().map(|value| value as u32), b.end.value().map(|value| value as u32));
        if left != right {
            let text = |end: &End| format!("run {n}: {end:x?}");
            return Some((What::End, [text(&a.end), text(&b.end)]));
        }
        let meta = if ty == ProgType::Xdp { a.fields.get(5).copied().unwrap_or(0) as usize } else { 0 };
        let data = a.data.get(meta..).unwrap_or_default();
        // Types below Ethernet give another header back than they were given.
        let out = if takes_packet(ty) { Packet::new(data).data_out(&program.kind) } else { data.to_vec() };
        let data = out.as_slice();
        if !takes_args(ty) && data != b.data {
            return Some((What::Data, [format!("run {n}: {data:x?}"), format!("run {n}: {:x?}", b.data)]));
        }
    }
    for (name, b) in &theirs.maps {
        let a = ours.maps.get(name);
        if a != Some(b) {
            return Some((What::Maps, [format!("{name}: {a:x?}"), format!("{name}: {b:x?}")]));
        }
    }
    None
}

/// Calls `bpf_get_smp_processor_id`, whose answer is another for each run.
fn tells_processor(program: &Program) -> bool {
    (0..program.slots.len()).any(|slot| matches!(decode(&program.slots, slot), Ok(Instr::CallHelper { id: 8 })))
}
