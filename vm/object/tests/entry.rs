//! Objects that keep to no convention: which function runs, and where functions begin without symbols. The objects are made here, byte by
//! byte, as test runners make theirs.

use backstop_model::{ProgKind, ProgType, Program};
use backstop_object::{LinkError, Object, ObjectError, StandardEnv};

type Checked<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// r0 = `n`; exit
fn gives(n: u8) -> Vec<[u8; 8]> {
    vec![[0xb7, 0, 0, 0, n, 0, 0, 0], EXIT]
}

const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

fn call(relative: i32) -> [u8; 8] {
    let imm = relative.to_le_bytes();
    [0x85, 0x10, 0, 0, imm[0], imm[1], imm[2], imm[3]]
}

const LOCAL: u8 = 0;
const GLOBAL: u8 = 1;
const NOTYPE: u8 = 0;
const FUNC: u8 = 2;
const SECTION: u8 = 3;
const UNDEFINED: usize = usize::MAX;

/// A symbol: name, binding, type, section of the list (`UNDEFINED` for none), first slot, slots.
type Symbol<'a> = (&'a str, u8, u8, usize, u64, u64);

/// An object: sections of code, symbols (local ones first), and relocations of calls as section, slot and symbol.
#[derive(Default)]
struct Made<'a> {
    code: Vec<(&'a str, Vec<[u8; 8]>)>,
    symbols: Vec<Symbol<'a>>,
    calls: Vec<(usize, u64, u64)>,
}

struct Header {
    name: usize,
    kind: u32,
    flags: u64,
    data: Vec<u8>,
    link: usize,
    info: usize,
    entry: u64,
}

impl Made<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut string = |text: &str| {
            let at = strings.len();
            strings.extend(text.bytes().chain([0]));
            at
        };
        let symtab = 1 + self.code.len();
        let header = |name, kind, flags, data| Header { name, kind, flags, data, link: 0, info: 0, entry: 0 };
        let mut headers = vec![header(0, 0, 0, Vec::new())];
        for (name, code) in &self.code {
            headers.push(header(string(name), 1, 6, code.as_flattened().to_vec()));
        }
        let mut table = vec![0; 24];
        for (name, binding, kind, section, start, slots) in &self.symbols {
            table.extend((string(name) as u32).to_le_bytes());
            table.extend([binding << 4 | kind, 0]);
            table.extend((*section as u16).wrapping_add(1).to_le_bytes());
            table.extend((start * 8).to_le_bytes());
            table.extend((slots * 8).to_le_bytes());
        }
        let info = 1 + self.symbols.iter().filter(|s| s.1 == LOCAL).count();
        headers.push(Header { link: symtab + 1, info, entry: 24, ..header(string(".symtab"), 2, 0, table) });
        let strings_name = string(".strtab");
        let rel = string(".rel");
        let relocated = |section: usize| {
            let own = self.calls.iter().filter(move |c| c.0 == section);
            own.flat_map(|(_, slot, symbol)| [slot * 8, ((symbol + 1) << 32) | 10]).flat_map(u64::to_le_bytes).collect()
        };
        headers.push(header(strings_name, 3, 0, strings));
        for section in 0..self.code.len() {
            let records: Vec<u8> = relocated(section);
            headers.push(Header { link: symtab, info: section + 1, entry: 16, ..header(rel, 9, 0, records) });
        }
        written(&headers, symtab + 1)
    }

    fn parsed(&self) -> Result<Object, ObjectError> {
        Object::parse(&self.bytes(), "made")
    }

    fn linked(&self) -> Checked<Program> {
        Ok(self.parsed()?.link_entry(ProgKind::new(ProgType::RawMem), &StandardEnv::new([])?)?.program)
    }

    fn refused(&self) -> Checked<LinkError> {
        let linked = self.parsed()?.link_entry(ProgKind::new(ProgType::RawMem), &StandardEnv::new([])?);
        linked.err().ok_or_else(|| "the object was linked".into())
    }
}

