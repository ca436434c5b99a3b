//! The small language of types in a case's header, and the BTF made from it.

use std::collections::HashMap;

use backstop_btf::{Btf, BtfBuilder, Encoding, Linkage, SecVar, TypeId};

use super::corpus::Case;

/// The types of one program.
pub struct Types {
    builder: BtfBuilder,
    named: HashMap<String, TypeId>,
    layout: HashMap<TypeId, (u32, u32)>,
}

/// A function as the header describes it.
pub struct FuncLine<'c> {
    pub label: &'c str,
    text: &'c str,
}

/// The kernel's own structs that may stand as fields: bytes, alignment.
const SPECIAL: [(&str, u32, u32); 12] = [
    ("bpf_spin_lock", 4, 4),
    ("bpf_res_spin_lock", 4, 4),
    ("bpf_timer", 16, 8),
    ("bpf_wq", 16, 8),
    ("bpf_list_head", 16, 8),
    ("bpf_list_node", 24, 8),
    ("bpf_rb_root", 16, 8),
    ("bpf_rb_node", 32, 8),
    ("bpf_refcount", 4, 4),
    ("bpf_dynptr", 16, 8),
    ("bpf_iter_num", 8, 8),
    ("bpf_iter_bits", 16, 8),
];

const INTS: [(&str, &str, u8, Encoding); 14] = [
    ("char", "char", 1, Encoding::Signed),
    ("u8", "unsigned char", 1, Encoding::Unsigned),
    ("s8", "signed char", 1, Encoding::Signed),
    ("u16", "unsigned short", 2, Encoding::Unsigned),
    ("s16", "short", 2, Encoding::Signed),
    ("u32", "unsigned int", 4, Encoding::Unsigned),
    ("s32", "int", 4, Encoding::Signed),
    ("int", "int", 4, Encoding::Signed),
    ("u64", "unsigned long long", 8, Encoding::Unsigned),
    ("s64", "long long", 8, Encoding::Signed),
    ("long", "long", 8, Encoding::Signed),
    ("bool", "bool", 1, Encoding::Bool),
    ("uint", "unsigned int", 4, Encoding::Unsigned),
    ("schar", "char", 1, Encoding::Signed),
];

impl Types {
    /// The types that the header names.
    pub fn of(case: &Case) -> Types {
        let mut types = Types { builder: BtfBuilder::new(), named: HashMap::new(), layout: HashMap::new() };
        for line in &case.header {
            match line.key.as_str() {
                "struct" => types.structure(&line.value),
                "section" => types.section(&line.value),
                "enum" => types.enumeration(&line.value),
                "typedef" => types.typedef(&line.value),
                "fwd" => {
                    let id = types.builder.forward(&line.value, false);
                    types.named.insert(format!("struct {}", line.value), id);
                }
                _ => {}
            }
        }
        types
    }

    /// The id of a struct, integer or other named type.
    pub fn id(&mut self, name: &str) -> TypeId {
        if let Some(id) = self.named.get(&format!("struct {name}")) {
            return *id;
        }
        self.base(name)
    }

