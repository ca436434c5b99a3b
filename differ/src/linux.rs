//! The running kernel as one more column: programs are loaded and test-run there, nothing is attached.
//!
//! What goes there is what is safe there: nothing that prints (loading such a program switches a trace event of the system's on), and no
//! exception callback of the program's own unless every subprogram is sure to be reached (Linux 6.18 does not survive it otherwise).

mod kernel;
mod known;

pub use kernel::{Guard, Kernel, Loaded};

use backstop::isa::{Instr, Pseudo, decode};
use backstop::model::{MapKind, ProgType, Program};
use backstop::verifier::Verified;
use backstop::{Linker, Object, Packet};
use backstop_referee::{Referee, TestRun, Unavailable};

use crate::column::Columns;
use crate::observe::{End, Observed, Seen, takes_args, takes_packet};
use crate::trial::{Compare, Difference, Tried, What};

/// `bpf_trace_printk` and `bpf_trace_vprintk`.
const PRINTS: [i32; 2] = [6, 177];

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
            Tried::PassedOver | Tried::Differs(_) => return tried.into(),
        };
        let load = || Kernel::new(&self.referee).load_alone(program, &|linked| left_out(linked, verified));
        let theirs = self.make(program, verified.is_some(), inputs, &load);
        judge(program, tried, theirs)
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
        let (Tried::Same(_) | Tried::Refused(_), Some(object)) = (&tried, opened.first()) else { return tried.into() };
        let linker = Linker::<()>::new(object.engine());
        let Ok(linked) = object.link(&linker, name) else { return tried.into() };
        // What `.values` names comes along, and must be as safe there.
        let guard = |target: &Program| left_out(target, object.verify(&linker, &target.name).as_ref().ok());
        let load = || Kernel::new(&self.referee).load(object, &linker, &linked, &guard);
        let inputs = inputs(&linked);
        if linked.maps.iter().any(|map| map.kind.info().per_cpu) && inputs.len() > 1 {
            return TriedLinux { linux: "left out: runs may be on several processors".to_owned(), ..tried.into() };
        }
        let theirs = self.make(&linked, matches!(tried, Tried::Same(_)), &inputs, &load);
        judge(&linked, tried, theirs)
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

/// What both sides make of a program.
fn judge(program: &Program, tried: Tried, theirs: Made) -> TriedLinux {
    let asked = |tried| TriedLinux { tried, asked: true, linux: "asked".to_owned(), known: None };
    let (what, made) = match (&tried, theirs) {
        (_, Made::LeftOut(why)) => return TriedLinux { linux: format!("left out: {why}"), ..tried.into() },
        (Tried::Same(ran), Made::Ran(observed)) => match difference(program, &ran.observed, &observed) {
            Some(difference) => difference,
            None => return asked(tried),
        },
        (Tried::Refused(_), Made::Refused(_)) => return asked(tried),
        (Tried::Refused(ours), Made::Ran(_)) => (What::Verdict, [ours.clone(), "takes it".to_owned()]),
        (_, Made::Refused(theirs)) => (What::Verdict, ["takes it".to_owned(), theirs]),
        (_, Made::Ran(_)) => return tried.into(),
    };
    let columns = ["backstop".to_owned(), "linux".to_owned()];
    let difference = Difference { what, columns, made };
    match known::reason(program, &difference) {
        Some(reason) => TriedLinux { known: Some(reason), ..asked(tried) },
        None => asked(Tried::Differs(Box::new(difference))),
    }
}

/// Kinds whose content is the same wherever the program ran.
fn readable(kind: MapKind) -> bool {
    matches!(kind, MapKind::Hash | MapKind::Array)
}

/// Why a program does not go to the kernel, if so.
fn left_out(program: &Program, verified: Option<&Verified>) -> Option<&'static str> {
    if program.kind.ty.linux_number().is_none() {
        return Some("Linux has no such type");
    }
    if matches!(program.kind.ty, ProgType::Tracing | ProgType::Lsm | ProgType::StructOps | ProgType::Ext) {
        return Some("it is written for a function of one kernel");
    }
    let prints =
        |slot: usize| matches!(decode(&program.slots, slot), Ok(Instr::CallHelper { id }) if PRINTS.contains(&id));
    if (0..program.slots.len()).any(prints) {
        return Some("it prints, which switches a trace event on");
    }
    let main = program.func_info.first().map(|info| info.func);
    let tagged = |btf: &backstop::btf::Btf| {
        main.is_some_and(|main| btf.decl_tags(main, None).any(|tag| tag.starts_with("exception_callback:")))
    };
    let facts = verified.map(Verified::facts);
    let all_reached = facts.is_some_and(|facts| {
        let mut all = facts.subprograms.iter().enumerate();
        all.all(|(n, function)| function.reached || facts.exception_callback == Some(n))
    });
    let names_function =
        |slot: usize| matches!(decode(&program.slots, slot), Ok(Instr::LoadPseudo { kind: Pseudo::Func, .. }));
    if verified.is_some() && !all_reached && (0..program.slots.len()).any(names_function) {
        return Some(
            "a callback that no path walks: Linux 6.18 ends with an internal error where it compiles the program",
        );
    }
    if (0..program.slots.len()).any(names_function) && loops(program) {
        return Some("a callback beside a loop: Linux 6.18's precision tracking may follow a null pointer there");
    }
    if !program.btf.as_ref().is_some_and(|btf| tagged(btf)) {
        return None;
    }
    (!all_reached)
        .then_some("an exception callback beside a subprogram that may be dead: Linux 6.18 does not survive it")
}

/// Jumps backwards, or walks an open-coded iterator.
fn loops(program: &Program) -> bool {
    let back = |slot: usize| match decode(&program.slots, slot) {
        Ok(Instr::Jump { off, .. }) => off < 0,
        Ok(Instr::Branch { off, .. }) => off < 0,
        Ok(Instr::MayGoto { .. }) => true,
        _ => false,
    };
    program.kfuncs.iter().any(|kfunc| kfunc.name.starts_with("bpf_iter_")) || (0..program.slots.len()).any(back)
}

/// Whether the kernel's test run takes this input for a type: for those that read an skb an IP header must be whole.
fn takes(ty: ProgType, bytes: &[u8]) -> bool {
    if !takes_packet(ty) {
        return true;
    }
    let least = match bytes.get(12..14) {
        Some([0x08, 0x00]) if ty != ProgType::Xdp => 34,
        Some([0x86, 0xdd]) if ty != ProgType::Xdp => 54,
        _ => 14,
    };
    bytes.len() >= least && bytes.len() <= 3000
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