/// The file: header, contents, section headers.
fn written(headers: &[Header], names: usize) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([1, 0, 247, 0, 1, 0, 0, 0]);
    file.resize(64, 0);
    let mut table = Vec::new();
    for header in headers {
        file.resize(file.len().next_multiple_of(8), 0);
        table.extend((header.name as u32).to_le_bytes());
        table.extend(header.kind.to_le_bytes());
        let words = [header.flags, 0, file.len() as u64, header.data.len() as u64];
        table.extend(words.into_iter().flat_map(u64::to_le_bytes));
        table.extend([header.link as u32, header.info as u32].into_iter().flat_map(u32::to_le_bytes));
        table.extend([8, header.entry].into_iter().flat_map(u64::to_le_bytes));
        file.extend(&header.data);
    }
    file.resize(file.len().next_multiple_of(8), 0);
    let at = (file.len() as u64).to_le_bytes();
    file[40..48].copy_from_slice(&at);
    for (place, half) in [(52, 64), (58, 64), (60, headers.len() as u16), (62, names as u16)] {
        file[place..place + 2].copy_from_slice(&half.to_le_bytes());
    }
    file.extend(table);
    file
}

/// Immediates of the slots: what `gives` puts there, and where calls lead.
fn immediates(program: &Program) -> Vec<i32> {
    program.slots.iter().map(|slot| slot.imm).collect()
}

#[test]
fn bare_code_runs_from_its_start() -> Checked {
    let made = Made { code: vec![(".text", gives(7))], ..Made::default() };
    let program = made.linked()?;
    assert_eq!((immediates(&program), program.kind.ty), (vec![7, 0], ProgType::RawMem));
    assert_eq!((program.name.as_str(), program.section.as_str()), (".text+0x0", ".text"));
    // A section of any name does as well, and comes before what `.text` has for it to call.
    let code = vec![(".text", gives(1)), ("anything", gives(2))];
    assert_eq!(immediates(&Made { code, ..Made::default() }.linked()?), [2, 0]);
    Ok(())
}

#[test]
fn the_only_or_first_global_function_runs() -> Checked {
    let code = vec![(".text", [gives(1), gives(2), gives(3)].concat())];
    let symbols = vec![("a", LOCAL, FUNC, 0, 0, 2), ("b", GLOBAL, FUNC, 0, 2, 2)];
    let only = Made { code: code.clone(), symbols, ..Made::default() }.linked()?;
    assert_eq!((immediates(&only), only.name.as_str()), (vec![2, 0], "b"));
    let symbols = vec![("a", LOCAL, FUNC, 0, 0, 2), ("c", GLOBAL, FUNC, 0, 4, 2), ("b", GLOBAL, FUNC, 0, 2, 2)];
    let first = Made { code: code.clone(), symbols, ..Made::default() }.linked()?;
    assert_eq!(first.name, "b");
    let symbols = vec![("a", LOCAL, FUNC, 0, 0, 2), ("b", LOCAL, FUNC, 0, 2, 2)];
    let start = Made { code: code.clone(), symbols, ..Made::default() }.linked()?;
    assert_eq!((immediates(&start), start.name.as_str()), (vec![1, 0], "a"));
    // Labels of an assembler: no type, no size. Local ones are places to jump to.
    let symbols = vec![("loop", LOCAL, NOTYPE, 0, 3, 0), ("b", GLOBAL, NOTYPE, 0, 2, 0)];
    let label = Made { code, symbols, ..Made::default() }.linked()?;
    assert_eq!((immediates(&label), label.name.as_str()), (vec![2, 0, 3, 0], "b"));
    Ok(())
}

