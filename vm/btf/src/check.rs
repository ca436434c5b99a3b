//! Second pass over decoded types: references, cycles, depth, sizes.
//!
//! Two graphs must be free of circles, as in Linux's `btf_check_all_types`: containment by value (members, elements,
//! qualifiers, typedefs; a pointer ends it) and chains of pointers, qualifiers and typedefs (a struct, array or
//! prototype ends it). Both are walked without recursion, and the depth of containment is limited, so that later code may
//! recurse over it.

use crate::error::TypeProblem;
use crate::parse::Tables;
use crate::types::*;

/// Most levels of containment by value and most links of a pointer chain. Linux allows 32 unresolved ones at a time.
pub(crate) const MAX_DEPTH: u32 = 64;

/// Size that stands for "has none".
const NO_SIZE: u64 = u64::MAX;

type Outcome = Result<(), (TypeId, TypeProblem)>;

/// Checks everything that one record alone can't show.
pub(crate) fn check(tables: &Tables, strings: &[u8]) -> Outcome {
    let ids = 1..tables.types.len() as u32;
    for (id, ty) in ids.clone().zip(tables.types.iter().skip(1)) {
        references(tables, strings, ty).map_err(|p| (TypeId(id), p))?;
    }
    pointer_chains(tables)?;
    let sizes = containment(tables)?;
    for (id, ty) in ids.zip(tables.types.iter().skip(1)) {
        fits(tables, &sizes, ty).map_err(|p| (TypeId(id), p))?;
    }
    Ok(())
}

fn lookup(tables: &Tables, to: TypeId) -> Result<&Type, TypeProblem> {
    let last = (tables.types.len() as u32).saturating_sub(1);
    tables.types.get(to.index()).ok_or(TypeProblem::IdOutside { to, last })
}

/// Follows typedefs and qualifiers; only after `pointer_chains` found no circle is the bound never reached.
fn resolve(tables: &Tables, mut id: TypeId) -> (TypeId, Type) {
    for _ in 0..=MAX_DEPTH {
        match tables.types.get(id.index()) {
            Some(ty) => match ty.modified() {
                Some(to) => id = to,
                None => return (id, *ty),
            },
            None => break,
        }
    }
    (TypeId::VOID, Type::Void)
}

/// A reference from a type, member, parameter or variable to a type proper.
fn proper(tables: &Tables, role: &'static str, to: TypeId, void: bool) -> Result<(), TypeProblem> {
    let found = lookup(tables, to)?.kind();
    match found {
        Kind::Var | Kind::Datasec | Kind::DeclTag | Kind::Func => Err(TypeProblem::BadReference { role, to, found }),
        Kind::Void if !void => Err(TypeProblem::BadReference { role, to, found }),
        _ => Ok(()),
    }
}

fn references(tables: &Tables, strings: &[u8], ty: &Type) -> Result<(), TypeProblem> {
    match *ty {
        Type::Void | Type::Int(_) | Type::Enum(_) | Type::Enum64(_) | Type::Fwd { .. } | Type::Float { .. } => Ok(()),
        Type::Ptr { to } => proper(tables, "the pointee", to, true),
        Type::Typedef { to, .. }
        | Type::Volatile { to }
        | Type::Const { to }
        | Type::Restrict { to }
        | Type::TypeTag { to, .. } => proper(tables, "the modified type", to, true),
        Type::Array { elem, index, .. } => {
            proper(tables, "the element", elem, false)?;
            proper(tables, "the index", index, false)
        }
        Type::Struct(c) | Type::Union(c) => {
            c.members.of(&tables.members).iter().try_for_each(|m| proper(tables, "a member", m.ty, false))
        }
        Type::Func { proto, .. } => match lookup(tables, proto)?.kind() {
            Kind::FuncProto => Ok(()),
            found => Err(TypeProblem::BadReference { role: "the prototype", to: proto, found }),
        },
        Type::FuncProto { ret, params } => {
            proper(tables, "the result", ret, true)?;
            let list = params.of(&tables.params);
            for (i, p) in list.iter().enumerate() {
                let vararg = i + 1 == list.len() && strings.get(p.name.0 as usize) == Some(&0);
                if p.ty.is_void() && !vararg {
                    return Err(TypeProblem::VoidParam { index: i as u32 });
                }
                proper(tables, "a parameter", p.ty, true)?;
            }
            Ok(())
        }
        // `extern const void` is how typeless kernel symbols are declared.
        Type::Var { ty, .. } => proper(tables, "the variable's type", ty, true),
        Type::Datasec { vars, .. } => {
            vars.of(&tables.vars).iter().try_for_each(|v| match lookup(tables, v.ty)?.kind() {
                Kind::Var | Kind::Func => Ok(()),
                found => Err(TypeProblem::BadReference { role: "a section variable", to: v.ty, found }),
            })
        }
        Type::DeclTag { target, component, .. } => decl_tag(tables, target, component),
    }
}

