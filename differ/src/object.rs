//! Programs of whole objects on all columns: with the maps and the tail-call targets that the object names.

use backstop::model::Program as Linked;
use backstop::{Linker, LoadError, Object, OpenError};

use crate::column::Columns;
use crate::generate::context_len;
use crate::observe::{Observed, takes_packet};
use crate::trial::{Compare, Difference, Ran, Tried, What, compared, endless, first_difference};

/// Bytes of a packet, and of a syscall program's context, if the caller has no input of its own.
const USUAL_INPUT: usize = 98;

/// How many bytes of input a program takes, if the caller has none of its own.
pub fn input_len(program: &Linked) -> usize {
    use backstop::model::ProgType;
    match program.kind.ty {
        ProgType::RawMem => program.kind.memory_len as usize,
        ProgType::Syscall => 256,
        ty if takes_packet(ty) => USUAL_INPUT,
        _ => context_len(&program.kind).unwrap_or(USUAL_INPUT),
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
        let mut first: Option<(&'static str, Observed)> = None;
        let mut refused: Option<(&'static str, Option<String>)> = None;
        for (column, object) in self.all.iter_mut().zip(opened) {
            let linker = Linker::<()>::new(column.engine());
            let loaded: Result<_, LoadError> = object.load_programs(&linker, &[name]);
            let error = loaded.as_ref().err().map(ToString::to_string);
            match &refused {
                Some((other, expected)) if *expected != error => {
                    let text = |error: &Option<String>| error.clone().unwrap_or_else(|| "takes it".to_owned());
                    let columns = [(*other).to_owned(), column.name().to_owned()];
                    let made = [text(expected), text(&error)];
                    return Tried::Differs(Box::new(Difference { what: What::Verdict, columns, made }));
                }
                Some(_) => {}
                None => refused = Some((column.name(), error)),
            }
            let Ok(loaded) = loaded else { continue };
            let Ok(program) = loaded.program(name) else { return Tried::PassedOver };
            if compare == Compare::Nothing && endless(&program) {
                return Tried::PassedOver;
            }
            let observed = column.observe(&loaded, &program, &inputs(program.ir().program()));
            if observed.ran_out_of_stack() {
                return Tried::PassedOver;
            }
            match &first {
                Some((other, first)) if compared(compare, &program) => {
                    if let Some(difference) = first_difference((other, first), (column.name(), &observed), compare) {
                        return Tried::Differs(Box::new(difference));
                    }
                }
                Some(_) => {}
                None => first = Some((column.name(), observed)),
            }
        }
        match (first, refused) {
            (Some((_, observed)), _) => Tried::Same(Box::new(Ran { proof: None, observed })),
            (None, Some((_, Some(error)))) => Tried::Refused(error),
            (None, _) => Tried::PassedOver,
        }
    }
}