#[test]
fn functions_outside_text_come_first() -> Checked {
    let code = vec![(".text", gives(1)), ("suite", gives(2))];
    let labels = vec![("a", GLOBAL, NOTYPE, 0, 0, 0), ("b", GLOBAL, NOTYPE, 1, 0, 0)];
    assert_eq!(Made { code: code.clone(), symbols: labels, ..Made::default() }.linked()?.name, "b");
    let functions = vec![("a", GLOBAL, FUNC, 0, 0, 2), ("b", GLOBAL, FUNC, 1, 0, 2)];
    assert_eq!(Made { code: code.clone(), symbols: functions, ..Made::default() }.linked()?.name, "b");
    let local = vec![("b", LOCAL, FUNC, 1, 0, 2), ("a", GLOBAL, FUNC, 0, 0, 2)];
    assert_eq!(Made { code, symbols: local, ..Made::default() }.linked()?.name, "a");
    Ok(())
}

#[test]
fn calls_are_followed_resolved_or_not() -> Checked {
    // main: call 2nd; call 3rd; exit. No symbol tells where they begin.
    let resolved = [vec![call(4), call(1), EXIT], gives(8), gives(9)].concat();
    let made = Made { code: vec![(".text", resolved)], ..Made::default() };
    // In the order of their mention.
    assert_eq!(immediates(&made.linked()?), [2, 3, 0, 9, 0, 8, 0]);
    // By relocation: against a function in another section, and against a section, with the distance in the call.
    let code = vec![("main", vec![call(-1), call(1), EXIT]), (".text", [gives(8), gives(9)].concat())];
    let symbols =
        vec![("", LOCAL, SECTION, 1, 0, 0), ("f", GLOBAL, NOTYPE, 1, 0, 0), ("main", GLOBAL, NOTYPE, 0, 0, 0)];
    let made = Made { code, symbols, calls: vec![(0, 0, 1), (0, 1, 0)] };
    assert_eq!(immediates(&made.linked()?), [2, 3, 0, 8, 0, 9, 0]);
    Ok(())
}

#[test]
fn what_can_not_be_told_is_said() -> Checked {
    let none = Made::default().refused()?;
    assert!(matches!(none, LinkError::NoCode { .. }), "{none}");
    let two = Made { code: vec![("one", gives(1)), ("two", gives(2))], ..Made::default() }.refused()?;
    assert!(matches!(two, LinkError::NoEntry { .. }) && two.to_string().contains("`one`, `two`"), "{two}");
    let beyond = Made { code: vec![(".text", vec![call(5), EXIT])], ..Made::default() }.refused()?;
    assert!(matches!(beyond, LinkError::BadCallTarget { target: 48, .. }), "{beyond}");
    let symbols = vec![("gone", GLOBAL, NOTYPE, UNDEFINED, 0, 0)];
    let made = Made { code: vec![(".text", vec![call(-1), EXIT])], symbols, calls: vec![(0, 0, 0)] };
    let undefined = made.refused()?;
    assert!(undefined.to_string().contains("`gone` is not defined"), "{undefined}");
    let large = Made { code: vec![(".text", vec![EXIT; 1_000_001])], ..Made::default() }.refused()?;
    assert!(matches!(large, LinkError::TooLarge { .. }), "{large}");
    Ok(())
}

/// Any byte of any object changed: an error or a program, nothing else.
#[test]
fn damaged_objects_do_no_harm() -> Checked {
    let code = vec![("main", vec![call(-1), call(1), EXIT]), (".text", [gives(8), gives(9)].concat())];
    let symbols =
        vec![("", LOCAL, SECTION, 1, 0, 0), ("f", GLOBAL, NOTYPE, 1, 0, 0), ("main", GLOBAL, NOTYPE, 0, 0, 0)];
    let made = Made { code, symbols, calls: vec![(0, 0, 1), (0, 1, 0)] }.bytes();
    let env = StandardEnv::new([])?;
    let mut linked = 0;
    for at in 0..made.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = made.clone();
            bytes[at] = value;
            let object = Object::parse(&bytes, "made").ok();
            let program = object.and_then(|o| o.link_entry(ProgKind::new(ProgType::RawMem), &env).ok());
            linked += usize::from(program.is_some_and(|p| !p.program.slots.is_empty()));
        }
    }
    assert!(linked > made.len() && linked < made.len() * 5, "{linked} of {}", made.len() * 5);
    Ok(())
}
