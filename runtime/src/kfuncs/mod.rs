//! Linux's kfuncs that Backstop runs itself. `bpf_throw` is none of them: engines do it.
//!
//! The same shape as helpers: a safe function each, a native form made from it. Results narrower than 64 bits leave the upper half 0.

#![allow(unsafe_code)]

use backstop_model::BuiltinKfunc;

use crate::call::{Call, Ended};
use crate::helpers::{HelperImpl, Leaf, memory};
use crate::record::RunRecord;

/// Most rounds of a numbers iterator (Linux: `BPF_MAX_LOOPS`).
const MAX_LOOPS: i64 = 8 * 1024 * 1024;
const E2BIG: i32 = -7;
const EINVAL: i32 = -22;
/// The interrupt flag, set, as a saved flags word on x86 holds it.
const IRQ_FLAGS: u64 = 0x200;

macro_rules! kfunc {
    ($kfunc:ident, $function:path) => {{
        struct Kfunc;
        impl Leaf for Kfunc {
            fn call(_run: &mut RunRecord<'_>, args: [u64; 5]) -> u64 {
                $function(args)
            }
        }
        fn body(call: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Ended> {
            Ok(<Kfunc as Leaf>::call(call.run, args))
        }
        let helper = HelperImpl {
            id: 0,
            body,
            #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            native: crate::helpers::native::leaf::<Kfunc>,
        };
        (BuiltinKfunc::$kfunc, helper)
    }};
}

static TABLE: &[(BuiltinKfunc, HelperImpl)] = &[
    kfunc!(IterNumNew, iter_num_new),
    kfunc!(IterNumNext, iter_num_next),
    kfunc!(IterNumDestroy, iter_num_destroy),
    kfunc!(RcuReadLock, nothing),
    kfunc!(RcuReadUnlock, nothing),
    kfunc!(PreemptDisable, nothing),
    kfunc!(PreemptEnable, nothing),
    kfunc!(LocalIrqSave, local_irq_save),
    kfunc!(LocalIrqRestore, nothing),
];

/// The kfuncs that can be run.
pub(crate) fn all() -> impl Iterator<Item = BuiltinKfunc> {
    TABLE.iter().map(|(kfunc, _)| *kfunc)
}

/// The kfunc, if it can be run.
pub(crate) fn find(kfunc: BuiltinKfunc) -> Option<&'static HelperImpl> {
    TABLE.iter().find(|(known, _)| *known == kfunc).map(|(_, helper)| helper)
}

/// `struct bpf_iter_num`: where it stands, and where it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Numbers {
    current: i32,
    end: i32,
}

const EXHAUSTED: Numbers = Numbers { current: 0, end: 0 };

impl Numbers {
    fn load(address: u64) -> Numbers {
        let mut bytes = [0; 8];
        // SAFETY: I3: an iterator argument is 8 bytes of the program's stack, aligned to 8.
        unsafe { memory::read(address, &mut bytes) };
        let [a, b, c, d, e, f, g, h] = bytes;
        Numbers { current: i32::from_ne_bytes([a, b, c, d]), end: i32::from_ne_bytes([e, f, g, h]) }
    }

    fn store(self, address: u64) {
        let ([a, b, c, d], [e, f, g, h]) = (self.current.to_ne_bytes(), self.end.to_ne_bytes());
        // SAFETY: I3: as in `load`.
        unsafe { memory::write(address, &[a, b, c, d, e, f, g, h]) };
    }

    fn new(start: i32, end: i32) -> Result<Numbers, i32> {
        if start > end {
            return Err(EINVAL);
        }
        if i64::from(end) - i64::from(start) > MAX_LOOPS {
            return Err(E2BIG);
        }
        // The first `next` brings it to the start.
        Ok(Numbers { current: start.wrapping_sub(1), end })
    }

    fn next(self) -> Option<Numbers> {
        let current = self.current.wrapping_add(1);
        (current < self.end).then_some(Numbers { current, end: self.end })
    }
}

/// `int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)`.
fn iter_num_new([iterator, start, end, ..]: [u64; 5]) -> u64 {
    let made = Numbers::new(start as i32, end as i32);
    made.unwrap_or(EXHAUSTED).store(iterator);
    u64::from(made.map_or_else(|error| error, |_| 0) as u32)
}

/// `int *bpf_iter_num_next(struct bpf_iter_num *it)`: address of the number, or NULL.
fn iter_num_next([iterator, ..]: [u64; 5]) -> u64 {
    match Numbers::load(iterator).next() {
        Some(next) => {
            next.store(iterator);
            iterator
        }
        None => {
            EXHAUSTED.store(iterator);
            0
        }
    }
}

/// `void bpf_iter_num_destroy(struct bpf_iter_num *it)`.
fn iter_num_destroy([iterator, ..]: [u64; 5]) -> u64 {
    EXHAUSTED.store(iterator);
    0
}

/// Sections that mean nothing outside a kernel: what they guard against can't happen here.
fn nothing(_args: [u64; 5]) -> u64 {
    0
}

/// `void bpf_local_irq_save(unsigned long *flags)`.
fn local_irq_save([flags, ..]: [u64; 5]) -> u64 {
    // SAFETY: I3: the flags are 8 bytes of the program's stack.
    unsafe { memory::write(flags, &IRQ_FLAGS.to_ne_bytes()) };
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(start: i32, end: i32) -> (i32, Vec<i32>) {
        let mut iterator = 0u64;
        let at = std::ptr::from_mut(&mut iterator) as u64;
        let made = iter_num_new([at, start as u64, end as u64, 0, 0]) as i32;
        let mut all = Vec::new();
        loop {
            let next = iter_num_next([at, 0, 0, 0, 0]);
            if next == 0 || all.len() > 20 {
                break;
            }
            // SAFETY: a number's address is the iterator's.
            all.push(unsafe { *(next as *const i32) });
        }
        assert_eq!(iter_num_next([at, 0, 0, 0, 0]), 0);
        iter_num_destroy([at, 0, 0, 0, 0]);
        (made, all)
    }

    #[test]
    fn numbers_from_start_to_end() {
        assert_eq!(collect(3, 6), (0, vec![3, 4, 5]));
        assert_eq!(collect(-2, 1), (0, vec![-2, -1, 0]));
        assert_eq!(collect(4, 4), (0, vec![]));
        assert_eq!(collect(5, 4), (EINVAL, vec![]));
        assert_eq!(collect(0, 8 * 1024 * 1024 + 1), (E2BIG, vec![]));
        assert_eq!(collect(i32::MIN, i32::MAX), (E2BIG, vec![]));
        assert_eq!(collect(i32::MIN, i32::MIN + 2), (0, vec![i32::MIN, i32::MIN + 1]));
        assert_eq!(collect(i32::MAX - 1, i32::MAX), (0, vec![i32::MAX - 1]));
    }

    #[test]
    fn what_has_no_implementation_is_not_found() {
        assert!(find(BuiltinKfunc::IterNumNew).is_some());
        assert!(find(BuiltinKfunc::Throw).is_none() && find(BuiltinKfunc::ObjNew).is_none());
        let mut flags = 0u64;
        let at = std::ptr::from_mut(&mut flags) as u64;
        assert_eq!(local_irq_save([at, 0, 0, 0, 0]), 0);
        assert_eq!(flags, IRQ_FLAGS);
    }
}
