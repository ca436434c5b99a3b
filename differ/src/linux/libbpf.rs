//! libbpf beside Backstop's own linking: the same instructions, and the same verdict of the kernel.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use backstop::btf::Btf;
use backstop::isa::Slot;
use backstop::model::{MapKind, Program};
use backstop::{Linker, Object};
use backstop_libbpf::{Relocated, Verdict, judge};
use backstop_referee::{KernelTypes, TypeKind, VerifierLog};

use super::guard::{Judged, left_out};
use super::{Kernel, Linux, TAKES};
use crate::trial::{Difference, What};

/// The kernel's own types, against which libbpf resolves CO-RE relocations.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// `ld_imm64`, and what its source register says: a map by index and its value, the same by file descriptor.
const LD_IMM64: u8 = 0x18;
const BY_INDEX: [u8; 2] = [5, 6];
const BY_FD: [u8; 2] = [1, 2];
/// The address of a kernel symbol by its id. Backstop's own is 1: all that may be asked of it is whether there is one.
const BY_ID: u8 = 3;
/// A call of a kfunc.
const CALL: u8 = 0x85;
const KFUNC: u8 = 2;
/// Calls of a weak kfunc that is missing: each linker adds a number of its own.
const MISSING: std::ops::Range<i32> = 2_002_000_000..2_003_000_000;
/// libbpf makes ready the whole object. What of it concerns other programs, or old forms that it no longer takes, says nothing of this one.
const LIMITS: [&str; 2] = ["extern ", "legacy map definitions"];

/// What libbpf makes of a program, beside Backstop's linking.
#[derive(Debug)]
pub enum ThroughLibbpf {
    /// The same instructions, and the kernel says the same.
    Same,
    /// It was not asked, or can't be compared, for this reason.
    LeftOut(String),
    /// Something else.
    Differs(Box<Difference>),
}

impl Linux {
    /// Relocates and loads a program of an object by libbpf, `bytes` being the object's and `stem` its name.
    pub fn through_libbpf(&self, object: &Object, bytes: &[u8], stem: &str, name: &str) -> ThroughLibbpf {
        let mut linker = Linker::<()>::new(object.engine());
        if let Some(types) = kernel_types() {
            linker.btf(types);
        }
        let programs = match Together::new(object, &linker, name) {
            Ok(programs) => programs,
            Err(why) => return ThroughLibbpf::LeftOut(why),
        };
        let Some(linked) = programs.all.first() else { return ThroughLibbpf::LeftOut("no program".to_owned()) };
        let names: Vec<&str> = programs.all.iter().map(|program| program.name.as_str()).collect();
        let theirs = match judge(bytes, stem, &names) {
            Ok(theirs) => theirs,
            Err(error) if LIMITS.iter().any(|limit| error.to_string().contains(limit)) => {
                return ThroughLibbpf::LeftOut(error.to_string());
            }
            Err(error) => return differs(What::Instructions, ["links it".to_owned(), error.to_string()]),
        };
        if let Some(made) = other_instructions(linked, &theirs.relocated) {
            return differs(What::Instructions, made);
        }
        let guard = |target: &Program| guarded(object, &linker, target);
        match (Kernel::new(&self.referee).load(object, &linker, linked, &guard), theirs.verdict) {
            (Err(why), _) => ThroughLibbpf::LeftOut(why),
            (Ok(Ok(_)), Verdict::Loaded) | (Ok(Err(_)), Verdict::Refused { .. }) => ThroughLibbpf::Same,
            (Ok(Ok(_)), Verdict::Refused { log }) => {
                let reason = VerifierLog::new(log).reason().unwrap_or_default().to_owned();
                differs(What::Verdict, [TAKES.to_owned(), reason])
            }
            (Ok(Err(reason)), Verdict::Loaded) => differs(What::Verdict, [reason, TAKES.to_owned()]),
        }
    }
}

