//! A program as a list of instructions that know their targets by place in the list, so that parts can go.

use std::collections::HashMap;
use std::ops::Range;

use backstop::isa::{Instr, Operand, Pseudo, Width, decode_all};
use backstop::model::Program;

use crate::case::{functions, with_functions};
use crate::generate::{Role, Signature};

/// An instruction, and the place that it jumps to, calls or names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) instr: Instr,
    pub(super) target: Option<usize>,
}

/// A function: its first instruction's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) first: usize,
    role: Role,
    args: usize,
}

/// A program that can be changed.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) nodes: Vec<Node>,
    pub(super) functions: Vec<Function>,
    /// Maps, kfuncs, kind; its slots are stale.
    rest: Program,
}

/// How far an instruction's target lies from the slot after its first.
fn distance(instr: &Instr) -> Option<i64> {
    match *instr {
        Instr::Jump { off, .. } | Instr::CallLocal { off } => Some(i64::from(off)),
        Instr::Branch { off, .. } | Instr::MayGoto { off } => Some(i64::from(off)),
        Instr::LoadPseudo { kind: Pseudo::Func, imm, .. } => Some(i64::from(imm)),
        _ => None,
    }
}

fn aim(instr: Instr, distance: i64) -> Instr {
    let near = i16::try_from(distance).unwrap_or(0);
    let far = i32::try_from(distance).unwrap_or(0);
    match instr {
        Instr::Jump { long, .. } => Instr::Jump { off: far, long },
        Instr::CallLocal { .. } => Instr::CallLocal { off: far },
        Instr::Branch { width, op, dst, src, .. } => Instr::Branch { width, op, dst, src, off: near },
        Instr::MayGoto { .. } => Instr::MayGoto { off: near },
        Instr::LoadPseudo { dst, kind: Pseudo::Func, next_imm, .. } => {
            Instr::LoadPseudo { dst, kind: Pseudo::Func, imm: far, next_imm }
        }
        other => other,
    }
}

impl Listing {
    /// `None` if the program does not decode, or its types are not those of a generated one.
    pub(super) fn of(program: &Program) -> Option<Listing> {
        let decoded = decode_all(&program.slots).ok()?;
        let places: HashMap<usize, usize> = decoded.iter().enumerate().map(|(n, (slot, _))| (*slot, n)).collect();
        let node = |(slot, instr): &(usize, Instr)| {
            let target = match distance(instr) {
                Some(distance) => Some(*places.get(&usize::try_from(*slot as i64 + 1 + distance).ok()?)?),
                None => None,
            };
            Some(Node { instr: *instr, target })
        };
        let nodes: Option<Vec<Node>> = decoded.iter().map(node).collect();
        let function = |s: Signature| Some(Function { first: *places.get(&s.slot)?, role: s.role, args: s.args });
        let functions: Option<Vec<Function>> = functions(program)?.into_iter().map(function).collect();
        Some(Listing { nodes: nodes?, functions: functions?, rest: program.clone() })
    }

    /// The program again.
    pub(super) fn program(&self) -> Program {
        let mut places = Vec::with_capacity(self.nodes.len());
        let mut at = 0usize;
        for node in &self.nodes {
            places.push(at);
            at += node.instr.slots();
        }
        let mut program = self.rest.clone();
        program.slots.clear();
        for (node, from) in self.nodes.iter().zip(&places) {
            let target = node.target.and_then(|target| places.get(target));
            let instr = target.map_or(node.instr, |to| aim(node.instr, *to as i64 - *from as i64 - 1));
            program.slots.extend_from_slice(instr.encode().as_slice());
        }
        let named = self.named();
        let signature = |f: &Function| {
            let used = f.first == 0 || f.role == Role::Exception || named.contains(&f.first);
            let slot = places.get(f.first).copied().filter(|_| used)?;
            Some(Signature { slot, role: f.role, args: f.args })
        };
        let signatures: Vec<Signature> = self.functions.iter().filter_map(signature).collect();
        with_functions(&program, &signatures)
    }

    /// Places that are called, or whose address is taken.
    fn named(&self) -> Vec<usize> {
        let names = |node: &&Node| matches!(node.instr, Instr::CallLocal { .. } | Instr::LoadPseudo { .. });
        self.nodes.iter().filter(names).filter_map(|node| node.target).collect()
    }

    /// How far the instructions are from their simplest.
    pub(super) fn complexity(&self) -> usize {
        let weight = |node: &Node| super::simpler::weight(&node.instr);
        self.nodes.iter().map(weight).sum::<usize>().min(999)
    }

