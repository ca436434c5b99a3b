//! CO-RE: what a program's field accesses mean against the types that it really meets.
//!
//! The rules are libbpf's. A relocation names a root type of the program, an access string and a question
//! ([`CoreKind`]). Types of the target with the same name (flavours `___x` aside) are candidates; each that has what the
//! access asks for answers the question, and all answers must agree. Without any, questions about existence are answered
//! by 0 and all others poison their instruction: it becomes a call that the verifier refuses, but only if it can be
//! reached, since programs guard such accesses by questions about existence.

mod matching;
mod patch;
mod spec;
mod value;

use crate::btf::{Btf, essential_name};
use crate::ext::{CoreKind, CoreRelo};
use crate::types::*;

pub use patch::{POISON_HELPER, PatchError, PatchProblem, is_poison, patch};
pub use spec::{Accessor, Spec, SpecProblem};

use matching::Matcher;
use value::{Answer, answer};

/// Most comparisons that one resolver makes before it gives up on hostile types.
const MAX_STEPS: u32 = 1 << 26;

/// Why a relocation can't be handled at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CoreError {
    /// The record itself is wrong.
    #[error(
        "CO-RE relocation {spec} of the instruction at byte {insn_off}: {problem}; rebuild the object with clang -g"
    )]
    BadSpec {
        /// Byte offset of the instruction.
        insn_off: u32,
        /// The relocation as far as it can be shown.
        spec: String,
        /// What is wrong.
        problem: SpecProblem,
    },
    /// The root has no name to look for.
    #[error(
        "CO-RE relocation {spec} of the instruction at byte {insn_off}: the type is anonymous and can't be looked \
             for; give it a name"
    )]
    Anonymous {
        /// Byte offset of the instruction.
        insn_off: u32,
        /// The relocation.
        spec: String,
    },
    /// Candidates disagree.
    #[error(
        "CO-RE relocation {spec} of the instruction at byte {insn_off}: ambiguous, {first} and {second} of the \
             target give different answers ({first_value} and {second_value}); use a flavour that only one of them \
             matches"
    )]
    Ambiguous {
        /// Byte offset of the instruction.
        insn_off: u32,
        /// The relocation.
        spec: String,
        /// First type that matched.
        first: TypeId,
        /// Its answer.
        first_value: String,
        /// The one that disagrees.
        second: TypeId,
        /// Its answer.
        second_value: String,
    },
    /// The types need too many comparisons.
    #[error(
        "CO-RE relocation {spec} of the instruction at byte {insn_off}: the types are too complex to compare; \
             simplify the program's copy of the type"
    )]
    TooComplex {
        /// Byte offset of the instruction.
        insn_off: u32,
        /// The relocation.
        spec: String,
    },
}

/// Why an instruction can't be given a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoisonReason {
    /// No type of the target has what is asked for.
    #[error("no matching targets found")]
    NoMatchingTargets,
    /// The field's size differs, and reading it with another size would give a wrong value.
    #[error(
        "the field has {local} bytes in the program and {target} in the target, and only pointers and unsigned \
             integers can be read in another size"
    )]
    UnsafeResize {
        /// Bytes in the program.
        local: u64,
        /// Bytes in the target.
        target: u64,
    },
}

/// A poisoned instruction's story, for whoever must refuse it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poison {
    /// The relocation, such as `<byte_off> [12] struct sk_buff.len (0:0 @ offset 0)`.
    pub spec: String,
    /// What it asks.
    pub kind: CoreKind,
    /// Why there is no answer.
    pub reason: PoisonReason,
}

impl std::fmt::Display for Poison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CO-RE relocation {}: {}", self.spec, self.reason)
    }
}