fn decl_tag(tables: &Tables, target: TypeId, component: Option<u32>) -> Result<(), TypeProblem> {
    let count = match *lookup(tables, target)? {
        Type::Struct(c) | Type::Union(c) => c.members.len,
        Type::Func { proto, .. } => match *lookup(tables, proto)? {
            Type::FuncProto { params, .. } => params.len,
            _ => 0,
        },
        Type::Var { .. } | Type::Typedef { .. } => 0,
        ref other => {
            return Err(TypeProblem::BadReference { role: "the tag's target", to: target, found: other.kind() });
        }
    };
    match component {
        Some(n) if n >= count => Err(TypeProblem::BadComponent { component: n as i32, count }),
        _ => Ok(()),
    }
}

/// Refuses circles and overlong chains of pointers, qualifiers and typedefs: each has one way out, so a walk suffices.
fn pointer_chains(tables: &Tables) -> Outcome {
    const NEW: u8 = 0xff;
    const OPEN: u8 = 0xfe;
    let next = |id: TypeId| match tables.types.get(id.index()) {
        Some(Type::Ptr { to }) => Some(*to),
        Some(ty) => ty.modified(),
        None => None,
    };
    let mut depth = vec![NEW; tables.types.len()];
    let mut path = Vec::new();
    for start in 0..tables.types.len() as u32 {
        let mut at = TypeId(start);
        let mut base = loop {
            match depth.get_mut(at.index()) {
                Some(d) if *d == NEW => *d = OPEN,
                Some(d) if *d == OPEN => {
                    return Err((at, TypeProblem::Cycle { through: *path.last().unwrap_or(&at) }));
                }
                Some(d) => break *d,
                None => break 0,
            }
            path.push(at);
            match next(at) {
                Some(to) => at = to,
                None => break 0,
            }
        };
        while let Some(id) = path.pop() {
            let links = next(id).is_some();
            base = base.saturating_add(u8::from(links));
            if u32::from(base) > MAX_DEPTH {
                return Err((id, TypeProblem::TooDeep { max: MAX_DEPTH }));
            }
            if let Some(d) = depth.get_mut(id.index()) {
                *d = base;
            }
        }
    }
    Ok(())
}

/// Which type a type contains by value at position `i`, if there is one.
fn contained(tables: &Tables, ty: &Type, i: u32) -> Option<TypeId> {
    match ty {
        Type::Struct(c) | Type::Union(c) => c.members.of(&tables.members).get(i as usize).map(|m| m.ty),
        Type::Array { elem, .. } => (i == 0).then_some(*elem),
        other => other.modified().filter(|_| i == 0),
    }
}

/// Refuses containment circles and returns the size of each type.
fn containment(tables: &Tables) -> Result<Vec<u64>, (TypeId, TypeProblem)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done(u8),
    }
    let mut marks = vec![Mark::New; tables.types.len()];
    let mut sizes = vec![NO_SIZE; tables.types.len()];
    // (type, position of the next contained type, deepest level below it)
    let mut stack: Vec<(TypeId, u32, u8)> = Vec::new();
    for start in 0..tables.types.len() as u32 {
        if marks.get(start as usize) != Some(&Mark::New) {
            continue;
        }
        stack.push((TypeId(start), 0, 0));
        while let Some((id, next, below)) = stack.last_mut() {
            let id = *id;
            let Some(ty) = tables.types.get(id.index()) else {
                break;
            };
            let Some(child) = contained(tables, ty, *next) else {
                if u32::from(*below) > MAX_DEPTH {
                    return Err((id, TypeProblem::TooDeep { max: MAX_DEPTH }));
                }
                let depth = *below;
                let bytes = size_from(ty, &sizes);
                if let (Some(mark), Some(size)) = (marks.get_mut(id.index()), sizes.get_mut(id.index())) {
                    (*mark, *size) = (Mark::Done(depth), bytes);
                }
                stack.pop();
                if let Some((_, _, below)) = stack.last_mut() {
                    *below = (*below).max(depth.saturating_add(1));
                }
                continue;
            };
            *next = next.saturating_add(1);
            if let Some(mark) = marks.get_mut(id.index()) {
                *mark = Mark::Open;
            }
            match marks.get(child.index()) {
                Some(Mark::Open) => return Err((id, TypeProblem::Cycle { through: child })),
                Some(Mark::Done(d)) => *below = (*below).max(d.saturating_add(1)),
                _ => stack.push((child, 0, 0)),
            }
        }
    }
    Ok(sizes)
}

