//! Kfuncs as data: which there are, their flags, who may call them.

/// What the verifier must know of a kfunc besides its prototype (Linux: `KF_*`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(missing_docs)]
pub struct KfuncFlags {
    pub acquire: bool,
    pub release: bool,
    pub ret_null: bool,
    pub trusted_args: bool,
    pub rcu: bool,
    pub rcu_protected: bool,
    pub sleepable: bool,
    pub destructive: bool,
    pub iter_new: bool,
    pub iter_next: bool,
    pub iter_destroy: bool,
    /// It may end the program as bpf_throw does (host kfuncs that return `Throw`).
    pub throws: bool,
    /// It may end the run with a host error.
    pub may_fail: bool,
}

macro_rules! builtin_kfuncs {
    ($($variant:ident => $name:literal,)*) => {
        /// The kfuncs of Linux that the model knows, by identity.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[allow(missing_docs)]
        pub enum BuiltinKfunc { $($variant,)* }

        impl BuiltinKfunc {
            /// All of them.
            pub const ALL: &'static [BuiltinKfunc] = &[$(BuiltinKfunc::$variant,)*];

            /// The C name.
            pub const fn name(self) -> &'static str {
                match self { $(BuiltinKfunc::$variant => $name,)* }
            }

            /// The kfunc of this C name.
            pub fn by_name(name: &str) -> Option<BuiltinKfunc> {
                match name { $($name => Some(BuiltinKfunc::$variant),)* _ => None }
            }
        }
    };
}

