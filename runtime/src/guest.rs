//! Rust types that guests and host share.

#![allow(unsafe_code)]

use backstop_btf::{BtfBuilder, Encoding, TypeId};

/// A field of a shared struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestField {
    /// Name in C.
    pub name: &'static str,
    /// Byte offset.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
    /// Whether it is a signed integer.
    pub signed: bool,
    /// Whether programs may write it (as a context field).
    pub writable: bool,
}

/// A `#[repr(C)]` struct that programs see as their context or through kfunc pointers. [`guest_struct!`](crate::guest_struct)
/// declares one safely.
///
/// # Safety
/// The type is `#[repr(C)]`, has no padding (programs can read every byte), is valid for any bytes, and `FIELDS` describes its fields
/// truly, in ascending order of offset and without overlap.
pub unsafe trait GuestStruct: Copy + Send + 'static {
    /// The struct's name in C.
    const NAME: &'static str;
    /// Its fields.
    const FIELDS: &'static [GuestField];
}

/// An integer that may be a field of a [`GuestStruct`].
///
/// # Safety
/// Valid for any bytes, no padding.
pub unsafe trait GuestInt: Copy + Send + 'static {
    /// Whether it is signed.
    const SIGNED: bool;

    #[doc(hidden)]
    fn zero() -> Self {
        // SAFETY: the implementation promises that any bytes are valid.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! guest_ints {
    ($($ty:ty: $signed:literal),*) => { $(
        // SAFETY: integers are valid for any bytes and have no padding.
        unsafe impl GuestInt for $ty {
            const SIGNED: bool = $signed;
        }
    )* };
}

guest_ints!(u8: false, u16: false, u32: false, u64: false, i8: true, i16: true, i32: true, i64: true);

// SAFETY: an array of such is such.
unsafe impl<T: GuestInt, const N: usize> GuestInt for [T; N] {
    const SIGNED: bool = T::SIGNED;
}

