//! Every reason to refuse is met by a test: a reason that no program meets is either dead or untested.
//!
//! The programs are the corpus in `cases/`, each judged as root and without privileges, and those made here for limits and
//! for what a program of text cannot say.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use backstop_btf::{BtfBuilder, Encoding, Linkage, TypeId};
use backstop_isa::Slot;
use backstop_model::{KernelBtf, Kfunc, KfuncFlags, KfuncIdentity, Poisoned, Program};
use backstop_verifier::{Limits, Options, Reason, verify};

use crate::cases_support::corpus::Case;
use crate::cases_support::{build, corpus};

/// Reasons that no program can meet: the second line of defence behind a check that comes first.
const BEHIND_ANOTHER: &[(&str, &str)] = &[
    ("SubprogStack", "no access reaches below a frame of 512 bytes"),
    ("VarStackSpill", "without privileges a variable offset into the stack is refused where it is made"),
    ("DynptrKindIs", "only what holds a reference is released, and that is always a ring buffer's"),
    ("DynptrConst", "a dynptr given to a callback is refused as unowned before"),
    ("HelperNotAcquired", "a released reference leaves no register that stands for it"),
    ("KfuncNotAcquired", "a released reference leaves no register that stands for it"),
    ("MapKeyNoMap", "every prototype has its map before the key"),
    ("UnrecognizedLdImm64", "addresses by file descriptor are refused where addresses are resolved"),
    ("KfuncUnsupported", "there are prototypes only of what is judged"),
    ("LockTwo", "a call of any helper but unlock is refused while a lock is held"),
];

fn options() -> [Options; 4] {
    let root = Options { compat_linux: true, kernel: KernelBtf::reduced(), ..Options::default() };
    let user = Options { unprivileged: true, ..root.clone() };
    let tight = Limits { insns: 60, jumps: 3, program: 200, comparisons: 20, ..root.limits };
    let bare = Options { kernel: KernelBtf::default(), ..root.clone() };
    [root.clone(), user, bare, Options { limits: tight, ..root }]
}

fn note(program: Program, met: &mut BTreeSet<&'static str>) {
    let program = Arc::new(program);
    for options in options() {
        if let Err(refusal) = verify(program.clone(), &options) {
            met.insert(refusal.reason.name());
            met.extend(refusal.reason.causes().map(Reason::name));
        }
    }
}

fn built(case: &Case) -> Program {
    build::program(case).unwrap_or_else(|why| panic!("{}: {why}", case.name))
}

/// A kfunc of a host's, called by a program that has nothing else.
fn with_host_kfunc(base: &Program, kfunc: Kfunc) -> Program {
    let call = |code, src, imm| Slot { code, dst: 0, src, off: 0, imm };
    let mut program = base.clone();
    program.slots = (1..=5).map(|dst| Slot { code: 0xb7, dst, src: 0, off: 0, imm: 0 }).collect();
    program.slots.extend([call(0x85, 2, 0), call(0xb7, 0, 0), call(0x95, 0, 0)]);
    (program.maps, program.btf, program.func_info) = (Vec::new(), None, Vec::new());
    program.kfuncs = vec![Arc::new(kfunc)];
    program
}

/// A kfunc with this many numbers as parameters; it gives a pointer to something without a size.
fn odd_kfunc(parameters: usize) -> Kfunc {
    let mut types = BtfBuilder::new();
    let int = types.int("int", 4, Encoding::Signed);
    let function = types.func_proto(TypeId::VOID, &[]);
    let result = types.ptr(function);
    let names: Vec<String> = (0..parameters).map(|n| format!("a{n}")).collect();
    let parameters: Vec<_> = names.iter().map(|name| (name.as_str(), int)).collect();
    let proto = types.func_proto(result, &parameters);
    let func = types.func("odd", proto, Linkage::Global);
    let btf = Arc::new(types.build().expect("types of a kfunc"));
    Kfunc { name: "odd".into(), identity: KfuncIdentity::Host(0), flags: KfuncFlags::default(), btf, func }
}

