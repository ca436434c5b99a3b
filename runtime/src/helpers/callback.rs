//! Helpers that call the program back.
//!
//! A callback that ends the run ends the helper at once; it holds nothing then.

use super::errno;
use super::map::map_argument;
use crate::call::{Call, Ended};
use crate::maps::Storage;
use crate::record::MAX_WALKS;

/// Most rounds of `bpf_loop` (Linux: `BPF_MAX_LOOPS`).
const MAX_LOOPS: u32 = 8 * 1024 * 1024;

/// `bpf_loop(nr, callback, ctx, flags)`: rounds done.
pub(super) fn bpf_loop(call: &mut Call<'_, '_>, [rounds, callback, ctx, flags, _]: [u64; 5]) -> Result<u64, Ended> {
    let rounds = rounds as u32;
    if flags != 0 {
        return Ok(errno::EINVAL as u64);
    }
    if rounds > MAX_LOOPS {
        return Ok(errno::E2BIG as u64);
    }
    for round in 0..u64::from(rounds) {
        if call.call_back(callback, [round, ctx, 0, 0, 0])? != 0 {
            return Ok(round + 1);
        }
    }
    Ok(u64::from(rounds))
}

/// `bpf_for_each_map_elem(map, callback, ctx, flags)`: elements visited.
///
/// The callback may change the map. Elements that left a hash map since its bucket was listed are passed over.
pub(super) fn for_each_map_elem(call: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Ended> {
    let [map_address, callback, ctx, flags, _] = args;
    if flags != 0 {
        return Ok(errno::EINVAL as u64);
    }
    let cpu = call.run.cpu;
    let map = map_argument(map_address);
    let copy = map.copy_of(cpu);
    let mut visited = 0;
    match map.storage() {
        Storage::Array(array) => {
            // The key lies in the record, not in this frame: a callback may keep its address, and the program use it later.
            let walk = call.run.array_walks.min(MAX_WALKS - 1);
            call.run.array_walks = walk + 1;
            for index in 0..array.entries() {
                let Some(value) = array.address(index, copy) else { break };
                visited += 1;
                call.run.array_keys[walk] = index;
                let key = std::ptr::from_ref(&call.run.array_keys[walk]) as u64;
                if call.call_back(callback, [map_address, key, value, ctx, 0])? != 0 {
                    break;
                }
            }
            call.run.array_walks = walk;
        }
        Storage::Hash(hash) => {
            let mut chain = Vec::new();
            for bucket in 0..hash.buckets() {
                hash.chain(bucket, &mut chain);
                for found in &chain {
                    let Some((key, value)) = hash.addresses(*found, copy) else { continue };
                    visited += 1;
                    if call.call_back(callback, [map_address, key, value, ctx, 0])? != 0 {
                        return Ok(visited);
                    }
                }
            }
        }
        Storage::ProgArray(_) => return Ok(errno::EINVAL as u64),
    }
    Ok(visited)
}