    fn structure(&mut self, text: &str) {
        let (name, fields) = text.split_once('{').unwrap_or_else(|| panic!("struct `{text}`"));
        let name = name.trim();
        let fields = fields.trim_end().trim_end_matches('}');
        let mut members: Vec<(String, TypeId, u32)> = Vec::new();
        let mut tags: Vec<(String, u32)> = Vec::new();
        let (mut size, mut align) = (0_u32, 1_u32);
        for field in fields.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            let mut words = field.split('@');
            let declared = words.next().unwrap_or_default().trim();
            let field_tags: Vec<&str> = words.map(str::trim).collect();
            let pointer_tag = field_tags.iter().find(|tag| !tag.contains(':')).copied();
            let (ty, field_name) = self.declared(declared, pointer_tag);
            for tag in field_tags.iter().filter(|tag| tag.contains(':')) {
                tags.push(((*tag).to_owned(), members.len() as u32));
            }
            let (field_size, field_align) = self.layout.get(&ty).copied().unwrap_or((8, 8));
            size = size.next_multiple_of(field_align);
            align = align.max(field_align);
            members.push((field_name, ty, size * 8));
            size += field_size;
        }
        size = size.next_multiple_of(align);
        let members: Vec<(&str, TypeId, u32)> = members.iter().map(|(n, t, o)| (n.as_str(), *t, *o)).collect();
        let id = self.builder.structure(name, size, &members);
        for (tag, member) in tags {
            self.builder.decl_tag(&tag, id, Some(member));
        }
        self.named.insert(format!("struct {name}"), id);
        self.layout.insert(id, (size, align));
    }

    /// A section of global variables, `NAME { TYPE VARIABLE [@TAG]; ... }`, which lie as a struct's members would.
    fn section(&mut self, text: &str) {
        let (name, fields) = text.split_once('{').unwrap_or_else(|| panic!("section `{text}`"));
        let fields = fields.trim_end().trim_end_matches('}');
        let mut vars = Vec::new();
        let mut size = 0_u32;
        for field in fields.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            let mut words = field.split('@');
            let declared = words.next().unwrap_or_default().trim();
            let (tags, pointer_tags): (Vec<&str>, Vec<&str>) = words.map(str::trim).partition(|tag| tag.contains(':'));
            let (ty, var_name) = self.declared(declared, pointer_tags.first().copied());
            let var = self.builder.var(&var_name, ty, Linkage::Global);
            for tag in tags {
                self.builder.decl_tag(tag, var, None);
            }
            let (var_size, align) = self.layout.get(&ty).copied().unwrap_or((8, 8));
            size = size.next_multiple_of(align);
            vars.push(SecVar { ty: var, offset: size, size: var_size });
            size += var_size;
        }
        let id = self.builder.datasec(name.trim(), size, &vars);
        self.named.insert(format!("section {}", name.trim()), id);
    }

    /// The id of a section of variables.
    pub fn section_id(&self, name: &str) -> Option<TypeId> {
        self.named.get(&format!("section {name}")).copied()
    }

    fn enumeration(&mut self, text: &str) {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let values: Vec<(&str, i64)> = words
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name, value.parse().expect("an enum's value")))
            .collect();
        let id = self.builder.enumeration(name, 4, false, &values);
        self.named.insert(format!("enum {name}"), id);
        self.layout.insert(id, (4, 4));
    }

    fn typedef(&mut self, text: &str) {
        let (name, ty) = text.split_once(' ').unwrap_or_else(|| panic!("typedef `{text}`"));
        let to = self.declared(&format!("{ty} x"), None).0;
        let id = self.builder.typedef(name, to);
        self.named.insert(name.to_owned(), id);
        if let Some(layout) = self.layout.get(&to).copied() {
            self.layout.insert(id, layout);
        }
    }

    /// `struct foo *name[4]`: the type and the name.
    fn declared(&mut self, text: &str, pointer_tag: Option<&str>) -> (TypeId, String) {
        let (text, len) = match text.split_once('[') {
            Some((text, len)) => (text, Some(len.trim_end_matches(']').parse::<u32>().expect("an array's length"))),
            None => (text, None),
        };
        let text = text.replace('*', " * ");
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let name = match words.last() {
            Some(&"*") | None => String::new(),
            Some(_) => words.pop().unwrap_or_default().to_owned(),
        };
        let stars = words.iter().filter(|word| **word == "*").count();
        let constant = words.first() == Some(&"const");
        let base: Vec<&str> = words.into_iter().filter(|word| *word != "*" && *word != "const").collect();
        let base = base.join(" ");
        let mut id = self.base(&base);
        if constant {
            let layout = self.layout.get(&id).copied();
            id = self.builder.constant(id);
            layout.and_then(|layout| self.layout.insert(id, layout));
        }
        for star in 0..stars {
            if let (0, Some(tag)) = (star, pointer_tag) {
                id = self.builder.type_tag(tag, id);
            }
            id = self.builder.ptr(id);
            self.layout.insert(id, (8, 8));
        }
        if let Some(len) = len {
            let (size, align) = self.layout.get(&id).copied().unwrap_or((1, 1));
            let index = self.base("u32");
            id = self.builder.array(id, index, len);
            self.layout.insert(id, (size * len, align));
        }
        (id, name)
    }

    fn base(&mut self, name: &str) -> TypeId {
        if name == "void" {
            return TypeId::VOID;
        }
        if let Some(id) = self.named.get(name) {
            return *id;
        }
        let id = self.new_base(name);
        self.named.insert(name.to_owned(), id);
        id
    }

    fn new_base(&mut self, name: &str) -> TypeId {
        if let Some((_, c_name, size, encoding)) = INTS.iter().find(|row| row.0 == name) {
            let id = self.builder.int(c_name, *size, *encoding);
            self.layout.insert(id, (u32::from(*size), u32::from(*size)));
            return id;
        }
        let Some(tag) = name.strip_prefix("struct ") else { panic!("type `{name}` is not known") };
        let (size, align) = SPECIAL.iter().find(|row| row.0 == tag).map_or((0, 1), |(_, size, align)| (*size, *align));
        let id = if size == 0 {
            self.builder.structure(tag, 0, &[])
        } else {
            let (word, word_size) = if align == 4 { ("u32", 4) } else { ("u64", 8) };
            let word = self.base(word);
            let index = self.base("u32");
            let array = self.builder.array(word, index, size / word_size);
            self.builder.structure(tag, size, &[("__opaque", array, 0)])
        };
        self.layout.insert(id, (size, align));
        id
    }

    /// A function from its line, or one of `int NAME(u64)` for those without.
    pub fn func(&mut self, line: Option<&FuncLine<'_>>, name: &str) -> TypeId {
        let Some(line) = line else {
            let (int, arg) = (self.base("int"), self.base("u64"));
            let proto = self.builder.func_proto(int, &[("arg", arg)]);
            return self.builder.func(name, proto, Linkage::Static);
        };
        let text = line.text;
        let bad = || panic!("func `{text}`");
        let (head, rest) = text.split_once('(').unwrap_or_else(bad);
        let (args, linkage) = rest.rsplit_once(')').unwrap_or_else(bad);
        let (ret, func_name) = self.declared(head.trim(), None);
        let mut params = Vec::new();
        let mut tags = Vec::new();
        for arg in args.split(',').map(str::trim).filter(|arg| !arg.is_empty() && *arg != "void") {
            let mut words = arg.split('@');
            let (ty, arg_name) = self.declared(words.next().unwrap_or_default().trim(), None);
            words.for_each(|tag| tags.push((format!("arg:{}", tag.trim()), params.len() as u32)));
            params.push((arg_name, ty));
        }
        let params: Vec<(&str, TypeId)> = params.iter().map(|(name, ty)| (name.as_str(), *ty)).collect();
        let proto = self.builder.func_proto(ret, &params);
        let linkage = match linkage.trim() {
            "global" => Linkage::Global,
            "static" => Linkage::Static,
            other => panic!("func `{text}`: linkage `{other}`"),
        };
        let id = self.builder.func(&func_name, proto, linkage);
        for (tag, component) in tags {
            self.builder.decl_tag(&tag, id, Some(component));
        }
        id
    }

    pub fn tag(&mut self, text: &str, func: TypeId) {
        self.builder.decl_tag(text, func, None);
    }

    /// A scalar type of this many bytes for a map's key.
    pub fn key(&mut self, size: u32) -> Option<TypeId> {
        match size {
            0 => None,
            4 => Some(self.base("u32")),
            8 => Some(self.base("u64")),
            _ => {
                let (elem, index) = (self.base("u8"), self.base("u32"));
                Some(self.builder.array(elem, index, size))
            }
        }
    }

    pub fn build(&self) -> Btf {
        self.builder.build().unwrap_or_else(|error| panic!("the case's types: {error}"))
    }
}

impl<'c> FuncLine<'c> {
    pub fn all(case: &'c Case) -> Vec<FuncLine<'c>> {
        case.all("func")
            .map(|line| {
                let (label, text) = line.split_once(' ').unwrap_or_else(|| panic!("func `{line}`"));
                FuncLine { label, text: text.trim() }
            })
            .collect()
    }
}
