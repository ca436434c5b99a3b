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
}