/// Declares a `#[repr(C)]` struct of integers and arrays of integers, zero by default, that guests and host share. Fields marked `mut` may be written by programs that get the
/// struct as their context.
///
/// Crates that forbid `unsafe` can use it: what the implementation rests on is checked while it is compiled. A struct with padding is
/// refused, since a program could read there what the host never meant to show; give the gap a name.
///
/// ```compile_fail
/// backstop::guest_struct! {
///     pub struct Gap {
///         pub small: u8,
///         pub large: u64,
///     }
/// }
/// ```
///
/// A layout for each type parameter is none for guests:
///
/// ```compile_fail
/// backstop::guest_struct! {
///     pub struct Pair<T> {
///         pub first: T,
///         pub second: T,
///     }
/// }
/// ```
///
/// ```
/// backstop::guest_struct! {
///     /// What the filter sees of a request.
///     pub struct Request {
///         pub length: u32,
///         pub mut verdict: u32,
///     }
/// }
/// let request = Request { length: 5, verdict: 0 };
/// assert_eq!(request.length, 5);
/// ```
#[macro_export]
macro_rules! guest_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident { $($fields:tt)* }
    ) => {
        $crate::guest_struct!(@fields [$(#[$meta])*] [$vis] $name [] [] $($fields)*);
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident < $($rest:tt)*
    ) => {
        ::core::compile_error!(concat!(
            "struct ", stringify!($name), " has generic parameters, but guests know one layout only: declare a struct for each type",
        ));
    };
    (@fields [$($meta:tt)*] [$vis:vis] $name:ident [$($decl:tt)*] [$($info:tt)*]) => {
        $($meta)*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis struct $name { $($decl)* }

        $crate::guest_struct!(@zero $name $($info)*);
        $crate::guest_struct!(@check $name $($info)*);

        // SAFETY: integers only (each field's type is a `GuestInt`), described by offset_of and size_of; `@check` saw that these are all
        // fields, of these types, whatever other attributes made of the struct, and that there is no padding.
        unsafe impl $crate::GuestStruct for $name {
            const NAME: &'static str = stringify!($name);
            const FIELDS: &'static [$crate::GuestField] = &$crate::guest_struct!(@info $name [] $($info)*);
        }
    };
    (@fields $meta:tt $v:tt $name:ident [$($decl:tt)*] [$($info:tt)*]
        $(#[$fmeta:meta])* $fvis:vis mut $field:ident : $ty:ty $(, $($rest:tt)*)?) => {
        $crate::guest_struct!(@fields $meta $v $name
            [$($decl)* $(#[$fmeta])* $fvis $field: $ty,] [$($info)* ($field, $ty, true)] $($($rest)*)?);
    };
    (@fields $meta:tt $v:tt $name:ident [$($decl:tt)*] [$($info:tt)*]
        $(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty $(, $($rest:tt)*)?) => {
        $crate::guest_struct!(@fields $meta $v $name
            [$($decl)* $(#[$fmeta])* $fvis $field: $ty,] [$($info)* ($field, $ty, false)] $($($rest)*)?);
    };
    (@zero $name:ident $(($field:ident, $ty:ty, $writable:literal))*) => {
        // Not derived: the standard library's arrays of more than 32 elements have no default.
        impl ::core::default::Default for $name {
            fn default() -> Self {
                $name { $($field: <$ty as $crate::GuestInt>::zero()),* }
            }
        }
    };
    (@check $name:ident $(($field:ident, $ty:ty, $writable:literal))*) => {
        const _: () = {
            #[allow(dead_code)]
            fn all_fields(whole: $name) -> ($($ty,)*) {
                let $name { $($field),* } = whole;
                ($($field,)*)
            }
            assert!(
                ::core::mem::size_of::<$name>() == 0 $(+ ::core::mem::size_of::<$ty>())*,
                concat!("struct ", stringify!($name), " has padding: give the gap a field of its own"),
            );
        };
    };
    (@info $name:ident [$($done:tt)*]) => { [$($done)*] };
    (@info $name:ident [$($done:tt)*] ($field:ident, $ty:ty, $writable:literal) $($rest:tt)*) => {
        $crate::guest_struct!(@info $name [$($done)* $crate::GuestField {
            name: stringify!($field),
            offset: ::core::mem::offset_of!($name, $field),
            size: ::core::mem::size_of::<$ty>(),
            signed: <$ty as $crate::GuestInt>::SIGNED,
            writable: $writable,
        },] $($rest)*)
    };
}

/// Adds the struct to a builder.
pub(crate) fn describe<T: GuestStruct>(btf: &mut BtfBuilder) -> TypeId {
    let mut members = Vec::with_capacity(T::FIELDS.len());
    for field in T::FIELDS {
        let ty = integer(btf, field.size.min(8) as u8, field.signed);
        // Arrays and odd sizes are arrays of bytes.
        let ty = if matches!(field.size, 1 | 2 | 4 | 8) {
            ty
        } else {
            let byte = integer(btf, 1, false);
            let index = integer(btf, 4, false);
            btf.array(byte, index, field.size as u32)
        };
        members.push((field.name, ty, field.offset as u32 * 8));
    }
    // Never the bare name: the verifier takes a struct named like a program's context for that context, whatever its size.
    let name = format!("{}__host", T::NAME);
    btf.structure(&name, size_of::<T>() as u32, &members)
}

/// Adds an integer type.
pub(crate) fn integer(btf: &mut BtfBuilder, size: u8, signed: bool) -> TypeId {
    let size = size.next_power_of_two().min(8);
    let name = match (size, signed) {
        (1, false) => "u8",
        (2, false) => "u16",
        (4, false) => "u32",
        (_, false) => "u64",
        (1, true) => "s8",
        (2, true) => "s16",
        (4, true) => "s32",
        (_, true) => "s64",
    };
    let encoding = if signed { Encoding::Signed } else { Encoding::Unsigned };
    btf.int(name, size, encoding)
}
