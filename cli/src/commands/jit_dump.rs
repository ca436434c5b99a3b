//! `backstop jit-dump`: BPF instructions, the IR and the machine code that the JIT made of them, interleaved.

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
pub use native::jit_dump;

/// Says that there is nothing to dump.
#[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux")))]
pub fn jit_dump(_: &crate::args::JitDumpArgs) -> crate::failure::Result {
    let why = "this build of backstop has no JIT; build it for x86-64 Linux with the feature `jit`";
    Err(crate::failure::Failure::Usage(why.to_owned()))
}

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
mod native {
    use backstop::ir::{Callee, FuncId, Ir, OpId, Proven};
    use backstop::{Config, EngineChoice, Program};
    use backstop_jit_x86::{Image, ListingRow, Symbol};
    use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

    use crate::args::JitDumpArgs;
    use crate::failure::{Outcome, Result};
    use crate::output::{Out, note};
    use crate::session::{self, Session};

    /// Column in which remarks begin.
    const REMARK: usize = 56;

    /// `backstop jit-dump`.
    pub fn jit_dump(args: &JitDumpArgs) -> Result {
        let config: Config = session::config(&args.judging).engine(EngineChoice::Jit);
        let engine = session::engine(config)?;
        let mut session = Session::open(&engine, &args.object, &args.judging)?;
        let (mut out, mut outcome) = (Out::new(), Outcome::Done);
        let names = session.wanted(&args.object, args.program.as_deref())?;
        session.fix_memory(&names, args.memory.data_size)?;
        for name in names {
            let loaded = session.object.load_programs(&session.linker, &[name.as_str()]);
            match loaded.and_then(|l| Ok(l.program(&name)?)) {
                Ok(program) => dump(&program).iter().try_for_each(|line| out.line(line))?,
                Err(error) => {
                    outcome = Outcome::Refused;
                    note(session.explain(&name, &error).trim_end());
                }
            }
        }
        Ok(outcome)
    }

    fn dump(program: &Program<()>) -> Vec<String> {
        let Some(image) = program.image() else { return Vec::new() };
        let (ir, size, code) = (program.ir(), image.size(), image.code.len());
        let mut out = vec![format!(
            "program {}: {size} bytes, {code} of them code, native stack {}",
            program.name(),
            image.native_stack
        )];
        if let Some(boundary) = &image.boundary {
            let below = boundary.sp_below_rbp;
            out.push(format!("boundary: sp is rbp - {below}, exception callback at {:#x}", boundary.callback));
        }
        let rows = image.listing();
        let mut dump = Dump { ir, ops: operations(ir), out, func: None, slot: None, line: None, fresh: 0 };
        for (i, row) in rows.iter().enumerate() {
            dump.front(row, rows.get(i.saturating_add(1)));
            dump.out.extend(machine(ir, image, row));
        }
        dump.out.push(String::new());
        dump.out
    }