builtin_kfuncs! {
    Throw => "bpf_throw",
    IterNumNew => "bpf_iter_num_new",
    IterNumNext => "bpf_iter_num_next",
    IterNumDestroy => "bpf_iter_num_destroy",
    IterBitsNew => "bpf_iter_bits_new",
    IterBitsNext => "bpf_iter_bits_next",
    IterBitsDestroy => "bpf_iter_bits_destroy",
    RcuReadLock => "bpf_rcu_read_lock",
    RcuReadUnlock => "bpf_rcu_read_unlock",
    PreemptDisable => "bpf_preempt_disable",
    PreemptEnable => "bpf_preempt_enable",
    LocalIrqSave => "bpf_local_irq_save",
    LocalIrqRestore => "bpf_local_irq_restore",
    ObjNew => "bpf_obj_new_impl",
    ObjDrop => "bpf_obj_drop_impl",
    PercpuObjNew => "bpf_percpu_obj_new_impl",
    PercpuObjDrop => "bpf_percpu_obj_drop_impl",
    RefcountAcquire => "bpf_refcount_acquire_impl",
    ListPushFront => "bpf_list_push_front_impl",
    ListPushBack => "bpf_list_push_back_impl",
    ListPopFront => "bpf_list_pop_front",
    ListPopBack => "bpf_list_pop_back",
    ListFront => "bpf_list_front",
    ListBack => "bpf_list_back",
    RbtreeAdd => "bpf_rbtree_add_impl",
    RbtreeRemove => "bpf_rbtree_remove",
    RbtreeFirst => "bpf_rbtree_first",
    RbtreeRoot => "bpf_rbtree_root",
    RbtreeLeft => "bpf_rbtree_left",
    RbtreeRight => "bpf_rbtree_right",
    DynptrFromSkb => "bpf_dynptr_from_skb",
    DynptrFromXdp => "bpf_dynptr_from_xdp",
    DynptrSlice => "bpf_dynptr_slice",
    DynptrSliceRdwr => "bpf_dynptr_slice_rdwr",
    DynptrAdjust => "bpf_dynptr_adjust",
    DynptrClone => "bpf_dynptr_clone",
    DynptrSize => "bpf_dynptr_size",
    DynptrIsNull => "bpf_dynptr_is_null",
    DynptrIsRdonly => "bpf_dynptr_is_rdonly",
    ArenaAllocPages => "bpf_arena_alloc_pages",
    ArenaFreePages => "bpf_arena_free_pages",
    WqInit => "bpf_wq_init",
    WqStart => "bpf_wq_start",
    WqSetCallback => "bpf_wq_set_callback_impl",
    ResSpinLock => "bpf_res_spin_lock",
    ResSpinUnlock => "bpf_res_spin_unlock",
    ResSpinLockIrqsave => "bpf_res_spin_lock_irqsave",
    ResSpinUnlockIrqrestore => "bpf_res_spin_unlock_irqrestore",
    CastToKernCtx => "bpf_cast_to_kern_ctx",
    RdonlyCast => "bpf_rdonly_cast",
    TaskAcquire => "bpf_task_acquire",
    TaskRelease => "bpf_task_release",
    TaskFromPid => "bpf_task_from_pid",
    TaskFromVpid => "bpf_task_from_vpid",
    TaskUnderCgroup => "bpf_task_under_cgroup",
    TaskGetCgroup1 => "bpf_task_get_cgroup1",
    CgroupAcquire => "bpf_cgroup_acquire",
    CgroupRelease => "bpf_cgroup_release",
    CgroupAncestor => "bpf_cgroup_ancestor",
    CgroupFromId => "bpf_cgroup_from_id",
    SendSignalTask => "bpf_send_signal_task",
    CpumaskCreate => "bpf_cpumask_create",
    CpumaskAcquire => "bpf_cpumask_acquire",
    CpumaskRelease => "bpf_cpumask_release",
    CpumaskFirst => "bpf_cpumask_first",
    CpumaskFirstZero => "bpf_cpumask_first_zero",
    CpumaskFirstAnd => "bpf_cpumask_first_and",
    CpumaskSetCpu => "bpf_cpumask_set_cpu",
    CpumaskClearCpu => "bpf_cpumask_clear_cpu",
    CpumaskTestCpu => "bpf_cpumask_test_cpu",
    CpumaskTestAndSetCpu => "bpf_cpumask_test_and_set_cpu",
    CpumaskTestAndClearCpu => "bpf_cpumask_test_and_clear_cpu",
    CpumaskSetall => "bpf_cpumask_setall",
    CpumaskClear => "bpf_cpumask_clear",
    CpumaskAnd => "bpf_cpumask_and",
    CpumaskOr => "bpf_cpumask_or",
    CpumaskXor => "bpf_cpumask_xor",
    CpumaskEqual => "bpf_cpumask_equal",
    CpumaskIntersects => "bpf_cpumask_intersects",
    CpumaskSubset => "bpf_cpumask_subset",
    CpumaskEmpty => "bpf_cpumask_empty",
    CpumaskFull => "bpf_cpumask_full",
    CpumaskCopy => "bpf_cpumask_copy",
    CpumaskAnyDistribute => "bpf_cpumask_any_distribute",
    CpumaskAnyAndDistribute => "bpf_cpumask_any_and_distribute",
    CpumaskWeight => "bpf_cpumask_weight",
    CpumaskPopulate => "bpf_cpumask_populate",
    SkbCtLookup => "bpf_skb_ct_lookup",
    SkbCtAlloc => "bpf_skb_ct_alloc",
    XdpCtLookup => "bpf_xdp_ct_lookup",
    XdpCtAlloc => "bpf_xdp_ct_alloc",
    CtInsertEntry => "bpf_ct_insert_entry",
    CtRelease => "bpf_ct_release",
    CtSetTimeout => "bpf_ct_set_timeout",
    CtChangeTimeout => "bpf_ct_change_timeout",
    CtSetStatus => "bpf_ct_set_status",
    CtChangeStatus => "bpf_ct_change_status",
    CryptoCtxCreate => "bpf_crypto_ctx_create",
    CryptoCtxAcquire => "bpf_crypto_ctx_acquire",
    CryptoCtxRelease => "bpf_crypto_ctx_release",
    CryptoEncrypt => "bpf_crypto_encrypt",
    CryptoDecrypt => "bpf_crypto_decrypt",
    MapSumElemCount => "bpf_map_sum_elem_count",
    IterTaskNew => "bpf_iter_task_new",
    IterTaskNext => "bpf_iter_task_next",
    IterTaskDestroy => "bpf_iter_task_destroy",
    IterCssNew => "bpf_iter_css_new",
    IterCssNext => "bpf_iter_css_next",
    IterCssDestroy => "bpf_iter_css_destroy",
    IterCssTaskNew => "bpf_iter_css_task_new",
    IterCssTaskNext => "bpf_iter_css_task_next",
    IterCssTaskDestroy => "bpf_iter_css_task_destroy",
    IterTaskVmaNew => "bpf_iter_task_vma_new",
    IterTaskVmaNext => "bpf_iter_task_vma_next",
    IterTaskVmaDestroy => "bpf_iter_task_vma_destroy",
    IterKmemCacheNew => "bpf_iter_kmem_cache_new",
    IterKmemCacheNext => "bpf_iter_kmem_cache_next",
    IterKmemCacheDestroy => "bpf_iter_kmem_cache_destroy",
    Strcmp => "bpf_strcmp",
    Strcasecmp => "bpf_strcasecmp",
    Strchr => "bpf_strchr",
    Strchrnul => "bpf_strchrnul",
    Strnchr => "bpf_strnchr",
    Strrchr => "bpf_strrchr",
    Strlen => "bpf_strlen",
    Strnlen => "bpf_strnlen",
    Strspn => "bpf_strspn",
    Strcspn => "bpf_strcspn",
    Strstr => "bpf_strstr",
    Strnstr => "bpf_strnstr",
    CopyFromUserStr => "bpf_copy_from_user_str",
    CopyFromUserTaskStr => "bpf_copy_from_user_task_str",
    GetKmemCache => "bpf_get_kmem_cache",
    CgroupReadXattr => "bpf_cgroup_read_xattr",
}