/// The answer to a relocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// What was asked.
    pub kind: CoreKind,
    /// The relocation as text.
    pub spec: String,
    /// The access in the program's types.
    pub local: Spec,
    /// Which target (position in the list) matched, and the access in its types.
    pub target: Option<(usize, Spec)>,
    /// The compiler's answer, which the instruction holds.
    pub local_value: u64,
    /// The answer for the target; meaningless if poisoned.
    pub value: u64,
    /// Whether the instruction must hold `local_value`.
    pub validate: bool,
    /// Bytes of the field in the program, for byte offsets of plain fields.
    pub local_size: Option<u64>,
    /// Bytes of the field in the target.
    pub size: Option<u64>,
    /// Whether a load or store must not change its size from `local_size` to `size`.
    pub unsafe_resize: bool,
    /// Why there is no answer.
    pub poison: Option<Poison>,
}

/// Resolves the relocations of one program against targets, with a common limit on the work.
#[derive(Debug)]
pub struct Resolver<'a> {
    local: &'a Btf,
    targets: Vec<&'a Btf>,
    assumed: fn(&str) -> bool,
    steps: u32,
}

/// Resolves one relocation; see [`Resolver::resolve`].
///
/// # Errors
/// As [`Resolver::resolve`].
pub fn resolve(local: &Btf, targets: &[&Btf], relo: &CoreRelo) -> Result<Resolution, CoreError> {
    Resolver::new(local, targets).resolve(relo)
}

