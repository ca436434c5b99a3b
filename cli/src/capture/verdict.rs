//! What a packet program's result means, by program type (Linux: `xdp_action`, `TC_ACT_*`).

use backstop::model::ProgType;

/// Whether programs of a type judge packets.
pub fn is_packet_program(ty: ProgType) -> bool {
    matches!(ty, ProgType::Xdp | ProgType::SchedCls | ProgType::SchedAct | ProgType::SocketFilter | ProgType::CgroupSkb)
}

/// The result's name, or its number where it has none.
pub fn name(ty: ProgType, value: u64) -> String {
    let known = match ty {
        ProgType::Xdp => xdp(value),
        ProgType::SchedCls | ProgType::SchedAct => tc(value),
        ProgType::CgroupSkb => cgroup(value),
        ProgType::SocketFilter => Some(if value == 0 { "drop" } else { "keep" }),
        _ => None,
    };
    known.map_or_else(|| value.to_string(), str::to_owned)
}

fn xdp(value: u64) -> Option<&'static str> {
    Some(match value {
        0 => "XDP_ABORTED",
        1 => "XDP_DROP",
        2 => "XDP_PASS",
        3 => "XDP_TX",
        4 => "XDP_REDIRECT",
        _ => return None,
    })
}

fn tc(value: u64) -> Option<&'static str> {
    Some(match value as u32 as i32 {
        -1 => "TC_ACT_UNSPEC",
        0 => "TC_ACT_OK",
        1 => "TC_ACT_RECLASSIFY",
        2 => "TC_ACT_SHOT",
        3 => "TC_ACT_PIPE",
        4 => "TC_ACT_STOLEN",
        5 => "TC_ACT_QUEUED",
        6 => "TC_ACT_REPEAT",
        7 => "TC_ACT_REDIRECT",
        8 => "TC_ACT_TRAP",
        _ => return None,
    })
}

fn cgroup(value: u64) -> Option<&'static str> {
    Some(match value {
        0 => "drop",
        1 => "pass",
        2 => "drop, congested",
        3 => "pass, congested",
        _ => return None,
    })
}

/// Whether the packet goes on.
pub fn passes(ty: ProgType, value: u64) -> bool {
    match ty {
        ProgType::Xdp => matches!(value, 2..=4),
        ProgType::SchedCls | ProgType::SchedAct => matches!(value as u32 as i32, -1 | 0 | 1 | 3 | 6 | 7),
        ProgType::CgroupSkb => value & 1 == 1,
        _ => value != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_linux() {
        assert_eq!(name(ProgType::Xdp, 1), "XDP_DROP");
        assert_eq!(name(ProgType::Xdp, 77), "77");
        assert_eq!(name(ProgType::SchedCls, u64::from(u32::MAX)), "TC_ACT_UNSPEC");
        assert_eq!(name(ProgType::SchedCls, 2), "TC_ACT_SHOT");
    }

    #[test]
    fn what_passes() {
        assert!(passes(ProgType::Xdp, 2) && !passes(ProgType::Xdp, 0) && !passes(ProgType::Xdp, 99));
        assert!(passes(ProgType::SchedCls, 0) && !passes(ProgType::SchedCls, 2));
        assert!(passes(ProgType::CgroupSkb, 3) && !passes(ProgType::CgroupSkb, 2));
    }
}