/// A kfunc that takes an object which RCU protects.
fn rcu_kfunc() -> Kfunc {
    let mut types = BtfBuilder::new();
    let word = types.int("unsigned long long", 8, Encoding::Unsigned);
    let object = types.structure("foo", 16, &[("a", word, 0), ("b", word, 64)]);
    let object = types.ptr(object);
    let proto = types.func_proto(word, &[("object", object)]);
    let func = types.func("peek", proto, Linkage::Global);
    let btf = Arc::new(types.build().expect("types of a kfunc"));
    let flags = KfuncFlags { rcu: true, ..KfuncFlags::default() };
    Kfunc { name: "peek".into(), identity: KfuncIdentity::Host(0), flags, btf, func }
}

/// Programs that the corpus has no words for, made from one that has a map, one with an exception callback and one that loads
/// a pointer from a map.
fn made(with_map: &Program, with_exception: &Program, with_kptr: &Program) -> Vec<Program> {
    let change = |base: &Program, how: &dyn Fn(&mut Program)| {
        let mut program = base.clone();
        how(&mut program);
        program
    };
    let exit = Slot { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 };
    let first_map = with_map.maps[0].clone();
    let many: Vec<Slot> = (0..65)
        .flat_map(|imm| [Slot { code: 0x18, dst: 1, src: 5, off: 0, imm }, Slot::default()])
        .chain([Slot { code: 0xb7, dst: 0, src: 0, off: 0, imm: 0 }, exit])
        .collect();
    let callback = with_exception.func_info[1];
    vec![
        change(with_map, &|p| p.slots.clear()),
        change(with_map, &|p| p.slots = vec![Slot { code: 0xb7, dst: 0, src: 0, off: 0, imm: 0 }; 300]),
        change(with_map, &|p| {
            p.slots = vec![Slot { code: 0x18, dst: 0, src: 3, off: 0, imm: 0 }, Slot::default(), exit];
        }),
        change(with_map, &|p| p.poisoned = vec![Poisoned { slot: 0, wanted: "struct foo".into() }]),
        change(with_map, &|p| (p.maps, p.slots) = (vec![first_map.clone(); 65], many.clone())),
        change(with_exception, &|p| p.func_info[0].slot = 1),
        change(with_exception, &|p| p.func_info[0].func = TypeId(1)),
        change(with_exception, &|p| p.func_info.truncate(1)),
        change(with_exception, &|p| {
            p.func_info = vec![p.func_info[0], backstop_model::FuncInfo { slot: 0, ..callback }]
        }),
        with_host_kfunc(with_map, odd_kfunc(6)),
        with_host_kfunc(with_map, odd_kfunc(1)),
        // The checked, untrusted pointer in r1 is passed where the program would set its result.
        change(with_kptr, &|p| {
            let at = p.slots.len() - 2;
            p.slots[at] = Slot { code: 0x85, dst: 0, src: 2, off: 0, imm: 0 };
            p.kfuncs = vec![Arc::new(rcu_kfunc())];
        }),
    ]
}

#[test]
fn every_reason_is_met() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let topics = corpus::read_all(&folder);
    let named = |topic: &str, name: &str| {
        let cases = topics.iter().filter(|t| t.name == topic).flat_map(|t| &t.cases);
        built(cases.into_iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no case {topic}: {name}")))
    };
    let mut met = BTreeSet::new();
    for case in topics.iter().flat_map(|topic| &topic.cases) {
        note(built(case), &mut met);
    }
    let with_exception = named("reasons", "tail-call/in-exception-callback");
    for program in made(&named("map_kinds", "lookup/array"), &with_exception, &named("reasons", "kptr/load-untrusted"))
    {
        note(program, &mut met);
    }
    println!("{} of {} reasons met", met.len(), Reason::NAMES.len());
    let behind = |name: &&str| BEHIND_ANOTHER.iter().any(|(known, _)| known == name);
    let missing: Vec<_> = Reason::NAMES.iter().filter(|name| !met.contains(*name) && !behind(name)).collect();
    let surprising: Vec<_> = met.iter().filter(|name| behind(name)).collect();
    assert!(missing.is_empty(), "met by no test: {missing:?}");
    assert!(surprising.is_empty(), "met although another check should come first: {surprising:?}");
}