impl<'a> Resolver<'a> {
    /// A resolver for a program's types. The first target that has a candidate for a type is the one that counts, as the
    /// kernel's own types go before those of modules in libbpf. A program's own types make a poor target: the flavours
    /// that it declares are candidates then, and ambiguous.
    pub fn new(local: &'a Btf, targets: &[&'a Btf]) -> Resolver<'a> {
        Resolver { local, targets: targets.to_vec(), assumed: |_| false, steps: MAX_STEPS }
    }

    /// The same, where the program's own copy of a type stands for the target's if no target has a candidate and `known`
    /// says that the target would have one: types of a kernel that is not at hand. Flavours are no such copies.
    #[must_use]
    pub fn assuming(self, known: fn(&str) -> bool) -> Resolver<'a> {
        Resolver { assumed: known, ..self }
    }

    /// Whether some target has a type of the relocation's name that could answer it.
    pub fn has_candidate(&self, relo: &CoreRelo) -> bool {
        let kind = self.local.kind(relo.ty);
        let name = essential_name(self.local.name(relo.ty));
        let fits = |t: &&Btf| t.find_essential(name).any(|id| matching::kinds_compatible(kind, t.kind(id)));
        relo.kind == CoreKind::TypeIdLocal || self.targets.iter().any(fits)
    }

    /// One more target, behind the others.
    pub fn add_target(&mut self, target: &'a Btf) {
        self.targets.push(target);
    }

    /// Finds the answer to a relocation. That there is none is no error, see [`Resolution::poison`].
    ///
    /// # Errors
    /// If the record is malformed, candidates disagree, or the types are too complex.
    pub fn resolve(&mut self, relo: &CoreRelo) -> Result<Resolution, CoreError> {
        let insn_off = relo.insn_off;
        let raw = || format!("<{}> {} {}", relo.kind, relo.ty, crate::render::short(self.local.str(relo.access)));
        let bad = |spec: String| move |problem| CoreError::BadSpec { insn_off, spec, problem };
        let local = Spec::parse(self.local, relo).map_err(bad(raw()))?;
        let text = local.render(self.local);
        let own = answer(self.local, &local).map_err(bad(text.clone()))?;
        let mut resolution = Resolution {
            kind: relo.kind,
            spec: text.clone(),
            target: None,
            local_value: own.value,
            value: own.value,
            validate: own.validate,
            local_size: own.size,
            size: None,
            unsafe_resize: false,
            poison: None,
            local,
        };
        if relo.kind == CoreKind::TypeIdLocal {
            return Ok(resolution);
        }
        if self.local.name(relo.ty).is_empty() {
            return Err(CoreError::Anonymous { insn_off, spec: text });
        }
        match self.find(relo, &resolution.local, &text)? {
            Some((target, spec, theirs)) => {
                let btf = self.targets.get(target).copied().unwrap_or(self.local);
                resolution.value = theirs.value;
                resolution.size = theirs.size;
                resolution.unsafe_resize = own.size != theirs.size && !self.resizable(&own, btf, &theirs);
                resolution.target = Some((target, spec));
            }
            None if self.assumes(relo) => resolution.size = resolution.local_size,
            None => match relo.kind {
                CoreKind::FieldExists
                | CoreKind::TypeExists
                | CoreKind::TypeMatches
                | CoreKind::TypeSize
                | CoreKind::TypeIdTarget
                | CoreKind::EnumvalExists => resolution.value = 0,
                _ => {
                    let reason = PoisonReason::NoMatchingTargets;
                    resolution.poison = Some(Poison { spec: text, kind: relo.kind, reason });
                }
            },
        }
        Ok(resolution)
    }

    /// The first matching candidate, after all others agreed with it.
    fn find(&mut self, relo: &CoreRelo, local: &Spec, text: &str) -> Result<Option<(usize, Spec, Answer)>, CoreError> {
        let insn_off = relo.insn_off;
        let own_kind = self.local.kind(relo.ty);
        let name = essential_name(self.local.name(relo.ty));
        for (i, &target) in self.targets.iter().enumerate() {
            let mut found: Option<(Spec, Answer)> = None;
            let mut candidates = 0u32;
            for id in target.find_essential(name) {
                self.steps = self.steps.saturating_sub(1);
                if !matching::kinds_compatible(own_kind, target.kind(id)) {
                    continue;
                }
                candidates += 1;
                let mut matcher = Matcher { local: self.local, target, steps: self.steps };
                let spec = matcher.spec(local, relo.ty, id);
                self.steps = matcher.steps;
                let spec = spec.ok_or_else(|| CoreError::TooComplex { insn_off, spec: text.to_owned() })?;
                let Some(spec) = spec else { continue };
                let theirs = answer(target, &spec).map_err(|problem| CoreError::BadSpec {
                    insn_off,
                    spec: spec.render(target),
                    problem,
                })?;
                match &found {
                    None => found = Some((spec, theirs)),
                    Some((first, value)) if first.bit_offset != spec.bit_offset || value.value != theirs.value => {
                        return Err(CoreError::Ambiguous {
                            insn_off,
                            spec: text.to_owned(),
                            first: first.root,
                            first_value: verdict(first, value),
                            second: spec.root,
                            second_value: verdict(&spec, &theirs),
                        });
                    }
                    Some(_) => {}
                }
            }
            if candidates > 0 {
                return Ok(found.map(|(spec, answer)| (i, spec, answer)));
            }
        }
        Ok(None)
    }

    /// Whether the compiler's answer stands. An id of the target's types can't be known.
    fn assumes(&self, relo: &CoreRelo) -> bool {
        let name = self.local.name(relo.ty);
        let asks_id = relo.kind == CoreKind::TypeIdTarget;
        let defined = matches!(self.local.kind(relo.ty), Kind::Struct | Kind::Union);
        // A part of a kernel's types has structs without members where it was cut.
        let whole = |target: &Btf| target.find_essential(name).any(|id| !target.members(id).is_empty());
        let absent = || !self.targets.iter().any(|target| whole(target));
        !asks_id && defined && essential_name(name) == name && (self.assumed)(name) && absent()
    }

    /// Whether reading a field in its size of the target gives the same value: pointers and unsigned integers are
    /// zero-extended.
    fn resizable(&self, own: &Answer, btf: &Btf, theirs: &Answer) -> bool {
        match (self.local.resolved(own.field), btf.resolved(theirs.field)) {
            (Type::Ptr { .. }, Type::Ptr { .. }) => true,
            (Type::Int(a), Type::Int(b)) => !a.is_signed() && !b.is_signed(),
            _ => false,
        }
    }
}

fn verdict(spec: &Spec, answer: &Answer) -> String {
    if spec.is_field() { format!("{} at bit {}", answer.value, spec.bit_offset) } else { answer.value.to_string() }
}