/// Size of a type whose parts are sized already; an array beyond `u64` counts as unsized and is refused later.
fn size_from(ty: &Type, sizes: &[u64]) -> u64 {
    let of = |id: TypeId| sizes.get(id.index()).copied().unwrap_or(NO_SIZE);
    match *ty {
        Type::Int(i) => i.size.into(),
        Type::Ptr { .. } => crate::btf::POINTER_SIZE,
        Type::Array { elem, len, .. } => match of(elem) {
            NO_SIZE => NO_SIZE,
            size => size.checked_mul(len.into()).unwrap_or(NO_SIZE),
        },
        Type::Struct(c) | Type::Union(c) => c.size.into(),
        Type::Enum(e) | Type::Enum64(e) => e.size.into(),
        Type::Float { size, .. } => size.into(),
        Type::Datasec { size, .. } => size.into(),
        Type::Void | Type::Fwd { .. } | Type::Func { .. } | Type::FuncProto { .. } | Type::DeclTag { .. } => NO_SIZE,
        Type::Var { ty, .. } => of(ty),
        Type::Typedef { to, .. }
        | Type::Volatile { to }
        | Type::Const { to }
        | Type::Restrict { to }
        | Type::TypeTag { to, .. } => of(to),
    }
}

fn fits(tables: &Tables, sizes: &[u64], ty: &Type) -> Result<(), TypeProblem> {
    let size_of = |role, to: TypeId| match sizes.get(to.index()) {
        Some(&NO_SIZE) | None => Err(TypeProblem::Unsized { role, to }),
        Some(&size) => Ok(size),
    };
    match *ty {
        Type::Array { elem, index, len } => {
            let elem_size = size_of("the element", elem)?;
            if elem_size.checked_mul(len.into()).is_none_or(|n| n > u32::MAX.into()) {
                return Err(TypeProblem::ArrayOverflow { len, elem_size });
            }
            match resolve(tables, index) {
                (_, Type::Int(_)) => Ok(()),
                (to, found) => Err(TypeProblem::BadReference { role: "the index", to, found: found.kind() }),
            }
        }
        Type::Struct(c) | Type::Union(c) => {
            for (i, m) in c.members.of(&tables.members).iter().enumerate() {
                member(tables, &c, i as u32, m, size_of("a member", m.ty)?)?;
            }
            Ok(())
        }
        Type::Datasec { size, vars, .. } if size != 0 => datasec_fits(size, vars.of(&tables.vars)),
        _ => Ok(()),
    }
}

/// Refuses section variables beyond the section's end.
pub(crate) fn datasec_fits(size: u32, vars: &[SecVar]) -> Result<(), TypeProblem> {
    for (i, v) in vars.iter().enumerate() {
        let (start, end) = (u64::from(v.offset), u64::from(v.offset) + u64::from(v.size));
        if end > size.into() {
            return Err(TypeProblem::VarOutside { index: i as u32, start, end, size });
        }
    }
    Ok(())
}

fn member(tables: &Tables, c: &Composite, index: u32, m: &Member, size: u64) -> Result<(), TypeProblem> {
    let bits = u64::from(c.size) * 8;
    let bad = TypeProblem::BadBitfield { index, bit_offset: m.bit_offset, bit_size: m.bit_size };
    let (start, base) = (u64::from(m.bit_offset), resolve(tables, m.ty).1);
    let end = match base {
        Type::Int(_) | Type::Enum(_) | Type::Enum64(_) if m.bit_size != 0 => {
            let most = if let Type::Int(i) = base { i.bits.into() } else { size.saturating_mul(8) };
            if u64::from(m.bit_size) > most {
                return Err(bad);
            }
            start + u64::from(m.bit_size)
        }
        // In the old style the integer itself says which bits count, and may begin at any bit.
        Type::Int(i) => start + u64::from(i.bit_offset) + u64::from(i.bits),
        _ if m.bit_size != 0 || !m.bit_offset.is_multiple_of(8) => return Err(bad),
        _ => start.saturating_add(size.saturating_mul(8)),
    };
    if end > bits {
        return Err(TypeProblem::MemberOutside { index, end, bits });
    }
    Ok(())
}
