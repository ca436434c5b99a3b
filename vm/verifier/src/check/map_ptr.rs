//! Reads of a map's own structure through its address (Linux: `check_ptr_to_map_access`).

use backstop_model::map_struct::{FIELDS, KNOWN, MapField};

use crate::check::mem::Access;
use crate::env::Verifier;
use crate::facts::Region;
use crate::reason::{Check, Reason};
use crate::state::{MapId, RegState};

impl Verifier<'_> {
    /// The structure is the kernel's, so an engine of Backstop's has nothing to read there: such a program is judged only.
    pub(super) fn access_map_struct(
        &mut self,
        a: &Access,
        map: MapId,
        reg: &RegState,
        at: i64,
        size: i64,
    ) -> Check<Region> {
        let n = a.base.index() as u8;
        if !self.leaks_allowed() {
            return Reason::InvalidMem { reg: n, ty: reg.type_name() }.fail();
        }
        let name = self.world.map(map).spec.kind.kernel_struct();
        let fail = |text: String| Reason::BtfAccess { text }.fail();
        if at < 0 {
            return fail(format!("R{n} is {name} invalid negative access: off={at}"));
        }
        if a.write {
            return fail(format!("only read from {name} is supported"));
        }
        let holds = |f: &&MapField| i64::from(f.off) <= at && at < i64::from(f.off + f.size);
        let Some(field) = FIELDS.iter().find(holds) else {
            let what = if at < i64::from(KNOWN) { "doesn't have" } else { "is not known here to have" };
            return fail(format!("struct bpf_map {what} field at offset {at}"));
        };
        let (off, end) = (field.off, field.off + field.size);
        if field.pointer && (at != i64::from(off) || size != 8) {
            let name = field.name;
            return fail(format!(
                "cannot access ptr member {name} with moff {off} in struct bpf_map with off {at} size {size}"
            ));
        }
        if at + size > i64::from(end) {
            let name = field.name;
            return fail(format!(
                "access beyond the end of member {name} (mend:{end}) in struct bpf_map with off {at} size {size}"
            ));
        }
        self.load_unknown(a);
        Ok(Region::Probe)
    }
}
