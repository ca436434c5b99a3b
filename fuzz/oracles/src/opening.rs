//! Objects and type data of any bytes: an error or a value, never a panic.

use backstop::btf::{Btf, BtfExt, Kind};
use backstop::model::{ProgKind, ProgType};
use backstop_differ::Source;
use backstop_object::{Object, StandardEnv};

use crate::Outcome;
use crate::objects::{committed, edit_script};

/// First bytes of an object.
const ELF: &[u8] = b"\x7fELF";
/// Edits of a committed object.
const EDITS: usize = 8;
/// Programs of one object that are linked: enough to meet every path, few enough to stay quick.
const MAX_LINKED: usize = 64;

/// Opens an object (a committed one with edits, if the bytes are none themselves), asks everything of it that listings ask, and links its programs.
///
/// # Panics
/// If what was opened contradicts itself.
pub fn open_object(data: &[u8]) -> Outcome {
    if data.starts_with(ELF) {
        return open(data);
    }
    let mut source = Source::new(data);
    let mut bytes = committed(&mut source).1.to_vec();
    edit_script(&mut bytes, &mut source, EDITS);
    open(&bytes)
}

fn open(data: &[u8]) -> Outcome {
    let object = match Object::parse(data, "fuzz") {
        Ok(object) => object,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Outcome::Refused;
        }
    };
    ask(&object);
    let Ok(env) = StandardEnv::new([]) else { return Outcome::Unusable };
    let names: Vec<String> = object.programs().take(MAX_LINKED).map(|program| program.name).collect();
    let by_name = names.iter().map(|name| (name.as_str(), object.link(name, &env)));
    let whole = ("the entry", object.link_entry(ProgKind::new(ProgType::RawMem), &env));
    for (name, linked) in by_name.chain([whole]) {
        match linked {
            Ok(linked) => {
                assert_eq!(linked.map_indices.len(), linked.program.maps.len(), "{name}");
                let maps = object.maps().len();
                assert!(linked.map_indices.iter().all(|index| *index < maps), "{name}");
                let slots = linked.program.slots.len();
                let inside = |slot: u32| (slot as usize) < slots;
                assert!(linked.program.func_info.iter().all(|f| inside(f.slot)), "{name}");
                assert!(linked.program.func_info.is_sorted_by_key(|f| f.slot), "{name}");
                assert!(linked.program.line_info.iter().all(|l| inside(l.slot)), "{name}");
                assert!(linked.program.line_info.is_sorted_by_key(|l| l.slot), "{name}");
                assert!(linked.program.poisoned.iter().all(|p| inside(p.slot)), "{name}");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    Outcome::Held
}

fn ask(object: &Object) {
    let _ = (object.license().len(), object.relocations().len(), object.externs().len(), object.notes().len());
    for map in object.maps() {
        if let Some(initial) = &map.spec.initial {
            assert_eq!(initial.len(), map.spec.value_size as usize, "map {}", map.spec.name);
        }
    }
    for global in object.globals() {
        if let Some(bytes) = object.global_bytes(&global.name) {
            assert!(!bytes.is_empty() || global.size == 0, "global {}", global.name);
        }
    }
    for function in object.functions() {
        let _ = object.function_type(function);
    }
    // No name of an object has a NUL in it.
    assert!(object.program("no\0such").is_none());
}

/// Reads type data, and what follows them as `.BTF.ext`.
///
/// # Panics
/// If types that were read don't survive encoding, or contradict themselves.
pub fn btf(data: &[u8]) -> Outcome {
    // Two bytes say where the second part starts: at the end if they are 0.
    let Some((split, data)) = data.split_first_chunk::<2>() else { return Outcome::Unusable };
    let split = usize::from(u16::from_le_bytes(*split)).min(data.len());
    let (ext, types) = data.split_at(split);
    let types = match Btf::parse(types) {
        Ok(types) => types,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Outcome::Refused;
        }
    };
    walk(&types);
    let encoded = types.encode();
    match Btf::parse(&encoded) {
        Ok(again) => assert_eq!(again.encode(), encoded, "encoding is not stable"),
        Err(error) => panic!("what was read is refused when it is encoded: {error}"),
    }
    if let Err(error) = BtfExt::parse(ext, &types) {
        assert!(!error.to_string().is_empty());
    }
    Outcome::Held
}

fn walk(types: &Btf) {
    for id in types.ids() {
        let resolved = types.resolve(id);
        assert!(
            !matches!(
                types.kind(resolved),
                Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag
            ),
            "{id:?} resolves to {resolved:?}, which is not its end"
        );
        let _ = (types.size_of(id), types.name(id).len(), types.is_const(id), types.pointee(id));
        let _ = (types.type_tags(id).count(), types.decl_tags(id, None).count());
        for member in types.members(id) {
            assert!(types.get(member.ty).is_some(), "{id:?} has a member of no type");
        }
        if let Some(proto) = types.proto(id) {
            assert!(types.get(proto.ret).is_some(), "{id:?} returns no type");
        }
        let name = types.name(id);
        if !name.is_empty() {
            assert!(types.find_all(name).any(|found| found == id), "{id:?} is not found by its name");
        }
    }
}
