//! Programs of whole objects on all columns: with the maps and the tail-call targets that the object names.

use backstop::model::{Program as Linked, contexts};
use backstop::{Linker, Object, OpenError};

use crate::column::Columns;
use crate::generate::context_len;
use crate::observe::{takes_args, takes_packet};
use crate::trial::{Compare, Runs, Tried, Verdicts};

/// Bytes of a packet, and of a syscall program's context, if the caller has no input of its own.
const USUAL_INPUT: usize = 98;

/// Bytes of a context that is one struct, at most.
const MOST_CONTEXT: usize = 256;

/// How many bytes of input a program takes, if the caller has none of its own.
pub fn input_len(program: &Linked) -> usize {
    use backstop::model::ProgType;
    match program.kind.ty {
        ProgType::RawMem => program.kind.memory_len as usize,
        ProgType::Syscall => 256,
        ty if takes_packet(ty) => USUAL_INPUT,
        ty if takes_args(ty) || ty == ProgType::Host => context_len(&program.kind).unwrap_or(USUAL_INPUT),
        // Programs read registers and fields up to its end; only what no program reads whole is cut.
        _ => (contexts::size(&program.kind).unwrap_or(0) as usize).min(MOST_CONTEXT) / 8 * 8,
    }
}

impl Columns {
    /// Opens an object for each column.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, bytes: &[u8], name: &str) -> Result<Vec<Object>, OpenError> {
        self.all.iter().map(|column| column.engine().open(bytes, name)).collect()
    }

    /// Loads one program of an object that [`Columns::open`] opened, runs it on all columns and compares. Without inputs it is run once on
    /// what `input` makes of its length.
    pub fn attempt_object(
        &mut self,
        opened: &[Object],
        name: &str,
        inputs: &dyn Fn(&Linked) -> Vec<Vec<u8>>,
        compare: Compare,
    ) -> Tried {
        let mut verdicts = Verdicts::default();
        let mut runs = Runs::new(compare);
        for (column, object) in self.all.iter_mut().zip(opened) {
            let linker = Linker::<()>::new(column.engine());
            let loaded = object.load_programs(&linker, &[name]);
            if let Err(tried) = verdicts.add(column.name(), loaded.as_ref().err()) {
                return tried;
            }
            let Ok(loaded) = loaded else { continue };
            let Ok(program) = loaded.program(name) else { return Tried::PassedOver };
            if let Err(tried) = runs.add(column, &loaded, &program, &inputs(program.ir().program())) {
                return tried;
            }
        }
        runs.same(None).or(verdicts.refused()).unwrap_or(Tried::PassedOver)
    }
}
