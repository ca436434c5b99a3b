//! BTF that goes into the kernel, and the kernel's own.

use crate::asm::*;
use backstop_referee::{
    AttachType, DataSection, Error, MapBtf, MapSpec, ProgBtf, ProgLoad, ProgType, Referee, TestRun, TypeKind,
    kernel_btf, map_kind,
};

/// BTF of a program with an exception callback: `int main(void *ctx)` (id 5) and `int cb(u64 cookie)` (id 7).
struct CallbackBtf;

/// BTF under construction.
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl CallbackBtf {
    const MAIN: u32 = 5;
    const CALLBACK: u32 = 7;

    fn build(tags: &[&str]) -> Vec<u8> {
        let mut btf = Builder::new();
        let (int, u64_name, ctx) = (btf.string("int"), btf.string("u64"), btf.string("ctx"));
        let (main, callback, cookie) = (btf.string("main"), btf.string("cb"), btf.string("cookie"));
        btf.words(&[int, 1 << 24, 4, 1 << 24 | 32]);
        btf.words(&[u64_name, 1 << 24, 8, 64]);
        btf.words(&[0, 2 << 24, 0]);
        btf.words(&[0, 13 << 24 | 1, 1, ctx, 3]);
        btf.words(&[main, 12 << 24, 4]);
        btf.words(&[0, 13 << 24 | 1, 1, cookie, 2]);
        btf.words(&[callback, 12 << 24 | 1, 6]);
        for tag in tags {
            let name = btf.string(&format!("exception_callback:{tag}"));
            btf.words(&[name, 17 << 24, Self::MAIN, u32::MAX]);
        }
        btf.finish()
    }
}

impl Builder {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn string(&mut self, text: &str) -> u32 {
        let at = self.strings.len();
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        u32::try_from(at).expect("short strings")
    }

    fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.types.extend(word.to_ne_bytes()));
    }

    fn finish(self) -> Vec<u8> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short");
        let mut out = 0xeb9f_u16.to_ne_bytes().to_vec();
        out.extend([1, 0]);
        for word in [24, 0, len(&self.types), len(&self.types), len(&self.strings)] {
            out.extend(word.to_ne_bytes());
        }
        [out, self.types, self.strings].concat()
    }
}

#[test]
fn throws_into_a_callback_of_the_program() {
    let Some(referee) = Referee::open_or_skip("throws_into_a_callback_of_the_program") else {
        return;
    };
    let [first, second, third] = throwing(64);
    let insns = [first, second, third, mov_reg(0, 1), add(0, 1000), exit()];
    let func_info: Vec<u8> =
        [0, CallbackBtf::MAIN, 3, CallbackBtf::CALLBACK].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let judge = |tags: &[&str]| {
        let btf = referee.load_btf(&CallbackBtf::build(tags)).expect("BTF");
        let info =
            ProgBtf { btf: &btf, func_info: &func_info, func_info_rec_size: 8, line_info: &[], line_info_rec_size: 16 };
        let prog = ProgLoad {
            kfuncs: &["bpf_throw"],
            btf: Some(info),
            ..ProgLoad::new(ProgType::SchedCls, insns.as_flattened())
        };
        referee.load(&prog).expect("load")
    };
    let loaded = judge(&["cb"]).into_result().expect("accepted");
    assert_eq!(referee.test_run(&loaded, &TestRun::packet(&packet(64))).expect("run").retval, 1064);
    let twice = judge(&["cb", "cb"]).into_result().expect_err("two callbacks");
    assert!(twice.log.contains("multiple exception callback tags for main subprog"), "{}", twice.log.text());
    let missing = judge(&["nobody"]).into_result().expect_err("no such callback");
    assert!(missing.log.contains("exception callback 'nobody' could not be found in BTF"), "{}", missing.log.text());
}

#[test]
fn refused_btf_says_why() {
    let Some(referee) = Referee::open_or_skip("refused_btf_says_why") else {
        return;
    };
    let mut btf = CallbackBtf::build(&[]);
    btf.truncate(btf.len() - 1);
    let error = referee.load_btf(&btf).expect_err("cut off");
    assert!(matches!(&error, Error::BtfRefused { errno: libc::EINVAL, log } if !log.is_empty()), "{error:?}");
}

