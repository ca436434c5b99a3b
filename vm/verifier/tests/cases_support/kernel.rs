//! The running kernel's verdict on a program.

use backstop_model::{MapSpec, ProgType as ModelType, Program};
use backstop_referee::{
    AttachType, LoadedBtf, Map, MapBtf, MapSpec as KernelMap, Outcome, ProgBtf, ProgLoad, ProgType, Referee, prog_flag,
};

use super::corpus::Expected;

/// Reasons and counts without the walked instructions: the log of a million of them takes seconds.
const REASONS_ONLY: u32 = 4;

fn make_map(referee: &Referee, spec: &MapSpec, btf: Option<&LoadedBtf>) -> Result<Map, String> {
    let inner = spec.inner.as_ref().map(|inner| make_map(referee, inner, btf)).transpose()?;
    let types = match (spec.value_type, btf) {
        (Some(value), Some(btf)) => {
            Some(MapBtf { btf, key_type: spec.key_type.map_or(0, |ty| ty.0), value_type: value.0 })
        }
        _ => None,
    };
    let map = referee
        .create_map(&KernelMap {
            kind: spec.kind.number(),
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: spec.flags,
            name: &spec.name,
            inner: inner.as_ref(),
            btf: types,
            extra: spec.extra,
        })
        .map_err(|error| format!("map {}: {error}", spec.name))?;
    if let Some(initial) = &spec.initial {
        map.update(&0_u32.to_ne_bytes(), initial, 0).map_err(|error| error.to_string())?;
    }
    if spec.frozen {
        map.freeze().map_err(|error| error.to_string())?;
    }
    Ok(map)
}

/// The kernel's verdict and the last line of its log.
pub fn judge(referee: &Referee, program: &Program) -> Result<(Expected, String), String> {
    let number = program.kind.ty.linux_number().ok_or("a program type that Linux has not")?;
    // Types and maps that can't be made refuse the program before it is loaded, without a word.
    let unsaid = |error: String| Ok((Expected::Reject { text: String::new() }, error));
    let btf = match program.btf.as_ref().map(|btf| referee.load_btf(&btf.encode())).transpose() {
        Ok(btf) => btf,
        Err(error) => return unsaid(error.to_string()),
    };
    let maps = program.maps.iter().map(|map| make_map(referee, map, btf.as_ref())).collect::<Result<Vec<_>, _>>();
    let maps = match maps {
        Ok(maps) => maps,
        Err(error) => return unsaid(error),
    };
    let maps: Vec<&Map> = maps.iter().collect();
    let kfuncs: Vec<&str> = program.kfuncs.iter().map(|kfunc| kfunc.name.as_str()).collect();
    let insns = backstop_isa::slots_to_bytes(&program.slots);
    let func_info: Vec<u8> =
        program.func_info.iter().flat_map(|info| [info.slot, info.func.0]).flat_map(u32::to_ne_bytes).collect();
    let prog_type = ProgType::from_number(number);
    let attach_type = match program.kind.attach.linux_number() {
        0 if program.kind.ty != ModelType::CgroupSkb => AttachType::usual(prog_type),
        number => AttachType::from_number(number),
    };
    let mut flags = 0;
    if program.kind.sleepable {
        flags |= prog_flag::SLEEPABLE;
    }
    if program.kind.frags {
        flags |= prog_flag::XDP_HAS_FRAGS;
    }
    let load = ProgLoad {
        attach_type: Some(attach_type),
        log_level: REASONS_ONLY,
        flags,
        license: &program.license,
        kfuncs: &kfuncs,
        maps: &maps,
        btf: btf.as_ref().map(|btf| ProgBtf {
            btf,
            func_info: &func_info,
            func_info_rec_size: 8,
            line_info: &[],
            line_info_rec_size: 16,
        }),
        ..ProgLoad::new(prog_type, &insns)
    };
    Ok(match referee.load(&load).map_err(|error| error.to_string())? {
        Outcome::Loaded(_) => (Expected::Accept, String::new()),
        Outcome::Refused(refused) => {
            let text = refused.log.reason().map(without_counts).unwrap_or_default();
            (Expected::Reject { text }, refused.log.text().to_owned())
        }
    })
}

/// Some of the kernel's reasons lack a line break after them, so that the counts stand on their line.
fn without_counts(reason: &str) -> String {
    let end = ["verification time ", "processed "].iter().filter_map(|start| reason.find(start)).min();
    match end {
        Some(at) if at > 0 => reason[..at].to_owned(),
        _ => reason.to_owned(),
    }
}
