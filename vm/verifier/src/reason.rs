//! Why a program is refused: one variant for each reason, with the text that Linux 6.18 writes for it.
//!
//! Tools match on these texts, so they are facts, kept here in one table: variant, data, category, text. Where Backstop refuses
//! what Linux has no word for, the text is Backstop's own and says so in its comment.

/// What a refusal is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Category {
    /// The instructions themselves: encoding, jumps, subprograms.
    Structure,
    /// Loops and unreachable code.
    ControlFlow,
    /// A register that was not set, or may not be set.
    Register,
    /// Arithmetic on pointers, and impossible constants.
    Arithmetic,
    /// Access to sized memory (maps, keys, buffers).
    Memory,
    /// Access to the stack.
    Stack,
    /// Access to the context.
    Context,
    /// Access to packet data.
    Packet,
    /// A map and what may be done with it.
    Map,
    /// Arguments and permission of a call.
    Call,
    /// Types of functions.
    Btf,
    /// References, locks and sections.
    Held,
    /// Throws and exception callbacks.
    Exception,
    /// What the program or a callback returns.
    Return,
    /// Limits of the proof.
    Limit,
    /// Things that only privileged programs may do.
    Privilege,
}

impl std::fmt::Display for Category {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Category::Structure => "structure",
            Category::ControlFlow => "control flow",
            Category::Register => "register",
            Category::Arithmetic => "arithmetic",
            Category::Memory => "memory",
            Category::Stack => "stack",
            Category::Context => "context",
            Category::Packet => "packet",
            Category::Map => "map",
            Category::Call => "call",
            Category::Btf => "types",
            Category::Held => "held resource",
            Category::Exception => "exception",
            Category::Return => "return value",
            Category::Limit => "limit",
            Category::Privilege => "privilege",
        })
    }
}

macro_rules! reasons {
    ($($name:ident { $($field:ident : $ty:ty),* } $category:ident $text:literal;)*) => {
        /// A reason to refuse. The documentation of each is its text.
        #[derive(Clone, PartialEq, Debug)]
        #[allow(missing_docs)]
        pub enum Reason {
            $(#[doc = $text] $name { $($field: $ty),* },)*
        }

        impl Reason {
            /// Every reason's name, in the table's order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The variant's name.
            pub fn name(&self) -> &'static str {
                match self { $(Reason::$name { .. } => stringify!($name),)* }
            }

            /// The reasons that this one goes back to, if it names some.
            pub fn causes(&self) -> impl Iterator<Item = &Reason> {
                let inner = match self {
                    Reason::MinOutside { inner, .. }
                    | Reason::MaxOutside { inner, .. }
                    | Reason::PacketBounds { inner, .. }
                    | Reason::InvalidGlobalArgs { inner, .. }
                    | Reason::KfuncMemSize { inner, .. } => Some(&**inner),
                    _ => None,
                };
                inner.into_iter().flat_map(|reason| std::iter::once(reason).chain(reason.inner_cause()))
            }

            fn inner_cause(&self) -> Option<&Reason> {
                match self {
                    Reason::MinOutside { inner, .. }
                    | Reason::MaxOutside { inner, .. }
                    | Reason::PacketBounds { inner, .. } => Some(inner),
                    _ => None,
                }
            }

            /// What it is about.
            pub fn category(&self) -> Category {
                match self { $(Reason::$name { .. } => Category::$category,)* }
            }

            /// The last line or lines of the kernel's log, without a newline at the end.
            pub fn kernel_text(&self) -> String {
                match self { $(Reason::$name { $($field),* } => format!($text),)* }
            }
        }
    };
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kernel_text())
    }
}

/// The result of a check.
pub(crate) type Check<T = ()> = Result<T, Box<Reason>>;

impl Reason {
    pub(crate) fn fail<T>(self) -> Check<T> {
        Err(Box::new(self))
    }
}