#[test]
fn finds_attach_targets() {
    let Some(referee) = Referee::open_or_skip("finds_attach_targets") else {
        return;
    };
    let insns = [mov(0, 0), exit()];
    for (attach_type, name) in [(AttachType::TraceRawTp, "sched_switch"), (AttachType::TraceIter, "task")] {
        let target = referee.attach_target(attach_type, name).expect("a target");
        let prog = ProgLoad::new(ProgType::Tracing, insns.as_flattened());
        let prog = ProgLoad { attach_type: Some(attach_type), attach_btf_id: target, ..prog };
        must_load(&referee, &prog);
    }
    assert!(matches!(referee.attach_target(AttachType::TraceFentry, "no such thing"), Err(Error::NoSuchType { .. })));
    let types = backstop_referee::KernelTypes::get().expect("the kernel's types");
    assert!(types.find(TypeKind::Struct, "task_struct").is_ok());
}

/// What clang writes for one variable in `.bss` (id 3), an extern in `.ksyms` (id 5) with a tag on it (id 8), and an
/// extern function: section types (ids 4 and 7) without sizes or offsets.
fn unfinished() -> Vec<u8> {
    let mut btf = Builder::new();
    let (int, lock, val) = (btf.string("int"), btf.string("bpf_spin_lock"), btf.string("val"));
    let (guard, sym, func) = (btf.string("guard"), btf.string("sym"), btf.string("bpf_throw"));
    let (bss, ksyms, tag) = (btf.string(".bss"), btf.string(".ksyms"), btf.string("tag"));
    btf.words(&[int, 1 << 24, 4, 1 << 24 | 32]);
    btf.words(&[lock, 4 << 24 | 1, 4, val, 1, 0]);
    btf.words(&[guard, 14 << 24, 2, 1]);
    btf.words(&[bss, 15 << 24 | 1, 0, 3, 0, 4]);
    btf.words(&[sym, 14 << 24, 0, 2]);
    btf.words(&[0, 13 << 24, 0]);
    btf.words(&[ksyms, 15 << 24 | 2, 0, 5, 0, 0, 9, 0, 0]);
    btf.words(&[tag, 17 << 24, 5, u32::MAX]);
    btf.words(&[func, 12 << 24 | 2, 6]);
    btf.finish()
}

#[test]
fn unfinished_btf_is_mended() {
    let Some(referee) = Referee::open_or_skip("unfinished_btf_is_mended") else {
        return;
    };
    assert!(referee.load_btf(&unfinished()).is_err());
    // Without the section's variables it becomes void, and the rest still goes.
    referee.load_btf(&kernel_btf(&unfinished(), &[]).expect("well formed")).expect("taken");

    let bss = DataSection { name: ".bss", size: 8, variables: &[("guard", 4)] };
    let mended = kernel_btf(&unfinished(), &[bss]).expect("well formed");
    let btf = referee.load_btf(&mended).expect("taken");
    // The ids stay: the section is still type 4, and the kernel finds the lock in it.
    let types = MapBtf { btf: &btf, key_type: 0, value_type: 4 };
    let spec = MapSpec { kind: map_kind::ARRAY, key_size: 4, value_size: 8, max_entries: 1, ..MapSpec::default() };
    let map = referee.create_map(&MapSpec { btf: Some(types), ..spec }).expect("a map");
    let [slot0, slot1] = [insn(0x18, 1, 6, 0, 0), insn(0, 0, 0, 0, 4)];
    let insns = [slot0, slot1, mov_reg(6, 1), helper(93), mov_reg(1, 6), helper(94), mov(0, 0), exit()];
    let prog = ProgLoad { maps: &[&map], ..ProgLoad::new(ProgType::SchedCls, insns.as_flattened()) };
    must_load(&referee, &prog);
}

#[test]
fn damaged_btf_is_an_error() {
    let whole = unfinished();
    for len in 0..whole.len() {
        let cut = kernel_btf(&whole[..len], &[]);
        assert!(matches!(cut, Err(Error::Btf { .. })), "{len} bytes: {cut:?}");
    }
    // No single byte, whatever it becomes, makes the mending panic or grow.
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            if let Ok(mended) = kernel_btf(&damaged, &[]) {
                assert!(mended.len() <= damaged.len(), "byte {at} = {value}");
            }
        }
    }
}
