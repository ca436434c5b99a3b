//! Which structs are the kernel's own: a kptr to a struct of such a name points to a kernel object, any other to an object
//! that a program allocated (Linux: `bpf_find_btf_id`). The names are those of a running 6.18.

use std::sync::OnceLock;

static NAMES: &str = include_str!("../data/kernel_structs.txt");

/// Whether Linux 6.18 has a struct of this name.
pub fn is_struct(name: &str) -> bool {
    static SORTED: OnceLock<Vec<&'static str>> = OnceLock::new();
    SORTED
        .get_or_init(|| {
            let mut names: Vec<&str> = NAMES.lines().collect();
            names.sort_unstable();
            names
        })
        .binary_search(&name)
        .is_ok()
}

/// Whether a map may own objects of this kernel type: it has a destructor (Linux: `btf_find_dtor_kfunc`).
pub fn is_ownable(name: &str) -> bool {
    matches!(
        name,
        "task_struct" | "cgroup" | "bpf_cpumask" | "bpf_crypto_ctx" | "prog_test_ref_kfunc" | "prog_test_member"
    )
}

/// Whether objects of this kernel type stay valid until the end of an RCU read section (Linux: `rcu_protected_types`).
pub fn is_rcu_protected(name: &str) -> bool {
    matches!(name, "task_struct" | "cgroup" | "bpf_cpumask" | "bpf_crypto_ctx" | "prog_test_ref_kfunc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_kernel_are_known() {
        for known in ["task_struct", "node", "sk_buff", "zswap_entry"] {
            assert!(NAMES.lines().any(|line| line == known) == is_struct(known), "{known}");
        }
        assert!(is_struct("task_struct") && is_struct("node") && !is_struct("node_data") && !is_struct(""));
    }
}
