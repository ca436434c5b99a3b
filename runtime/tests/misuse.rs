//! What an embedder can get wrong without `unsafe` is an error, never a call or an allocation that nobody meant.

mod common;

use backstop::model::{BuiltinKfunc, Kfunc, KfuncIdentity, Program as Linked, kfuncs};
use backstop::{Caller, Config, Engine, EngineError, GuestField, GuestStruct, Linker, LoadError, Loaded, Proof, Ptr};
use backstop::{Store, UnprovenProgram};
use common::host::{self, point};
use std::sync::Arc;

backstop::guest_struct! {
    /// Arrays beyond those that the standard library has defaults for.
    pub struct Long {
        /// Bytes.
        pub name: [u8; 64],
        /// Words.
        pub mut words: [u64; 33],
    }
}

/// Offers `host_add` as host.bpf.o declares it.
fn adder(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker.kfunc("host_add", |_: &mut Caller<'_, ()>, a: u64, b: u32| a + u64::from(b)).expect("a kfunc");
    linker
}

/// Offers something else under the same number: it would take the first word for a pointer.
fn reader(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    let read = |caller: &mut Caller<'_, ()>, at: Ptr<point>, _: u32| caller.read(at).map(|point| point.weight);
    linker.kfunc("other", read).expect("a kfunc");
    linker
}

/// A program that calls this kfunc in the place of `host_add`.
fn naming(engine: &Engine, kfunc: Arc<Kfunc>) -> Linked {
    let mut program = host::open(engine).link(&adder(engine), "adds").expect("a program");
    program.kfuncs = vec![kfunc];
    program
}

fn foreign<T: std::fmt::Debug>(result: Result<T, LoadError>, name: &str) {
    match result {
        Err(LoadError::OtherLinker { kfunc, .. }) => assert_eq!(kfunc, name),
        other => panic!("{other:?}"),
    }
}

engines! {
    fn a_program_is_loaded_by_the_linker_that_linked_it(engine: &Engine) {
        let (ours, theirs) = (adder(engine), reader(engine));
        let linked = host::open(engine).link(&ours, "adds").expect("a program");
        foreign(Loaded::from_program(&theirs, linked.clone()), "host_add");
        foreign(Loaded::from_program(&Linker::<()>::new(engine), linked.clone()), "host_add");
        // The same offer, made again: nobody compares prototypes.
        foreign(Loaded::from_program(&adder(engine), linked.clone()), "host_add");
        let proof = Proof::new(engine, linked).expect("a proof");
        foreign(Loaded::from_proof(&theirs, &proof), "host_add");
        let program = Loaded::from_proof(&ours, &proof).expect("its own linker").program("adds").expect("a program");
        let exit = program.run(&mut Store::new(engine, ()), backstop::Input::Packet(&mut backstop::Packet::new(&[0; 64])));
        assert_eq!(common::outcome(&exit.expect("a run")), (42, None));
    }

    fn a_prototype_of_ones_own_making_is_refused(engine: &Engine) {
        let linker = adder(engine);
        let own = host::open(engine).link(&linker, "adds").expect("a program").kfuncs.first().cloned().expect("a kfunc");
        let program = |kfunc| naming(engine, Arc::new(kfunc));
        foreign(Loaded::from_program(&linker, program((*own).clone())), "host_add");
        // A built-in function's place, with a prototype that it does not have.
        let mixed = Kfunc { identity: KfuncIdentity::Builtin(BuiltinKfunc::IterNumNew), ..(*own).clone() };
        let mut whole = host::open(engine).link(&linker, "adds").expect("a program");
        whole.kfuncs.push(Arc::new(mixed));
        foreign(Loaded::from_program(&linker, whole), "host_add");
        let throw = kfuncs::builtin(BuiltinKfunc::Throw).expect("a built-in kfunc");
        let mut renamed = (*throw).clone();
        renamed.identity = KfuncIdentity::Host(0);
        let mut whole = host::open(engine).link(&linker, "adds").expect("a program");
        whole.kfuncs.push(Arc::new(renamed));
        foreign(Loaded::from_program(&linker, whole), "bpf_throw");
    }

    fn long_arrays_are_fields(engine: &Engine) {
        let zero = Long::default();
        assert!(zero.name == [0; 64] && zero.words == [0; 33]);
        let words = GuestField { name: "words", offset: 64, size: 264, signed: false, writable: true };
        assert_eq!(Long::FIELDS.last(), Some(&words));
        Linker::<()>::new(engine).context::<Long>().expect("a context");
    }
}

#[test]
fn unproven_programs_are_held_to_their_linker_too() {
    let engine = common::engine(backstop::EngineChoice::Interpreter);
    let (ours, theirs) = (adder(&engine), reader(&engine));
    let mut linked = host::open(&engine).link(&ours, "adds").expect("a program");
    linked.kind = backstop::model::ProgKind { ty: backstop::model::ProgType::RawMem, ..linked.kind };
    foreign(UnprovenProgram::new(&theirs, linked.clone()), "host_add");
    UnprovenProgram::new(&ours, linked).expect("its own linker");
}

#[test]
fn cpu_slots_have_a_ceiling() {
    for asked in [Config::MAX_CPUS + 1, u32::MAX] {
        let refused = Engine::new(Config::new().cpus(asked)).expect_err("too many");
        assert!(matches!(refused, EngineError::TooManyCpus { asked: a, most: 4096 } if a == asked), "{refused}");
    }
    assert!(Engine::new(Config::new().cpus(Config::MAX_CPUS)).is_ok());
}
