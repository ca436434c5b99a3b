//! What libbpf does around a load and what decides, with it, whether a program gets into Linux: only with
//! `Config::compat_linux`.

use backstop_model::{MapKind, MapSpecError, Program};
use backstop_object::LinkError;
use backstop_verifier::{Verified, loader};

use crate::build;
use crate::engine::Engine;
use crate::error::LoadError;

/// `BPF_F_MMAPABLE`.
const F_MMAPABLE: u32 = 1 << 10;

/// libbpf makes all maps of an object, whichever program is to be loaded, and maps sections with visible variables into its
/// process; Linux does not map values with special fields. That a map is too large for Backstop is no affair of libbpf's.
pub(crate) fn check_maps(object: &backstop_object::Object, program: &str) -> Result<(), LoadError> {
    for info in object.maps() {
        match info.spec.validate() {
            Ok(()) | Err(MapSpecError::TooLarge { .. }) => {}
            Err(source) => {
                let (name, section) = (program.to_owned(), info.section.clone());
                let source = Box::new(LinkError::Map { program: name.clone(), section, source: Box::new(source) });
                return Err(LoadError::Link { program: name, source });
            }
        }
    }
    let unmappable = object.maps().iter().map(|info| &info.spec).find(|spec| {
        let types = spec.btf.as_ref().zip(spec.value_type);
        // Maps of `.maps` are mapped by nobody.
        let section = spec.kind == MapKind::Array && spec.key_type.is_none() && spec.flags & F_MMAPABLE != 0;
        section && types.is_some_and(|(btf, ty)| loader::has_special_fields(btf, ty))
    });
    match unmappable {
        Some(spec) => Err(LoadError::Unmappable { map: spec.name.clone() }),
        None => Ok(()),
    }
}

/// As [`build::prove`]; with `compat_linux` a program or map whose types are refused is judged without them, as libbpf
/// loads it then. `again` links the program anew: copies of it would cost those that are fine.
pub(crate) fn prove(
    engine: &Engine,
    name: &str,
    program: Program,
    again: &dyn Fn() -> Result<Program, LoadError>,
) -> Result<Verified, LoadError> {
    let mut program = program;
    let mut refused = Vec::new();
    loop {
        let error = match build::prove(engine, name, program) {
            Err(error) if engine.config().compat_linux => error,
            other => return other,
        };
        let LoadError::Refused { refusal, .. } = &error else { return Err(error) };
        refused.push(refusal.reason.clone());
        let mut bare = again()?;
        for reason in &refused {
            match loader::without_refused_types(&bare, reason) {
                Some(less) => bare = less,
                None => return Err(error),
            }
        }
        program = bare;
    }
}