fn differs(what: What, made: [String; 2]) -> ThroughLibbpf {
    let columns = ["backstop's linking".to_owned(), "libbpf's".to_owned()];
    ThroughLibbpf::Differs(Box::new(Difference { what, columns, made }))
}

fn guarded(object: &Object, linker: &Linker<()>, program: &Program) -> Option<&'static str> {
    let verified = object.verify(linker, &program.name);
    left_out(program, Judged::of(verified.as_ref().ok()))
}

fn kernel_types() -> Option<Arc<Btf>> {
    static TYPES: OnceLock<Option<Arc<Btf>>> = OnceLock::new();
    let read = || Some(Arc::new(Btf::parse(&std::fs::read(VMLINUX).ok()?).ok()?));
    TYPES.get_or_init(read).clone()
}

/// A program and those that its prog_arrays name, each linked and safe to load.
struct Together {
    all: Vec<Program>,
}

impl Together {
    fn new(object: &Object, linker: &Linker<()>, name: &str) -> Result<Together, String> {
        let mut all: Vec<Program> = Vec::new();
        let mut names = vec![name.to_owned()];
        while let Some(name) = names.pop() {
            if all.iter().any(|program| program.name == name) {
                continue;
            }
            let linked = object.link(linker, &name).map_err(|error| error.to_string())?;
            if let Some(why) = guarded(object, linker, &linked) {
                return Err(format!("{name} stays here: {why}"));
            }
            let arrays = linked.maps.iter().filter(|map| map.kind == MapKind::ProgArray);
            names.extend(arrays.flat_map(|map| &map.values).map(|(_, target)| target.clone()));
            all.push(linked);
        }
        Ok(Together { all })
    }
}

/// The first instructions that are not the same, if there are any. What stands for a map or a kfunc is compared by what it names.
fn other_instructions(ours: &Program, theirs: &Relocated) -> Option<[String; 2]> {
    let maps: HashMap<i32, &str> = theirs.maps.iter().map(|(fd, name)| (*fd, name.as_str())).collect();
    let slots: Vec<Slot> = theirs.slots.iter().map(|bytes| Slot::from_bytes(*bytes)).collect();
    for (at, (a, b)) in ours.slots.iter().zip(&slots).enumerate() {
        let (left, right) = (our_name(ours, a), their_name(&maps, b, &left_kfunc(ours, a)));
        if left != right {
            return Some([format!("slot {at}: {left}"), format!("slot {at}: {right}")]);
        }
    }
    (ours.slots.len() != slots.len()).then(|| [ours.slots.len(), slots.len()].map(|count| format!("{count} slots")))
}

/// What a slot says, whoever linked it.
fn text(slot: &Slot, src: u8, imm: &dyn std::fmt::Display) -> String {
    format!("code {:#04x}, dst r{}, src {src}, off {}, imm {imm}", slot.code, slot.dst, slot.off)
}

fn our_name(program: &Program, slot: &Slot) -> String {
    let index = usize::try_from(slot.imm).unwrap_or(usize::MAX);
    match slot.code {
        LD_IMM64 if BY_INDEX.contains(&slot.src) => {
            let name = program.maps.get(index).map_or("no map", |map| map.name.as_str());
            text(slot, slot.src, &format_args!("map {}", of_section(name)))
        }
        CALL if slot.src == KFUNC && slot.off == 0 => text(slot, slot.src, &kfunc(program, index)),
        CALL if MISSING.contains(&slot.imm) => text(slot, slot.src, &"a missing kfunc"),
        _ => text(slot, slot.src, &slot.imm),
    }
}

fn kfunc(program: &Program, index: usize) -> String {
    program.kfuncs.get(index).map_or_else(|| "no kfunc".to_owned(), |kfunc| format!("kfunc {}", kfunc.name))
}

/// The kfunc that our slot calls.
fn left_kfunc(program: &Program, slot: &Slot) -> Option<String> {
    let calls = slot.code == CALL && slot.src == KFUNC && slot.off == 0;
    let index = usize::try_from(slot.imm).ok().filter(|_| calls)?;
    program.kfuncs.get(index).map(|kfunc| kfunc.name.clone())
}

