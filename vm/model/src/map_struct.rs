//! `struct bpf_map` as programs may read it through a map's address: Linux 6.18's layout on x86-64, of its first fields.

/// A field of the kernel's own map structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapField {
    /// Name in C.
    pub name: &'static str,
    /// First byte.
    pub off: u32,
    /// Bytes.
    pub size: u32,
    /// A pointer: read whole or not at all.
    pub pointer: bool,
    /// An array of bytes: any stretch of it may be read.
    pub array: bool,
}

const fn field(name: &'static str, off: u32, size: u32) -> MapField {
    MapField { name, off, size, pointer: false, array: false }
}

const fn pointer(name: &'static str, off: u32) -> MapField {
    MapField { name, off, size: 8, pointer: true, array: false }
}

const fn array(name: &'static str, off: u32, size: u32) -> MapField {
    MapField { name, off, size, pointer: false, array: true }
}

/// The fields that are known, ascending; what lies between two of them is a hole.
pub const FIELDS: &[MapField] = &[
    array("sha", 0, 32),
    field("excl", 32, 4),
    pointer("ops", 40),
    pointer("inner_map_meta", 48),
    pointer("security", 56),
    field("map_type", 64, 4),
    field("key_size", 68, 4),
    field("value_size", 72, 4),
    field("max_entries", 76, 4),
    field("map_extra", 80, 8),
    field("map_flags", 88, 4),
    field("id", 92, 4),
    pointer("record", 96),
    field("numa_node", 104, 4),
    field("btf_key_type_id", 108, 4),
    field("btf_value_type_id", 112, 4),
    field("btf_vmlinux_value_type_id", 116, 4),
    pointer("btf", 120),
    pointer("objcg", 128),
    array("name", 136, 16),
];

/// First byte behind the known fields.
pub const KNOWN: u32 = 152;
