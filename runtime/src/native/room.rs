//! Where the record of a run lies that is entered without a frame at the border.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use crate::record::RunRecord;

/// Memory for one record. Not the host's stack: compilers would put the run's result where the record lay, and copying a result
/// over words that were just written one by one stalls the CPU.
pub(crate) struct RecordRoom([MaybeUninit<u64>; size_of::<RunRecord<'_>>() / 8]);

const _: () = assert!(size_of::<RunRecord<'_>>().is_multiple_of(8) && align_of::<RunRecord<'_>>() == 8);

impl Default for RecordRoom {
    fn default() -> Self {
        RecordRoom([const { MaybeUninit::uninit() }; size_of::<RunRecord<'_>>() / 8])
    }
}

impl RecordRoom {
    /// Moves a record in. It is never dropped: an end must be taken out of it.
    #[inline]
    pub(crate) fn hold<'r>(&'r mut self, record: RunRecord<'r>) -> &'r mut RunRecord<'r> {
        let at: *mut RunRecord<'r> = self.0.as_mut_ptr().cast();
        // SAFETY: the room has a record's size and alignment, and is exclusively borrowed as long as the result.
        unsafe {
            at.write(record);
            &mut *at
        }
    }
}
