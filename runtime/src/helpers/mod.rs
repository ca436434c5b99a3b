//! Helpers: what programs call by Linux's numbers. Each is written once, as a safe function over the call and five argument words;
//! compiled code reaches it through [`native`], the interpreter calls the function itself.
//!
//! What the words mean was proved: `backstop-model` has each helper's prototype and the verifier checked every call against it.
//! Results and error numbers are Linux 6.18's.

mod callback;
mod checksum;
mod clock;
mod format;
mod map;
pub(crate) mod memory;
#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod native;
mod packet;
mod print;
mod task;
mod text;

use crate::call::{Call, Ended};

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
pub(crate) use native::legacy_load as legacy_load_native;
pub(crate) use packet::legacy_load;

/// A helper's body.
pub(crate) type HelperBody = fn(&mut Call<'_, '_>, [u64; 5]) -> Result<u64, Ended>;

/// A helper or built-in kfunc that can be run.
pub(crate) struct HelperImpl {
    /// Linux's number; 0 for a kfunc.
    pub(crate) id: u32,
    /// For the interpreter.
    pub(crate) body: HelperBody,
    /// For compiled code: BPF's r1 to r5 and the run's context.
    #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
    pub(crate) native: native::NativeFn,
}

/// Errors as helpers return them.
pub(crate) mod errno {
    pub(crate) const E2BIG: i64 = -7;
    pub(crate) const ENOMEM: i64 = -12;
    pub(crate) const EACCES: i64 = -13;
    pub(crate) const EFAULT: i64 = -14;
    pub(crate) const EINVAL: i64 = -22;
    pub(crate) const ERANGE: i64 = -34;
}

/// A helper that neither ends the run nor calls back, and that can't panic: its native form catches nothing.
macro_rules! leaf {
    ($id:literal, $function:path) => {{
        struct Helper;
        impl Leaf for Helper {
            #[inline(always)]
            fn call(run: &mut crate::record::RunRecord<'_>, args: [u64; 5]) -> u64 {
                $function(run, args)
            }
        }
        HelperImpl {
            id: $id,
            body: |call, args| Ok(<Helper as Leaf>::call(call.run, args)),
            #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            native: native::leaf::<Helper>,
        }
    }};
}

/// Any other helper.
macro_rules! full {
    ($id:literal, $function:path) => {{
        struct Helper;
        impl Full for Helper {
            fn call(call: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Ended> {
                $function(call, args)
            }
        }
        HelperImpl {
            id: $id,
            body: <Helper as Full>::call,
            #[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
            native: native::full::<Helper>,
        }
    }};
}

/// What [`leaf`] makes of a function. See there.
pub(crate) trait Leaf {
    fn call(run: &mut crate::record::RunRecord<'_>, args: [u64; 5]) -> u64;
}

/// What [`full`] makes of a function.
pub(crate) trait Full {
    fn call(call: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Ended>;
}

/// Ascending by number.
static TABLE: &[HelperImpl] = &[
    leaf!(1, map::lookup_elem),
    leaf!(2, map::update_elem),
    leaf!(3, map::delete_elem),
    leaf!(5, clock::ktime_get_ns),
    full!(6, print::trace_printk),
    leaf!(7, task::get_prandom_u32),
    leaf!(8, task::get_smp_processor_id),
    leaf!(9, packet::skb_store_bytes),
    leaf!(10, checksum::l3_csum_replace),
    leaf!(11, checksum::l4_csum_replace),
    leaf!(14, task::get_current_pid_tgid),
    leaf!(16, task::get_current_comm),
    leaf!(26, packet::skb_load_bytes),
    leaf!(28, checksum::csum_diff),
    leaf!(39, packet::skb_pull_data),
    leaf!(42, task::get_numa_node_id),
    leaf!(44, packet::xdp_adjust_head),
    leaf!(54, packet::xdp_adjust_meta),
    leaf!(65, packet::xdp_adjust_tail),
    leaf!(105, text::strtol),
    leaf!(106, text::strtoul),
    leaf!(118, clock::jiffies64),
    leaf!(125, clock::ktime_get_boot_ns),
    leaf!(160, clock::ktime_get_coarse_ns),
    full!(164, callback::for_each_map_elem),
    full!(165, print::snprintf),
    full!(177, print::trace_vprintk),
    full!(181, callback::bpf_loop),
    leaf!(182, text::strncmp),
    leaf!(188, packet::xdp_get_buff_len),
    leaf!(189, packet::xdp_load_bytes),
    leaf!(190, packet::xdp_store_bytes),
    leaf!(195, map::lookup_percpu_elem),
    leaf!(208, clock::ktime_get_tai_ns),
];

/// Numbers of the helpers that can be run, ascending.
pub(crate) fn numbers() -> impl Iterator<Item = u32> {
    TABLE.iter().map(|helper| helper.id)
}

/// The helper of this number, if it can be run. (`bpf_tail_call` is no helper here: engines do it themselves.)
pub(crate) fn find(id: u32) -> Option<&'static HelperImpl> {
    let at = TABLE.binary_search_by_key(&id, |helper| helper.id).ok()?;
    TABLE.get(at)
}

/// Whether a program that calls this helper needs a CPU slot, whatever maps it has.
pub(crate) fn needs_cpu(id: u32) -> bool {
    id == 8
}

#[cfg(test)]
mod linux_tests;
#[cfg(test)]
mod tests;
