//! Mutants of real programs find what their programs can't show.
#![cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]

use backstop::ir::{Func, OpKind};
use backstop::isa::{AluOp, disassemble};
use backstop::{Config, Engine, Linker, PlantedFault as Fault};
use backstop_differ::{Columns, Mutator, Rules, Tried};

const OBJECT: &[u8] = include_bytes!("../../tests/objects/isa_v4.bpf.o");

/// The committed program without any exclusive or.
const PROGRAM: &str = "sdiv64";

fn program() -> backstop::model::Program {
    let engine = Engine::new(Config::new()).expect("an engine");
    let object = engine.open(OBJECT, "isa_v4.bpf.o").expect("the object opens");
    object.link(&Linker::<()>::new(&engine), PROGRAM).expect("the program")
}

/// Makes every exclusive or an or.
fn or_for_xor(funcs: &mut [Func]) {
    for op in funcs.iter_mut().flat_map(|func| &mut func.blocks).flat_map(|block| &mut block.ops) {
        if let OpKind::Alu { op: op @ AluOp::Xor, .. } = &mut op.kind {
            *op = AluOp::Or;
        }
    }
}

#[test]
fn a_fault_in_an_operation_that_the_program_lacks_is_found_and_reduced() {
    let program = program();
    let fault = Fault { functions: Some(|funcs| or_for_xor(funcs)), image: None };
    let planted =
        |more: &dyn Fn(Config) -> Config| Columns::configured(Rules::default(), &|config| more(config).fault(fault));
    let mut faulty = Mutator::with_columns(&planted);
    let mut mutants = (0..4000).map(|number| Mutator::mutant(&program, 4, number));
    let found = mutants.find(|mutant| matches!(faulty.attempt(mutant), Tried::Differs(_)));
    let reduced = faulty.reduce(&found.expect("a mutant shows the fault"), &|| false).expect("it shows it again");
    println!("{}{}", reduced.difference, disassemble(&reduced.program.slots));
    assert!(reduced.instructions() <= 10 && !reduced.cut_short);

    let mut sound = Mutator::new();
    let tried: Vec<Tried> = (0..400).map(|number| sound.attempt(&Mutator::mutant(&program, 4, number))).collect();
    assert!(!tried.iter().any(|tried| matches!(tried, Tried::Differs(_))), "{tried:?}");
    assert!(tried.iter().filter(|tried| matches!(tried, Tried::Same(_))).count() > 40, "{tried:?}");
}
