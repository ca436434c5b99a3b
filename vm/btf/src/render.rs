//! Types as C writes them. Output and work are bounded, whatever the types are.

use std::cell::Cell;

use crate::btf::Btf;
use crate::types::*;

/// Longest text that is extended further, in bytes.
const MAX_TEXT: usize = 400;
/// Longest part of a name that is shown, in bytes.
const MAX_NAME: usize = 128;
/// Most types that one text visits.
const MAX_STEPS: u32 = 500;
/// Most levels of pointers, arrays and prototypes in each other.
const MAX_LEVEL: u32 = 48;

impl Btf {
    /// A type as C writes it without a name: `struct foo *`, `int (*)(void *)`, `const char[16]`.
    pub fn type_name(&self, id: TypeId) -> String {
        self.declaration(id, "")
    }

    /// The declaration of `ident` with this type: `struct foo *p`, `int (*f)(void *)`, `char buf[16]`.
    pub fn declaration(&self, id: TypeId, ident: &str) -> String {
        Speller { btf: self, steps: Cell::new(MAX_STEPS) }.spell(id, short(ident).into_owned(), 0)
    }
}

/// A name cut to what can be shown.
pub(crate) fn short(name: &str) -> std::borrow::Cow<'_, str> {
    if name.len() <= MAX_NAME {
        return name.into();
    }
    let mut end = MAX_NAME;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", name.get(..end).unwrap_or("")).into()
}

struct Speller<'a> {
    btf: &'a Btf,
    steps: Cell<u32>,
}

fn join(base: &str, inner: &str) -> String {
    let gap = if inner.is_empty() || inner.starts_with('[') { "" } else { " " };
    format!("{base}{gap}{inner}")
}

impl Speller<'_> {
    /// Spells a type around `inner`, the declarator that was built so far.
    fn spell(&self, id: TypeId, inner: String, level: u32) -> String {
        let steps = self.steps.get();
        if steps == 0 || level > MAX_LEVEL || inner.len() > MAX_TEXT {
            return join("...", &inner);
        }
        self.steps.set(steps - 1);
        let go = |to, inner| self.spell(to, inner, level + 1);
        let ty = self.btf.ty(id);
        let name = short(self.btf.str(ty.name()));
        match *ty {
            Type::Void => join("void", &inner),
            Type::Int(_) | Type::Float { .. } | Type::Typedef { .. } => join(&name, &inner),
            Type::Struct(_) => self.tagged("struct", &name, &inner),
            Type::Union(_) => self.tagged("union", &name, &inner),
            Type::Enum(_) | Type::Enum64(_) => self.tagged("enum", &name, &inner),
            Type::Fwd { union, .. } => self.tagged(if union { "union" } else { "struct" }, &name, &inner),
            Type::Ptr { to } => match self.btf.kind(self.btf.strip_qualifiers(to)) {
                Kind::Array | Kind::FuncProto => go(to, format!("(*{inner})")),
                _ => go(to, format!("*{inner}")),
            },
            Type::Array { elem, len, .. } => go(elem, format!("{inner}[{len}]")),
            Type::Const { to } => self.qualified("const", to, inner, level),
            Type::Volatile { to } => self.qualified("volatile", to, inner, level),
            Type::Restrict { to } => self.qualified("restrict", to, inner, level),
            Type::TypeTag { to, .. } => self.qualified(&format!("__{name}"), to, inner, level),
            Type::FuncProto { ret, .. } => {
                let params = self.params(id, level);
                go(ret, format!("{inner}({params})"))
            }
            Type::Func { proto, .. } => go(proto, name.into_owned()),
            Type::Var { ty, .. } => go(ty, name.into_owned()),
            Type::Datasec { .. } => format!("section {name}"),
            Type::DeclTag { .. } => format!("decl_tag(\"{name}\")"),
        }
    }

    fn tagged(&self, keyword: &str, name: &str, inner: &str) -> String {
        let name = if name.is_empty() { "(anon)" } else { name };
        join(&format!("{keyword} {name}"), inner)
    }

    /// A qualifier of a pointer stands behind the star, others in front.
    fn qualified(&self, word: &str, to: TypeId, inner: String, level: u32) -> String {
        match self.btf.kind(self.btf.strip_qualifiers(to)) {
            Kind::Ptr => self.spell(to, join(word, &inner), level + 1),
            _ => format!("{word} {}", self.spell(to, inner, level + 1)),
        }
    }

    fn params(&self, proto: TypeId, level: u32) -> String {
        let params = self.btf.params(proto);
        if params.is_empty() {
            return "void".to_owned();
        }
        let mut out = String::new();
        for p in params {
            if !out.is_empty() {
                out.push_str(", ");
            }
            if out.len() > MAX_TEXT || p.ty.is_void() {
                out.push_str("...");
                break;
            }
            out.push_str(&self.spell(p.ty, short(self.btf.str(p.name)).into_owned(), level + 1));
        }
        out
    }
}
