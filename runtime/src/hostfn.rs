//! Typed Rust functions as kfuncs: from words to arguments, from results to words, and the prototype in BTF.

use backstop_btf::{Btf, BtfBuilder, BtfError, Linkage, TypeId};

use crate::call::{Call, Ended, HostError};
use crate::caller::{Caller, Ptr};
use crate::guest::{GuestStruct, describe, integer};
use crate::record::End;

/// How arguments, results and functions cross the boundary. Out of reach outside this crate: a prototype that does not say what a word
/// is turns numbers into pointers.
mod sealed {
    use super::{Btf, BtfBuilder, BtfError, Caller, HostError, TypeId};

    pub trait Arg: Sized {
        fn ty(btf: &mut BtfBuilder) -> TypeId;
        fn from_word(word: u64, serial: u64) -> Self;
    }

    pub trait Ret {
        fn ty(btf: &mut BtfBuilder) -> TypeId;
        fn into_word(self) -> Result<u64, HostError>;
    }

    pub trait HostFn<H, Args> {
        fn prototype(&self, name: &str) -> Result<(Btf, TypeId), BtfError>;
        fn invoke(&self, caller: Caller<'_, H>, words: [u64; 5]) -> Result<u64, HostError>;
    }
}

/// What a kfunc can take: integers, and a [`Ptr`] to a [`GuestStruct`]. No other crate can implement it.
pub trait Arg: sealed::Arg {}

/// What a kfunc can return: nothing, an integer, or a `Result` of either. No other crate can implement it.
pub trait Ret: sealed::Ret {}

macro_rules! integers {
    ($($ty:ty: $signed:literal),*) => { $(
        impl Arg for $ty {}
        impl sealed::Arg for $ty {
            fn ty(btf: &mut BtfBuilder) -> TypeId {
                integer(btf, size_of::<$ty>() as u8, $signed)
            }
            fn from_word(word: u64, _serial: u64) -> Self {
                word as $ty
            }
        }
        impl Ret for $ty {}
        impl sealed::Ret for $ty {
            fn ty(btf: &mut BtfBuilder) -> TypeId {
                integer(btf, size_of::<$ty>() as u8, $signed)
            }
            fn into_word(self) -> Result<u64, HostError> {
                // The verifier takes results as numbers of the declared width: upper bits follow the sign, as C's ABI leaves them to the reader.
                Ok(self as i64 as u64)
            }
        }
    )* };
}

integers!(u8: false, u16: false, u32: false, u64: false, i8: true, i16: true, i32: true, i64: true);

impl<T: GuestStruct> Arg for Ptr<T> {}
impl<T: GuestStruct> sealed::Arg for Ptr<T> {
    fn ty(btf: &mut BtfBuilder) -> TypeId {
        let target = describe::<T>(btf);
        btf.ptr(target)
    }

    fn from_word(word: u64, serial: u64) -> Self {
        Ptr::new(word, serial)
    }
}

impl Ret for () {}
impl sealed::Ret for () {
    fn ty(_btf: &mut BtfBuilder) -> TypeId {
        TypeId(0)
    }

    fn into_word(self) -> Result<u64, HostError> {
        Ok(0)
    }
}

impl<T: Ret, E: Into<HostError>> Ret for Result<T, E> {}
impl<T: Ret, E: Into<HostError>> sealed::Ret for Result<T, E> {
    fn ty(btf: &mut BtfBuilder) -> TypeId {
        T::ty(btf)
    }

    fn into_word(self) -> Result<u64, HostError> {
        self.map_err(Into::into).and_then(sealed::Ret::into_word)
    }
}

/// A Rust function that can be a kfunc of a store's host type `H`. `Args` tells the arities apart. No other crate can implement it.
pub trait HostFn<H, Args>: sealed::HostFn<H, Args> + Send + Sync + 'static {}

macro_rules! arities {
    ($(($($arg:ident $index:tt),*);)*) => { $(
        impl<H, F, R, $($arg),*> HostFn<H, ($($arg,)*)> for F
        where
            F: Fn(&mut Caller<'_, H>, $($arg),*) -> R + Send + Sync + 'static,
            R: Ret,
            $($arg: Arg,)*
        {
        }

        impl<H, F, R, $($arg),*> sealed::HostFn<H, ($($arg,)*)> for F
        where
            F: Fn(&mut Caller<'_, H>, $($arg),*) -> R + Send + Sync + 'static,
            R: Ret,
            $($arg: Arg,)*
        {
            fn prototype(&self, name: &str) -> Result<(Btf, TypeId), BtfError> {
                let mut btf = BtfBuilder::new();
                let ret = R::ty(&mut btf);
                let params: &[(&str, TypeId)] = &[$((PARAMS[$index], $arg::ty(&mut btf)),)*];
                let proto = btf.func_proto(ret, params);
                let func = btf.func(name, proto, Linkage::Global);
                Ok((btf.build()?, func))
            }

            fn invoke(&self, mut caller: Caller<'_, H>, words: [u64; 5]) -> Result<u64, HostError> {
                let (_serial, _words) = (caller.serial(), words);
                self(&mut caller, $($arg::from_word(_words[$index], _serial)),*).into_word()
            }
        }
    )* };
}

const PARAMS: [&str; 5] = ["a", "b", "c", "d", "e"];

arities! {
    ();
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
}

/// The body that engines call, made of a typed function.
pub(crate) fn body<H: 'static, Args: 'static, F: HostFn<H, Args>>(function: F) -> std::sync::Arc<crate::call::Body> {
    std::sync::Arc::new(move |call: &mut Call<'_, '_>, words: [u64; 5]| -> Result<u64, Ended> {
        let result = function.invoke(Caller::<H>::new(call), words);
        result.map_err(|error| call.end(End::Host(error)))
    })
}

/// An argument of another crate's making, which would take any number for a pointer:
///
/// ```compile_fail
/// use backstop::btf::{BtfBuilder, TypeId};
/// struct Any(u64);
/// impl backstop::Arg for Any {
///     fn ty(_: &mut BtfBuilder) -> TypeId {
///         TypeId(0)
///     }
///     fn from_word(word: u64, _: u64) -> Any {
///         Any(word)
///     }
/// }
/// ```
///
/// A pointer made of a number:
///
/// ```compile_fail
/// fn forge<T: backstop::GuestStruct>(word: u64) -> backstop::Ptr<T> {
///     <backstop::Ptr<T> as backstop::Arg>::from_word(word, 0)
/// }
/// ```
///
/// A result that programs would take for a pointer:
///
/// ```compile_fail
/// use backstop::btf::{BtfBuilder, TypeId};
/// struct Wild;
/// impl backstop::Ret for Wild {
///     fn ty(_: &mut BtfBuilder) -> TypeId {
///         TypeId(0)
///     }
///     fn into_word(self) -> Result<u64, backstop::HostError> {
///         Ok(0x1234)
///     }
/// }
/// ```
///
/// A function with a prototype that it does not have:
///
/// ```compile_fail
/// use backstop::btf::{Btf, BtfError, TypeId};
/// struct Function;
/// impl backstop::HostFn<(), ()> for Function {
///     fn prototype(&self, _: &str) -> Result<(Btf, TypeId), BtfError> {
///         unreachable!()
///     }
///     fn invoke(&self, _: backstop::Caller<'_, ()>, _: [u64; 5]) -> Result<u64, backstop::HostError> {
///         Ok(0)
///     }
/// }
/// ```
#[cfg(doctest)]
mod only_this_crate {}