    /// A dump under way.
    struct Dump<'a> {
        ir: &'a Ir<Proven>,
        /// The IR's text by operation.
        ops: Vec<String>,
        out: Vec<String>,
        func: Option<FuncId>,
        /// What was shown last, so that it is shown once.
        slot: Option<u32>,
        line: Option<(u32, u32)>,
        /// The first operation that was not shown yet.
        fresh: u32,
    }

    impl Dump<'_> {
        /// What the bytes of a row were made from: BPF and IR.
        fn front(&mut self, row: &ListingRow, next: Option<&ListingRow>) {
            if self.func != Some(row.func) {
                self.func = Some(row.func);
                self.slot = None;
                self.out.push(format!("\n{}:", function(self.ir, row.func)));
            }
            // Several operations may have become one instruction: a row stands for all up to the next, cold code for its own.
            let follows = next.filter(|n| n.func == row.func && row.op.0 >= self.fresh && n.op > row.op);
            let end = follows.map_or_else(|| row.op.0.saturating_add(1), |n| n.op.0);
            self.fresh = self.fresh.max(end);
            for op in row.op.0..end {
                let slot = self.ir.position(OpId(op)).and_then(|p| p.slot);
                if let Some(at) = slot.filter(|_| slot != self.slot) {
                    self.bpf(at);
                }
                self.slot = slot;
                self.out.extend(self.ops.get(op as usize).map(|text| format!("    | {text}")));
            }
        }

        fn bpf(&mut self, slot: u32) {
            let program = self.ir.program();
            let line = program.line_at(slot);
            let place = line.map(|l| (l.file, l.line));
            if place != self.line {
                self.out.extend(line.and_then(|l| program.source_text(l)).map(|text| format!("; {text}")));
            }
            self.line = place;
            self.out.push(format!("{slot:>6}: {}", program.instruction_text(slot).unwrap_or_default()));
        }
    }

    fn function(ir: &Ir<Proven>, id: FuncId) -> String {
        ir.func(id).map_or_else(|| format!("f{}", id.0), |f| format!("{} (f{})", f.name, id.0))
    }

    /// The IR's text by operation, whose ids are dense. It prints functions in order: a header, then for each block a label, operations, a terminator.
    fn operations(ir: &Ir<Proven>) -> Vec<String> {
        let text = ir.to_string();
        let mut lines = text.lines();
        let mut ops = Vec::new();
        for (index, func) in ir.funcs().iter().enumerate() {
            // A blank line stands between functions; the header follows.
            let before = if index > 0 { 2 } else { 1 };
            lines.by_ref().take(before).for_each(drop);
            for block in &func.blocks {
                let label = lines.next().unwrap_or_default().trim_end_matches(':');
                let own = lines.by_ref().take(block.ops.len().saturating_add(1));
                ops.extend(own.enumerate().map(|(i, line)| match i {
                    0 => format!("{label}: {}", line.trim()),
                    _ => line.trim().to_owned(),
                }));
            }
        }
        ops
    }

    fn machine(ir: &Ir<Proven>, image: &Image, row: &ListingRow) -> Vec<String> {
        let bytes = image.code.get(row.start as usize..row.end as usize).unwrap_or_default();
        let mut decoder = Decoder::with_ip(64, bytes, u64::from(row.start), DecoderOptions::NONE);
        let mut formatter = IntelFormatter::new();
        let options = formatter.options_mut();
        options.set_hex_prefix("0x");
        options.set_hex_suffix("");
        options.set_uppercase_hex(false);
        options.set_branch_leading_zeros(false);
        options.set_space_after_operand_separator(true);
        options.set_rip_relative_addresses(true);
        let (mut out, mut instruction, mut text) = (Vec::new(), Instruction::default(), String::new());
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            text.clear();
            formatter.format(&instruction, &mut text);
            let line = format!("    {:>6x}  {text}", instruction.ip());
            out.push(match remark(ir, image, &instruction) {
                Some(remark) => format!("{line:<REMARK$}; {remark}"),
                None => line,
            });
        }
        out
    }

    /// What an address in the pool, or the target of a call, is.
    fn remark(ir: &Ir<Proven>, image: &Image, instruction: &Instruction) -> Option<String> {
        if instruction.is_ip_rel_memory_operand() {
            let at = instruction.ip_rel_memory_address().checked_sub(u64::from(image.pool_offset()))?;
            return image.pool.get(usize::try_from(at / 8).ok()?).map(|s| symbol(ir, *s));
        }
        if instruction.is_call_near() {
            let target = u32::try_from(instruction.near_branch_target()).ok()?;
            return image.funcs.iter().find(|f| f.start == target).map(|f| function(ir, f.func));
        }
        None
    }

    fn symbol(ir: &Ir<Proven>, symbol: Symbol) -> String {
        let map = |id: backstop::ir::MapId| {
            ir.maps().get(id.0 as usize).map_or_else(|| format!("#{}", id.0), |m| m.name.clone())
        };
        match symbol {
            Symbol::Native(callee) => match ir.callees().get(callee.0 as usize) {
                Some(Callee::Helper(id)) => {
                    backstop::model::helpers::name(*id).map_or_else(|| format!("helper {id}"), |n| format!("bpf_{n}"))
                }
                Some(Callee::Kfunc(index)) => {
                    ir.kfunc(*index).map_or_else(|| format!("kfunc {index}"), |k| k.name.clone())
                }
                None => format!("callee {}", callee.0),
            },
            Symbol::Map(id) => format!("map {}", map(id)),
            Symbol::MapValue(id, offset) => format!("value of map {}+{offset}", map(id)),
        }
    }
}
