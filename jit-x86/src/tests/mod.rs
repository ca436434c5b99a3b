//! Tests of what is made; what it does when it runs is tested where it can be run, in the runtime.

mod encoding;
mod golden;
mod hostile;
mod layout;

use std::sync::Arc;

use backstop_ir::{Func, FuncId, Mem, OpKind, lower_unproven};
use backstop_isa::assemble;
use backstop_model::{BuiltinKfunc, MapKind, MapSpec, ProgKind, ProgType, Program, kfuncs};
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

use crate::{CompileError, CompileOptions, CpuFeatures, Image};

/// A program's functions from assembler text, its accesses declared plain. A `bpf_throw` is `call kfunc#0`.
fn functions(text: &str) -> (Vec<Func>, Option<FuncId>) {
    let slots = assemble(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let map = MapSpec::new("map", MapKind::Array, 4, 64, 8);
    let program = Program {
        name: "entry".to_owned(),
        section: String::new(),
        kind: ProgKind::new(ProgType::RawMem),
        slots,
        maps: vec![Arc::new(map)],
        kfuncs: vec![kfuncs::builtin(BuiltinKfunc::Throw).expect("a built-in kfunc")],
        btf: None,
        func_info: Vec::new(),
        line_info: Vec::new(),
        poisoned: Vec::new(),
        license: String::new(),
    };
    let ir = lower_unproven(&Arc::new(program)).expect("a program that can be lowered");
    let mut funcs = ir.funcs().to_vec();
    for op in funcs.iter_mut().flat_map(|f| &mut f.blocks).flat_map(|b| &mut b.ops) {
        declare_plain(&mut op.kind);
    }
    (funcs, ir.exception_callback())
}

fn declare_plain(kind: &mut OpKind) {
    match kind {
        OpKind::Load { mem, .. }
        | OpKind::Store { mem, .. }
        | OpKind::Atomic { mem, .. }
        | OpKind::LoadAcquire { mem, .. }
        | OpKind::StoreRelease { mem, .. } => *mem = Mem::Plain,
        _ => {}
    }
}

fn try_image(text: &str, options: &CompileOptions) -> Result<Image, CompileError> {
    let (mut funcs, callback) = functions(text);
    // Unproven code gets the whole of a stack; the tests want what they use.
    for func in &mut funcs {
        func.stack = stack_used(func);
    }
    crate::lower::image(&funcs, callback, options)
}

fn image(text: &str, options: &CompileOptions) -> Image {
    try_image(text, options).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn stack_used(func: &Func) -> u32 {
    let offsets = func.blocks.iter().flat_map(|b| &b.ops).filter_map(|op| match op.kind {
        OpKind::Load { base, off, .. } | OpKind::Store { base, off, .. } if base.index() == 10 => Some(off),
        _ => None,
    });
    let lowest = offsets.min().unwrap_or(0).min(0);
    lowest.unsigned_abs().next_multiple_of(8)
}

/// With and without the extensions and the merging of operations.
fn all_options() -> [CompileOptions; 4] {
    let bmi2 = CpuFeatures { bmi2: true };
    let plain = CompileOptions::default();
    [
        plain,
        CompileOptions { fuse: false, ..plain },
        CompileOptions { cpu: bmi2, ..plain },
        CompileOptions { cpu: bmi2, fuse: false, align_loops: false, exchange_at_tail_calls: true },
    ]
}

/// The instructions of each function; every byte belongs to one and all are valid.
fn decode(image: &Image) -> Vec<Vec<Instruction>> {
    let one = |start: u32, end: u32| {
        let bytes = &image.code[start as usize..end as usize];
        let instructions: Vec<_> = Decoder::with_ip(64, bytes, u64::from(start), DecoderOptions::NONE).iter().collect();
        for i in &instructions {
            assert!(!i.is_invalid(), "invalid code at {:#x}\n{}", i.ip(), text(image));
        }
        assert_eq!(instructions.last().map(Instruction::next_ip), Some(u64::from(end)), "{}", text(image));
        instructions
    };
    image.funcs.iter().map(|f| one(f.start, f.end)).collect()
}

/// The code as text, jump targets as offsets.
fn text(image: &Image) -> String {
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_show_branch_size(false);
    formatter.options_mut().set_rip_relative_addresses(true);
    let mut out = String::new();
    for func in &image.funcs {
        out += &format!("fn{}:\n", func.func.0);
        let bytes = &image.code[func.start as usize..func.end as usize];
        for i in Decoder::with_ip(64, bytes, u64::from(func.start), DecoderOptions::NONE).iter() {
            let mut line = String::new();
            formatter.format(&i, &mut line);
            out += &format!("{:4x}  {line}\n", i.ip());
        }
    }
    out
}
