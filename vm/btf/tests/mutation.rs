//! Real data, damaged at random: refused or read, never a panic, never more output than a line or two.
#![allow(missing_docs)]

mod common;

use backstop_btf::{Btf, BtfExt, TypeId, core, same_shape};
use backstop_isa::Slot;
use common::{ACCESS, ACCESS_CODE, ACCESS_EXT, Random, SHAPES, SHAPES_EXT};

fn damage(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut b = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(b.len());
        match random.below(6) {
            0 => b.truncate(at),
            1 => b[at] ^= 1 << random.below(8),
            2 => b[at] = random.next() as u8,
            // Words, since most fields are: a small number, or an extreme one.
            3 | 4 => {
                let word = [random.below(64) as u32, u32::MAX, 0x7fff_ffff, 0x8000_0000][random.below(4)];
                if let Some(w) = b.get_mut(at & !3..).and_then(|r| r.get_mut(..4)) {
                    w.copy_from_slice(&word.to_le_bytes());
                }
            }
            _ => {
                let from = random.below(b.len());
                let len = random.below(24).min(b.len() - at.max(from));
                b.copy_within(from..from + len, at);
            }
        }
        if b.is_empty() {
            break;
        }
    }
    b
}

fn bounded(what: &str, text: &str) {
    assert!(text.len() < 4096, "{what}: {} bytes of text", text.len());
}

/// Asks everything; the answers do not matter.
fn ask(btf: &Btf) {
    for id in btf.ids().chain([TypeId(0), TypeId(u32::MAX)]) {
        assert!(btf.type_name(id).len() < 20_000);
        btf.size_of(id);
        btf.resolve(id);
        btf.proto(id);
        btf.type_tags(id).count();
        btf.decl_tags(id, None).count();
        btf.field(id, "in.mode");
        for byte in [0, 1, 12, 90, u64::MAX / 8] {
            btf.leaf_at(id, byte, 4);
        }
        assert!(btf.find_all(btf.name(id)).count() <= btf.len());
        assert!(same_shape((btf, id), (btf, id)) || btf.kind(id) as u8 >= 12, "{id} is not like itself");
    }
    let again = Btf::parse(&btf.encode()).expect("what was accepted is accepted again");
    assert_eq!(again.encode(), btf.encode());
}

fn relocate(btf: &Btf, ext: &BtfExt, target: &Btf) {
    let mut slots: Vec<Slot> =
        ACCESS_CODE.chunks_exact(8).map(|c| Slot::from_bytes(c.try_into().expect("8 bytes"))).collect();
    let mut resolver = core::Resolver::new(btf, &[target]);
    for relo in ext.relos.iter().flat_map(|s| &s.records) {
        match resolver.resolve(relo) {
            Ok(res) => {
                bounded("spec", &res.spec);
                match core::patch(&mut slots, relo.insn_off as usize / 8, &res) {
                    Ok(poison) => bounded("poison", &poison.map(|p| p.to_string()).unwrap_or_default()),
                    Err(error) => bounded("patch", &error.to_string()),
                }
            }
            Err(error) => bounded("resolve", &error.to_string()),
        }
    }
}

#[test]
fn damaged_types() {
    let mut random = Random::new("damaged_types");
    let target = Btf::parse(ACCESS).expect("valid");
    let mut accepted = 0;
    for round in 0..20_000 {
        let (types, ext) = if round % 2 == 0 { (ACCESS, ACCESS_EXT) } else { (SHAPES, SHAPES_EXT) };
        match Btf::parse(&damage(&mut random, types)) {
            Ok(btf) => {
                accepted += 1;
                ask(&btf);
                if let Ok(ext) = BtfExt::parse(ext, &btf) {
                    relocate(&btf, &ext, &target);
                    relocate(&btf, &ext, &btf);
                }
            }
            Err(error) => bounded("parse", &error.to_string()),
        }
    }
    assert!(accepted > 100, "only {accepted} were accepted: the damage is too great to test anything");
}

#[test]
fn damaged_targets() {
    let mut random = Random::new("damaged_targets");
    let btf = Btf::parse(ACCESS).expect("valid");
    let ext = BtfExt::parse(ACCESS_EXT, &btf).expect("valid");
    for _ in 0..10_000 {
        if let Ok(target) = Btf::parse(&damage(&mut random, ACCESS)) {
            relocate(&btf, &ext, &target);
        }
    }
}

#[test]
fn damaged_ext() {
    let mut random = Random::new("damaged_ext");
    let btf = Btf::parse(ACCESS).expect("valid");
    for _ in 0..20_000 {
        match BtfExt::parse(&damage(&mut random, ACCESS_EXT), &btf) {
            Ok(ext) => {
                relocate(&btf, &ext, &btf);
                for line in ext.lines.iter().flat_map(|s| &s.records) {
                    assert!(btf.str(line.text).len() <= ACCESS.len());
                }
            }
            Err(error) => bounded("ext", &error.to_string()),
        }
    }
}

#[test]
fn every_truncation() {
    for (types, ext) in [(ACCESS, ACCESS_EXT), (SHAPES, SHAPES_EXT)] {
        let btf = Btf::parse(types).expect("valid");
        for len in 0..types.len() {
            assert!(Btf::parse(&types[..len]).is_err());
        }
        for len in 0..ext.len() {
            assert!(BtfExt::parse(&ext[..len], &btf).is_err());
        }
    }
}

#[test]
fn the_running_kernel_damaged() {
    let path = "/sys/kernel/btf/vmlinux";
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return println!("skipped: {path}: {error}"),
    };
    let mut random = Random::new("the_running_kernel_damaged");
    let btf = Btf::parse(ACCESS).expect("valid");
    let ext = BtfExt::parse(ACCESS_EXT, &btf).expect("valid");
    for _ in 0..20 {
        match Btf::parse(&damage(&mut random, &bytes)) {
            Ok(target) => relocate(&btf, &ext, &target),
            Err(error) => bounded("parse", &error.to_string()),
        }
    }
}