reasons! {
    // --- structure ---
    Empty {} Structure "invalid program length 0";
    TooManyInsns { count: usize, limit: usize } Structure "program of {count} instructions is over the limit of {limit}";
    UnrecognizedLdImm64 {} Structure "unrecognized bpf_ld_imm64 insn";
    Malformed { what: String } Structure "{what}";
    JumpOutOfRange { from: usize, to: i64 } Structure "jump out of range from insn {from} to {to}";
    LastInsn {} Structure "last insn is not an exit or jmp";
    JumpIntoImm64 { at: usize } Structure "jump into the middle of ldimm64 insn {at}";
    Unreachable { at: usize } ControlFlow "unreachable insn {at}";
    BackEdge { from: usize, to: usize } ControlFlow "back-edge from insn {from} to {to}";
    InvalidCallDestination {} Structure "call to invalid destination";
    TooManySubprograms {} Structure "too many subprograms";
    FuncInfoMissing {} Btf "number of funcs in func_info doesn't match number of subprogs";
    FuncInfoMismatch {} Btf "func_info BTF section doesn't match subprog layout in BPF program";
    CallbackNotStatic {} Call "callback function not static";
    MissingFuncInfo {} Btf "missing btf func_info";
    Poisoned { wanted: String } Structure "invalid func unknown#195896080 <invalid CO-RE relocation: {wanted}>";

    // --- limits ---
    TooLarge { processed: u64 } Limit "BPF program is too large. Processed {processed} insn";
    TooComplexJumps { count: u64 } Limit "The sequence of {count} jumps is too complex.";
    InfiniteLoop { at: usize, cur: String, old: String } ControlFlow "infinite loop detected at insn {at}\ncur state:{cur}\nold state:{old}";
    FramesTooDeep { frames: usize } Limit "the call stack of {frames} frames is too deep";
    FramesTooDeepStatic { frames: usize } Limit "the call stack of {frames} frames is too deep !";
    CombinedStack { calls: usize, bytes: u32 } Limit "combined stack size of {calls} calls is {bytes}. Too large";
    SubprogStack { sub: usize, bytes: u32 } Limit "stack size of subprog {sub} is {bytes}. Too large";
    TailCallStack { bytes: u32 } Limit "tail_calls are not allowed when call stack of previous frames is {bytes} bytes. Too large";

    // --- registers ---
    NotReadable { reg: u8 } Register "R{reg} !read_ok";
    FramePointer {} Register "frame pointer is read only";
    LeaksReturn { reg: u8 } Privilege "R{reg} leaks addr as return value";
    LeaksHelper { reg: u8 } Privilege "R{reg} leaks addr into helper function";
    LeaksInto { reg: u8, what: &'static str } Privilege "R{reg} leaks addr into {what}";
    PointerCompare { reg: u8 } Privilege "R{reg} pointer comparison prohibited";
    PartialCopy { reg: u8 } Privilege "R{reg} partial copy of pointer";
    SignExtendPointer { reg: u8 } Privilege "R{reg} sign-extension part of pointer";
    PointerArithmeticUnprivileged { reg: u8 } Privilege "R{reg} pointer arithmetic prohibited";

    // --- arithmetic ---
    PointerPointer { reg: u8, op: &'static str } Arithmetic "R{reg} pointer {op} pointer prohibited";
    Pointer32 { reg: u8 } Arithmetic "R{reg} 32-bit pointer arithmetic prohibited";
    PointerNull { reg: u8, ty: String } Arithmetic "R{reg} pointer arithmetic on {ty} prohibited, null-check it first";
    PointerKind { reg: u8, ty: String } Arithmetic "R{reg} pointer arithmetic on {ty} prohibited";
    SubFromScalar { reg: u8 } Arithmetic "R{reg} tried to subtract pointer from scalar";
    SubFromStack { reg: u8 } Arithmetic "R{reg} subtraction from stack pointer prohibited";
    BitwisePointer { reg: u8, op: &'static str } Arithmetic "R{reg} bitwise operator {op} on pointer prohibited";
    OperatorPointer { reg: u8, op: &'static str } Arithmetic "R{reg} pointer arithmetic with {op} operator prohibited";
    MathBetween { ty: String, value: i64 } Arithmetic "math between {ty} pointer and {value} is not allowed";
    PointerOffset { ty: String, off: i32 } Arithmetic "{ty} pointer offset {off} is not allowed";
    MathUnbounded { ty: String } Arithmetic "math between {ty} pointer and register with unbounded min value is not allowed";
    ValueOutOfBounds { ty: String, value: i64 } Arithmetic "value {value} makes {ty} pointer be out of bounds";
    StackPointerUnbounded { reg: u8, text: String } Privilege "R{reg} {text}";

    // --- memory ---
    InvalidMem { reg: u8, ty: String } Memory "R{reg} invalid mem access '{ty}'";
    CannotWriteInto { reg: u8, ty: String } Memory "R{reg} cannot write into {ty}";
    WriteKey { reg: u8 } Memory "write to change key R{reg} not allowed";
    MinNegative { reg: u8 } Memory "R{reg} min value is negative, either use unsigned index or do a if (index >=0) check.";
    MinOutside { reg: u8, inner: Box<Reason> } Memory "{inner}\nR{reg} min value is outside of the allowed memory range";
    Unbounded { reg: u8 } Memory "R{reg} unbounded memory access, make sure to bounds check any such access";
    MaxOutside { reg: u8, inner: Box<Reason> } Memory "{inner}\nR{reg} max value is outside of the allowed memory range";
    OutsideKey { size: u32, off: i64, len: i64 } Memory "invalid access to map key, key_size={size} off={off} size={len}";
    OutsideValue { size: u32, off: i64, len: i64 } Memory "invalid access to map value, value_size={size} off={off} size={len}";
    OutsideMemory { size: u32, off: i64, len: i64 } Memory "invalid access to memory, mem_size={size} off={off} size={len}";
    OutsidePacket { reg: u8, id: u32, off: i64, len: i64, range: u32 } Packet "invalid access to packet, off={off} size={len}, R{reg}(id={id},off={off},r={range})";
    PacketOffset { reg: u8 } Packet "R{reg} offset is outside of the packet";
    PacketBounds { reg: u8, inner: Box<Reason> } Packet "{inner}\nR{reg} offset is outside of the packet";
    PacketWrite {} Packet "cannot write into packet";
    PacketHelper {} Packet "helper access to the packet is not allowed";
    Misaligned { what: String } Memory "misaligned {what}";
    DifferentPointers {} Memory "same insn cannot be used with different pointers";
    ModifiedPointer { reg: u8, ty: String, off: i32 } Memory "dereference of modified {ty} ptr R{reg} off={off} disallowed";
    NegativeOffset { reg: u8, ty: String, off: i32 } Memory "negative offset {ty} ptr R{reg} off={off} disallowed";
    VariableOffset { ty: String, var_off: String } Memory "variable {ty} access var_off={var_off} disallowed";
    AtomicInto { reg: u8, ty: String } Memory "BPF_ATOMIC stores into R{reg} {ty} is not allowed";
    AtomicLoadFrom { reg: u8, ty: String } Memory "BPF_ATOMIC loads from R{reg} {ty} is not allowed";
    MapWriteForbidden { size: u32, off: i64, len: i64 } Map "write into map forbidden, value_size={size} off={off} size={len}";
    MapReadForbidden { size: u32, off: i64, len: i64 } Map "read from map forbidden, value_size={size} off={off} size={len}";
    MapWriteHelper {} Map "write into map forbidden";
    SpecialField { name: &'static str } Map "{name} cannot be accessed directly by load/store";
    SpecialFieldHelper { name: &'static str } Map "{name} cannot be accessed indirectly by helper";
    BtfAccess { text: String } Memory "{text}";
    ArenaOps { text: String } Memory "{text}";

    // --- context ---
    CtxAccess { off: i64, size: u32 } Context "invalid bpf_context access off={off} size={size}";
    LegacyType {} Packet "BPF_LD_[ABS|IND] instructions not allowed for this program type";
    LegacyR6 {} Packet "at the time of BPF_LD_ABS|IND R6 != pointer to skb";
    LegacySubprog {} Packet "LD_ABS is not allowed in subprogs without BTF";
    LegacySubprogReturn {} Packet "LD_ABS is only allowed in functions that return 'int'.";
    TailCallSubprog {} Call "tail_call is not allowed in subprogs without BTF";
    TailCallSubprogReturn {} Call "tail_call is only allowed in functions that return 'int'.";

    // --- stack ---
    StackOutside { dir: &'static str, reg: u8, off: i64, size: i64 } Stack "invalid{dir} stack R{reg} off={off} size={size}";
    StackOutsideVar { dir: &'static str, reg: u8, var_off: String, off: i64, size: i64 } Stack "invalid variable-offset{dir} stack R{reg} var_off={var_off} off={off} size={size}";
    StackUnbounded { dir: &'static str, reg: u8 } Stack "invalid unbounded variable-offset{dir} stack R{reg}";
    FillSize {} Stack "invalid size of register fill";
    SpillSize {} Stack "invalid size of register spill";
    SpillToCaller {} Stack "cannot spill pointers to stack into stack frame of the caller";
    SpillKey {} Stack "cannot spill a callback's key into a stack frame that outlives the callback";
    ReadUninit { off: i32, at: i32, size: u32 } Stack "invalid read from stack off {off}+{at} size {size}";
    ReadUninitHelper { reg: u8, off: i64, at: i64, size: i64 } Stack "invalid read from stack R{reg} off {off}+{at} size {size}";
    ReadUninitHelperVar { reg: u8, var_off: String, at: i64, size: i64 } Stack "invalid read from stack R{reg} var_off {var_off}+{at} size {size}";
    VarStackHelper { var_off: String, off: i32, size: u32 } Stack "variable offset stack pointer cannot be passed into helper function; var_off={var_off} off={off} size={size}";
    VarStackUnprivileged { reg: u8, var_off: String } Privilege "R{reg} variable offset stack access prohibited for !root, var_off={var_off}";
    VarStackSpill { at: usize, off: i32 } Stack "spilled ptr in range of var-offset stack write; insn {at}, ptr off: {off}";
    CorruptSpill {} Privilege "attempt to corrupt spilled pointer on stack";
    LeakStack { off: i32 } Privilege "leaking pointer from stack off {off}";
    ZeroSizedRead {} Memory "invalid zero-sized read";
    DynptrOverwrite { off: i64 } Stack "potential write to dynptr at off={off} disallowed";
    DynptrUninit {} Call "Dynptr has to be an uninitialized dynptr";
    DynptrInit { arg: usize } Call "Expected an initialized dynptr as arg #{arg}";
    DynptrKindIs { want: &'static str, arg: usize } Call "Expected a dynptr of type {want} as arg #{arg}";
    DynptrConst {} Call "cannot pass pointer to const bpf_dynptr, the helper mutates it";
    DynptrUnacquired { arg: usize } Held "arg {arg} is an unacquired reference";
    DynptrUnowned {} Held "cannot release unowned const bpf_dynptr";
    DynptrSource { ty: String } Call "Unsupported reg type {ty} for bpf_dynptr_from_mem data";
    DynptrSliceWrite {} Packet "the prog does not allow writes to packet data";
    DynptrReferenced {} Stack "cannot overwrite referenced dynptr";
    ReturnStack {} Stack "cannot return stack pointer to the caller";

    // --- calls ---
    HelperUnknown { name: String, id: i32 } Call "invalid func {name}#{id}";
    HelperDenied { name: String, id: i32 } Call "program of this type cannot use helper {name}#{id}";
    HelperGpl {} Call "cannot call GPL-restricted function from non-GPL compatible program";
    HelperSleeps {} Call "helper call might sleep in a non-sleepable prog";
    HelperSleepsIn { name: String, id: i32, section: &'static str } Call "sleepable helper {name}#{id} in {section} region";
    ArgType { reg: u8, ty: String, expected: String } Call "R{reg} type={ty} expected={expected}";
    SizeNegative { reg: u8 } Call "R{reg} min value is negative, either use unsigned or 'var &= const'";
    SizeZero { reg: u8, min: u64, max: u64 } Call "R{reg} invalid zero-sized read: u64=[{min},{max}]";
    SizeUnbounded { reg: u8 } Call "R{reg} unbounded memory access, use 'var &= const' or 'if (var < const)'";
    NotConstant { reg: u8 } Call "R{reg} is not a known constant'";
    MapFuncMismatch { map: u32, name: String, id: i32 } Map "cannot pass map_type {map} into func {name}#{id}";
    MapKeyNoMap {} Call "invalid map_ptr to access map->key";
    CallbackMap {} Map "callback function not allowed for map";
    MustBeReferenced { reg: u8 } Held "R{reg} must be referenced when passed to release function";
    TwoReferenced { reg: u8, id: u32, other: u32 } Held "more than one arg with ref_obj_id R{reg} {id} {other}";
    ZeroOffsetRelease { reg: u8 } Held "R{reg} must have zero offset when passed to release func or trusted arg to kfunc";
    HelperNotAcquired { name: String, id: i32 } Held "func {name}#{id} reference has not been acquired before";
    NotScalar { reg: u8 } Call "R{reg} is not a scalar";
    ArgCtx { arg: usize } Call "arg#{arg} expects pointer to ctx";
    ArgNonNull { arg: usize } Call "arg#{arg} is expected to be non-NULL";
    ArgArena { reg: u8 } Call "R{reg} is not a pointer to arena or scalar.";
    InvalidGlobalArgs { inner: Box<Reason>, sub: usize, name: String } Call "{inner}\nCaller passes invalid args into func#{sub} ('{name}')";
    GlobalUnderLock {} Held "global function calls are not allowed while holding a lock,\nuse static function instead";
    GlobalSleeps {} Call "global functions that may sleep are not allowed in non-sleepable context,\ni.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context";
    CallUnderLock {} Held "function calls are not allowed while holding a lock";
    GlobalReturn { name: String } Btf "Global function {name}() doesn't return scalar. Only those are supported.";
    GlobalArg { arg: usize, kind: String, name: String } Btf "Arg#{arg} type {kind} in {name}() is not supported yet.";
    GlobalArgSize { arg: usize, ty: String } Btf "arg#{arg} reference type('{ty}') size cannot be determined: -22";
    GlobalArgCount { name: String, count: usize } Btf "Global function {name}() with {count} > 5 args. Buggy compiler.";
    GlobalArgTag { text: String } Btf "{text}";
    FmtString { text: String } Call "{text}";
    UnprivilegedCall {} Privilege "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN";

    // --- maps and programs ---
    MapProg { text: &'static str } Map "{text}";
    MapValueOffset { off: u32 } Map "direct value offset of {off} is not allowed";
    MapNoDirect {} Map "no direct value access support for this map type";
    MapValuePointer { size: u32, off: u32 } Map "invalid access to map value pointer, value_size={size} off={off}";
    MapIndex { index: i64 } Map "fd_idx {index} isn't valid fd";
    ManyMaps {} Map "The total number of maps per program has reached the limit of 64";

    // --- kfuncs ---
    KfuncDenied { name: String } Call "calling kernel function {name} is not allowed";
    KfuncIndex { index: i64 } Call "kfunc #{index} is not in the program's table";
    KfuncGpl {} Call "cannot call kernel function from non-GPL compatible program";
    KfuncSleepable { name: String } Call "program must be sleepable to call sleepable kfunc {name}";
    KfuncSleepableIn { name: String, section: &'static str } Call "kernel func {name} is sleepable within {section} region";
    KfuncRcuSection { name: String } Held "kernel func {name} requires RCU critical section protection";
    KfuncNestedRcu { name: String } Held "nested rcu read lock (kernel function {name})";
    KfuncUnmatchedRcu { name: String } Held "unmatched rcu read unlock (kernel function {name})";
    KfuncUnmatchedPreempt { name: String } Held "unmatched attempt to enable preemption (kernel function {name})";
    KfuncNotAcquired { name: String, id: i64 } Held "kfunc {name}#{id} reference has not been acquired before";
    KfuncArgs { name: String, count: usize } Call "Function {name} has {count} > 5 args";
    KfuncConst { reg: u8 } Call "R{reg} must be a known constant";
    KfuncRetPointer { name: String, ty: String } Call "kernel function {name} returns pointer type {ty} is not supported";
    KfuncNullArg { arg: usize } Call "Possibly NULL pointer passed to trusted arg{arg}";
    KfuncReferenced { reg: u8 } Call "R{reg} must be referenced or trusted";
    KfuncRcu { reg: u8 } Call "R{reg} must be a rcu pointer";
    KfuncArgPointer { arg: usize, what: String } Call "arg#{arg} {what}";
    KfuncPointerStruct { name: String, arg: usize, want: String, reg: u8, have: String } Call "kernel function {name} args#{arg} expected pointer to STRUCT {want} but R{reg} has a pointer to {have}";
    KfuncReleaseNone { name: String } Held "release kernel function {name} expects refcounted PTR_TO_BTF_ID";
    KfuncMemSize { inner: Box<Reason>, mem: usize, len: usize } Call "{inner}\narg#{mem} arg#{len} memory, len pair leads to invalid memory access";
    KfuncAllocType { text: &'static str } Call "{text}";
    KfuncArgUnsupported { name: String, arg: usize, ty: String } Call "kernel function {name} args#{arg} pointer type {ty} is not supported";
    KfuncMap { text: String } Call "{text}";
    // Backstop's own: the kernel's types were not given, or have no such type.
    KernelType { name: String } Btf "the kernel's own type struct {name} is not at hand: give the kernel's types (--kernel-btf, Config::kernel_btf)";
    KfuncUnsupported { name: String } Call "kernel function {name} is not supported by this verifier yet";
    IterStack { arg: usize } Call "arg#{arg} expected pointer to an iterator on stack";
    IterUninit { name: &'static str, arg: usize } Call "expected uninitialized iter_{name} as arg #{arg}";
    IterInit { name: &'static str, arg: usize } Call "expected an initialized iter_{name} as arg #{arg}";
    IterRcu { name: String } Held "expected an RCU CS when using {name}";
    IrqStack { arg: usize } Call "arg#{arg} doesn't point to an irq flag on stack";
    IrqUninit { arg: usize } Call "expected uninitialized irq flag as arg#{arg}";
    IrqInit { arg: usize } Call "expected an initialized irq flag as arg#{arg}";
    IrqClass { saved: &'static str, restored: &'static str } Held "irq flag acquired by {saved} kfuncs cannot be restored with {restored} kfuncs";
    IrqOrder { id: u32, insn: u32 } Held "cannot restore irq state out of order, expected id={id} acquired at insn_idx={insn}";
    LockOffset { reg: u8, lock: &'static str } Held "R{reg} doesn't have constant offset. {lock}_lock has to be at the constant offset";
    LockBtf { map: String, lock: &'static str } Held "map '{map}' has to have BTF in order to use {lock}_lock";
    LockNone { what: &'static str, name: String, lock: &'static str } Held "{what} '{name}' has no valid {lock}_lock";
    LockPlace { off: i64, lock: &'static str, want: u32 } Held "off {off} doesn't point to 'struct {lock}_lock' that is at {want}";
    FieldOffset { reg: u8, field: &'static str } Call "R{reg} doesn't have constant offset. {field} has to be at the constant offset";
    FieldBtf { map: String, field: &'static str } Map "map '{map}' has to have BTF in order to use {field}";
    FieldNone { map: String, field: &'static str } Map "map '{map}' has no valid {field}";
    FieldPlace { off: i64, field: &'static str, want: u32 } Call "off {off} doesn't point to 'struct {field}' that is at {want}";
    StructFields { name: String, what: &'static str } Btf "struct {name}: its special fields make no object: {what}";
    MapFields { map: String, what: String } Map "map '{map}' cannot be made: {what}";
    KptrVariable { name: &'static str } Map "{name} access cannot have variable offset";
    KptrMisaligned { name: &'static str, want: u32, off: i64 } Map "{name} access misaligned expected={want} off={off}";
    KptrSize { name: &'static str } Map "{name} access size must be BPF_DW";
    KptrMode {} Map "kptr in map can only be accessed using BPF_MEM instruction mode";
    KptrStore { what: &'static str } Map "store to {what} disallowed";
    KptrImm { off: u32 } Map "BPF_ST imm must be 0 when storing to kptr at off={off}";
    KptrValue { reg: u8, ty: String, expected: String } Map "invalid kptr access, R{reg} type={ty} expected={expected}";
    HelperNullArg { arg: usize } Call "Possibly NULL pointer passed to helper arg{arg}";
    TypeUnmatched {} Call "verifier bug: invalid PTR_TO_BTF_ID register for type match";
    KptrBtf { map: String } Map "map '{map}' has to have BTF in order to use bpf_kptr_xchg";
    KptrOffset { reg: u8 } Map "R{reg} doesn't have constant offset. kptr has to be at the constant offset";
    KptrNone { reg: u8 } Map "R{reg} has no valid kptr";
    KptrPlace { off: i64 } Map "off={off} doesn't point to kptr";
    KptrUnreferenced { off: i64 } Map "off={off} kptr isn't referenced kptr";
    GraphRoot { arg: usize } Call "arg#{arg} expected pointer to map value or allocated object";
    GraphNotFound { what: &'static str, off: i64 } Call "{what} not found at offset={off}";
    GraphLock { lock: i64, what: &'static str } Held "bpf_spin_lock at off={lock} must be held for {what}";
    GraphElement { root: &'static str, node: &'static str, want: u32, want_struct: String, off: i64, in_struct: String } Call "operation on {root} expects arg#1 {node} at offset={want} in struct {want_struct}, but arg is at offset={off} in struct {in_struct}";
    GraphNode { off: i64, node: &'static str, want: u32, name: String } Call "arg#1 offset={off}, but expected {node} at offset={want} in struct {name}";
    GraphBorrowed { name: String } Call "{name} can only take non-owning or refcounted bpf_rb_node pointer";
    GraphInCallback { name: String } Call "{name} not allowed in rbtree cb";
    LockInTreeCallback {} Held "can't spin_{{lock,unlock}} in rbtree cb";
    RefcountNone { arg: usize } Call "arg#{arg} doesn't point to a type with bpf_refcount field";
    RecordNone {} Call "verifier bug: Couldn't find btf_record";
    RefcountOwner { arg: usize } Call "arg#{arg} is neither owning or non-owning ref";
    PercpuSize { size: u32, limit: u32 } Call "bpf_percpu_obj_new type size ({size}) is greater than {limit}";
    TimerMap { uid: u32, map_uid: u32 } Call "timer pointer in R1 map_uid={uid} doesn't match map pointer in R2 map_uid={map_uid}";
    LockAgain {} Held "Acquiring the same lock again, AA deadlock detected";
    LockTwo {} Held "Locking two bpf_spin_locks are not allowed";
    UnlockNone { lock: &'static str } Held "{lock}_unlock without taking a lock";
    UnlockOther { lock: &'static str } Held "{lock}_unlock of different lock";
    UnlockOrder { lock: &'static str } Held "{lock}_unlock cannot be out of order";

    // --- ends ---
    Leak { lines: String, what: &'static str } Held "{lines}\n{what} would lead to reference leak";
    LeakThrow { lines: String } Exception "{lines}\nbpf_throw would lead to reference leak";
    InLock { what: &'static str } Held "{what} cannot be used inside bpf_spin_lock-ed region";
    InIrq { what: &'static str } Held "{what} cannot be used inside bpf_local_irq_save-ed region";
    InRcu { what: &'static str } Held "{what} cannot be used inside bpf_rcu_read_lock-ed region";
    InPreempt { what: &'static str } Held "{what} cannot be used inside bpf_preempt_disable-ed region";
    GlobalThrows { name: String, at: u32, what: String } Exception "global function {name}() called at insn {at} may throw while {what} is held";
    SubprogReturn { reg: u8, ty: String } Return "At subprogram exit the register R{reg} is not a scalar value ({ty})";
    ReturnUnknown { at: &'static str, reg: u8, ty: String } Return "{at} the register R{reg} is not a known value ({ty})";
    ReturnRange { at: &'static str, reg: &'static str, range: String, min: i64, max: i64 } Return "{at} the register {reg} has{range} should have been in [{min}, {max}]";
    CallbackReturn {} Return "R0 not a scalar value";

    // --- exceptions ---
    ThrowInCallback { at: usize, sub: usize } Exception "bpf_throw kfunc (insn {at}) cannot be called from callback subprog {sub}";
    CallsCallback { at: usize } Exception "insn {at} cannot call exception cb directly";
    TailCallInException {} Exception "cannot tail call within exception cb";
    TailCallMap {} Map "expected prog array map for tail call";
    LegacyInCallback { at: usize } Packet "legacy packet load (insn {at}) cannot be made within a callback";
    TailCallInCallback { at: usize } Call "tail call (insn {at}) cannot be made within a callback";
    ExceptionArgs {} Exception "exception cb only supports single integer argument";
    ExceptionTags {} Exception "multiple exception callback tags for main subprog";
    ExceptionNotFound { name: String } Exception "exception callback '{name}' could not be found in BTF";
    ExceptionNotGlobal { name: String } Exception "exception callback '{name}' must have global linkage";
    ExceptionFuncInfo {} Exception "exception callback type id not found in func_info";
    ExceptionOffset {} Exception "invalid exception callback insn_off in func_info: 0";
    ExceptionMain {} Exception "invalid btf id for main subprog in func_info";
}
