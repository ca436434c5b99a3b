//! A host crate that forbids `unsafe` altogether can share structs with programs.
#![forbid(unsafe_code)]

mod common;

use backstop::{GuestField, GuestStruct, Linker};

backstop::guest_struct! {
    /// A context with a field of each kind.
    #[derive(Hash)]
    pub struct Shared {
        /// An integer.
        pub length: u32,
        /// A signed one.
        pub mut verdict: i32,
        /// Bytes.
        pub name: [u8; 8],
        /// Not seen by other modules of the host's.
        count: u64,
    }
}

#[test]
fn a_struct_is_declared_without_unsafe() {
    let expected = [
        GuestField { name: "length", offset: 0, size: 4, signed: false, writable: false },
        GuestField { name: "verdict", offset: 4, size: 4, signed: true, writable: true },
        GuestField { name: "name", offset: 8, size: 8, signed: false, writable: false },
        GuestField { name: "count", offset: 16, size: 8, signed: false, writable: false },
    ];
    assert_eq!((Shared::NAME, Shared::FIELDS), ("Shared", expected.as_slice()));
    assert_eq!(Shared::default().count, 0);
}

engines! {
    fn it_is_a_context(engine: &Engine) {
        let mut linker: Linker<()> = Linker::new(engine);
        linker.context::<Shared>().expect("a context");
    }
}