    /// Without these instructions. `None` if nothing would be left, or a jump would lead nowhere.
    pub(super) fn without(&self, gone: Range<usize>) -> Option<Listing> {
        let moved = |place: usize| {
            let place = if gone.contains(&place) { gone.end } else { place };
            if place >= gone.end { place - gone.len() } else { place }
        };
        let left = self.nodes.len().checked_sub(gone.len()).filter(|left| *left > 0)?;
        let mut nodes = Vec::with_capacity(left);
        for (place, node) in self.nodes.iter().enumerate() {
            if gone.contains(&place) {
                continue;
            }
            let target = node.target.map(moved);
            if target.is_some_and(|target| target >= left) {
                return None;
            }
            nodes.push(Node { instr: node.instr, target });
        }
        let mut functions: Vec<Function> = Vec::new();
        for (n, function) in self.functions.iter().enumerate() {
            let next = self.functions.get(n + 1).map_or(self.nodes.len(), |next| next.first);
            let empty = gone.start <= function.first && next <= gone.end;
            let first = moved(function.first);
            if !empty && first < left {
                functions.push(Function { first, ..*function });
            }
        }
        Some(Listing { nodes, functions, rest: self.rest.clone() })
    }

    /// Without a function and all calls of it.
    pub(super) fn without_function(&self, n: usize) -> Option<Listing> {
        let function = self.functions.get(n)?;
        let end = self.functions.get(n + 1).map_or(self.nodes.len(), |next| next.first);
        let mut listing = self.clone();
        for node in &mut listing.nodes {
            if node.target == Some(function.first) && !matches!(node.instr, Instr::Jump { .. } | Instr::Branch { .. }) {
                *node = Node { instr: super::simpler::zero(&node.instr)?, target: None };
            }
        }
        listing.without(function.first..end)
    }

    /// With a call of a function in place of a call of an earlier one, or of a helper, which may have called it back. Functions that nothing
    /// names then are gone. `None` if there is no such call.
    pub(super) fn calling(&self, n: usize, callee: usize) -> Option<Listing> {
        let node = self.nodes.get(n)?;
        let function = self.functions.get(callee).filter(|function| function.role != Role::Exception)?;
        let earlier = match node.instr {
            Instr::CallLocal { .. } => node.target < Some(function.first),
            Instr::CallHelper { .. } => n < function.first,
            _ => false,
        };
        let mut listing = self.clone();
        *listing.nodes.get_mut(n).filter(|_| earlier)? =
            Node { instr: Instr::CallLocal { off: 0 }, target: Some(function.first) };
        loop {
            let named = listing.named();
            let useless = |f: &Function| f.first != 0 && f.role != Role::Exception && !named.contains(&f.first);
            let Some(useless) = listing.functions.iter().position(useless) else { return Some(listing) };
            listing = listing.without_function(useless)?;
        }
    }

    /// Without the copy of a register in a place: what follows it in its function uses the copied one. `None` if there is no copy.
    pub(super) fn without_copy(&self, n: usize) -> Option<Listing> {
        let Instr::Mov { width: Width::W64, dst, src: Operand::Reg(src) } = self.nodes.get(n)?.instr else {
            return None;
        };
        let end = self.functions.iter().map(|f| f.first).find(|first| *first > n).unwrap_or(self.nodes.len());
        let mut listing = self.clone();
        for node in listing.nodes.get_mut(n..end)? {
            node.instr = super::simpler::renamed(node.instr, dst, src)?;
        }
        listing.without(n..n + 1)
    }

    /// With another instruction in a place.
    pub(super) fn with(&self, n: usize, instr: Instr) -> Listing {
        let mut listing = self.clone();
        if let Some(node) = listing.nodes.get_mut(n) {
            let target = distance(&instr).and(node.target);
            *node = Node { instr, target };
        }
        listing
    }

    /// Without maps and kfuncs that nothing names.
    pub(super) fn without_unused(&self) -> Listing {
        let mut listing = self.clone();
        let is_map = |kind: Pseudo| matches!(kind, Pseudo::MapIdx | Pseudo::MapValueIdx);
        let map = |instr: &Instr| match instr {
            Instr::LoadPseudo { kind, imm, .. } if is_map(*kind) => Some(*imm),
            _ => None,
        };
        let kfunc = |instr: &Instr| match instr {
            Instr::CallKfunc { id, .. } => Some(*id),
            _ => None,
        };
        let maps = renumber(&mut listing.rest.maps, self.nodes.iter().filter_map(|node| map(&node.instr)));
        let kfuncs = renumber(&mut listing.rest.kfuncs, self.nodes.iter().filter_map(|node| kfunc(&node.instr)));
        for node in &mut listing.nodes {
            match &mut node.instr {
                Instr::LoadPseudo { kind, imm, .. } if is_map(*kind) => *imm = maps.get(imm).copied().unwrap_or(*imm),
                Instr::CallKfunc { id, .. } => *id = kfuncs.get(id).copied().unwrap_or(*id),
                _ => {}
            }
        }
        listing
    }
}

/// Keeps the entries of a table that are used; gives each its new number.
fn renumber<T: Clone>(table: &mut Vec<T>, used: impl Iterator<Item = i32>) -> HashMap<i32, i32> {
    let mut used: Vec<i32> = used.collect();
    used.sort_unstable();
    used.dedup();
    let old = std::mem::take(table);
    let mut numbers = HashMap::new();
    for number in used {
        if let Some(entry) = usize::try_from(number).ok().and_then(|n| old.get(n)) {
            numbers.insert(number, table.len() as i32);
            table.push(entry.clone());
        }
    }
    numbers
}
