//! The committed objects as raw material, and edits of them.

use std::sync::OnceLock;

use backstop::model::Program;
use backstop_object::{Object, StandardEnv};

use backstop_differ::Source;

macro_rules! objects {
    ($($path:literal),* $(,)?) => {
        /// The committed objects: name and bytes.
        pub const COMMITTED: &[(&str, &[u8])] = &[$(($path, include_bytes!(concat!("../../../", $path)))),*];
    };
}

objects!(
    "examples/firewall/firewall.bpf.o",
    "tests/objects/core.bpf.o",
    "tests/objects/ctx.bpf.o",
    "tests/objects/custom.bpf.o",
    "tests/objects/host.bpf.o",
    "tests/objects/isa_v4.bpf.o",
    "tests/objects/many.bpf.o",
    "tests/objects/maps.bpf.o",
    "tests/objects/maps_inner.bpf.o",
    "tests/objects/throw.bpf.o",
    "tests/objects/throw_holes.bpf.o",
    "tests/objects/throw_loop.bpf.o",
    "tests/objects/throw_reject.bpf.o",
    "tests/objects/throw_tail.bpf.o",
);

/// Bytes of an object that one edit may add.
const MAX_INSERT: usize = 64;

/// Applies edits to an object's bytes. An edit is a place (three bytes), an operation and its operands.
pub fn edit_script(bytes: &mut Vec<u8>, source: &mut Source<'_>, edits: usize) -> usize {
    let mut done = 0;
    while done < edits && !source.is_empty() && !bytes.is_empty() {
        let place = u32::from(source.half()) | u32::from(source.byte()) << 16;
        let at = place as usize % bytes.len();
        match source.byte() % 8 {
            0..=2 => overwrite(bytes, at, &[source.byte()]),
            3 => {
                let flipped = bytes.get(at).copied().unwrap_or(0) ^ 1 << (source.byte() & 7);
                overwrite(bytes, at, &[flipped]);
            }
            4 => overwrite(bytes, at & !3, &(source.number() as u32).to_le_bytes()),
            5 => overwrite(bytes, at & !7, &source.number().to_le_bytes()),
            6 => {
                let len = source.below(MAX_INSERT);
                let end = (at + len).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let len = source.below(MAX_INSERT);
                let copied: Vec<u8> = bytes.iter().copied().skip(at).take(len).collect();
                let to = source.word() as usize % bytes.len();
                overwrite(bytes, to, &copied);
            }
        }
        done += 1;
    }
    done
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(with) {
        *to = *from;
    }
}

/// One of the committed objects.
pub(crate) fn committed(source: &mut Source<'_>) -> (&'static str, &'static [u8]) {
    source.pick(COMMITTED).unwrap_or(("", &[]))
}

/// All programs of the committed objects, linked.
pub(crate) fn linked() -> &'static [Program] {
    static LINKED: OnceLock<Vec<Program>> = OnceLock::new();
    LINKED.get_or_init(|| {
        let Ok(env) = StandardEnv::new([]) else { return Vec::new() };
        let mut all = Vec::new();
        for (name, bytes) in COMMITTED {
            let Ok(object) = Object::parse(bytes, name) else { continue };
            for program in object.programs() {
                all.extend(object.link(&program.name, &env).map(|linked| linked.program));
            }
        }
        all
    })
}