fn their_name(maps: &HashMap<i32, &str>, slot: &Slot, expected: &Option<String>) -> String {
    let by_fd = BY_FD.iter().position(|src| *src == slot.src).and_then(|at| BY_INDEX.get(at));
    match (slot.code, by_fd, expected) {
        (LD_IMM64, Some(src), _) => {
            let name = maps.get(&slot.imm).copied().unwrap_or("no map");
            text(slot, *src, &format_args!("map {}", of_section(name)))
        }
        (CALL, _, Some(name)) if slot.src == KFUNC && slot.off == 0 => {
            // The other way round, since ids are looked up by name.
            let id = KernelTypes::get().and_then(|types| types.find(TypeKind::Func, name));
            let same = id.is_ok_and(|id| i64::from(id) == i64::from(slot.imm));
            let named = if same { format!("kfunc {name}") } else { format!("kernel function {}", slot.imm) };
            text(slot, slot.src, &named)
        }
        (CALL, _, None) if MISSING.contains(&slot.imm) => text(slot, slot.src, &"a missing kfunc"),
        (LD_IMM64, None, _) if slot.src == BY_ID => text(slot, 0, &1),
        _ => text(slot, slot.src, &slot.imm),
    }
}

/// Maps of global data are named by the object and the section; how much of the object's name is there is no matter.
fn of_section(name: &str) -> &str {
    name.find('.').and_then(|at| name.get(at..)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use backstop::model::{ProgKind, ProgType};

    use super::*;

    /// r1 = map; call 1; exit, with the map in slot 0.
    fn program() -> Program {
        let text = "type: xdp\nmap: m hash 4 8 1\nmap: object.bss array 4 8 1\ncode:\nr1 = map[0] ll\nr2 = map[1] ll\ncall 1\nexit\n";
        let case: crate::Case = text.parse().expect("a case");
        Program { kind: ProgKind::new(ProgType::Xdp), ..case.program }
    }

    fn theirs(slots: &[Slot]) -> Relocated {
        let by_fd = |slot: &Slot| match slot.code {
            LD_IMM64 => Slot { src: 1, imm: 30 + slot.imm, ..*slot },
            _ => *slot,
        };
        let maps = vec![(30, "m".to_owned()), (31, "obj.bss".to_owned())];
        Relocated { slots: slots.iter().map(|slot| by_fd(slot).to_bytes()).collect(), maps }
    }

    #[test]
    fn descriptors_are_compared_by_what_they_name() {
        let ours = program();
        assert_eq!(other_instructions(&ours, &theirs(&ours.slots)), None);
        let mut swapped = theirs(&ours.slots);
        for (fd, _) in &mut swapped.maps {
            *fd = 61 - *fd;
        }
        let [left, right] = other_instructions(&ours, &swapped).expect("a difference");
        assert!(left.contains("slot 0") && left.ends_with("map m") && right.ends_with("map .bss"), "{left}\n{right}");
    }

    #[test]
    fn any_other_field_counts() {
        let ours = program();
        for at in 0..ours.slots.len() {
            for change in [
                |slot: &mut Slot| slot.dst ^= 1,
                |slot: &mut Slot| slot.off ^= 1,
                |slot: &mut Slot| slot.imm ^= 0x100,
                |slot: &mut Slot| slot.code ^= 0x40,
            ] {
                let mut relocated = theirs(&ours.slots);
                let mut slot = Slot::from_bytes(relocated.slots[at]);
                change(&mut slot);
                relocated.slots[at] = slot.to_bytes();
                let [left, _] = other_instructions(&ours, &relocated).expect("a difference");
                assert!(left.starts_with(&format!("slot {at}: ")), "{left}");
            }
        }
        let shorter = theirs(&ours.slots[..ours.slots.len() - 1]);
        assert!(other_instructions(&ours, &shorter).is_some_and(|[left, right]| left != right));
    }
}
