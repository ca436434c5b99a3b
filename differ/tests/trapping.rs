//! A planted fault that is a real trap: compiled code divides without its test for 0, and the machine ends the process. The session runs in
//! a child; its journal says what killed it, and that is reduced in further children.
//!
//! Without the usual harness, since this program is its own child: with `session JOURNAL` or `serve` as arguments it is one.

#[cfg(not(all(feature = "jit", target_arch = "x86_64", target_os = "linux")))]
fn main() {
    println!("skipped: there is no JIT here");
}

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["session", journal] => trapping::session(journal.as_ref()),
        ["serve"] => trapping::serve(),
        // Whatever the harness would be told.
        _ => trapping::division_by_a_zero_register_trapping(),
    }
}

#[cfg(all(feature = "jit", target_arch = "x86_64", target_os = "linux"))]
mod trapping {
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use backstop::PlantedFault as Fault;
    use backstop_differ::{
        Apart, Case, Columns, Compare, Journal, Rules, Session, Settings, Tried, Watch, What, killed,
    };

    /// Instructions that may be left.
    const FEW: usize = 10;
    /// Instructions that a proof may take.
    const INSNS: u64 = 100_000;
    /// nop, in six bytes and in two.
    const NOPS: [&[u8]; 2] = [&[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00], &[0x66, 0x90]];
    /// Bytes at most between the jump over a division and the division: it moves the dividend and saves rax and rdx.
    const BETWEEN: usize = 16;

    /// Takes away the jumps that lead round a division by 0: `test divisor, divisor; je` with `div divisor` close behind.
    fn untested(code: &mut [u8]) {
        for at in 0..code.len() {
            let Some((len, divisor)) = test_of_itself(&code[at..]) else { continue };
            let jump = at + len;
            let nop = match code.get(jump..) {
                Some([0x0f, 0x84, ..]) => NOPS[0],
                Some([0x74, ..]) => NOPS[1],
                _ => continue,
            };
            let behind = jump + nop.len();
            let window = &code[behind..code.len().min(behind + BETWEEN)];
            if (0..window.len()).any(|n| divides(&window[n..]) == Some(divisor)) {
                code[jump..behind].copy_from_slice(nop);
            }
        }
    }

    /// The length of `test r, r`, and r.
    fn test_of_itself(code: &[u8]) -> Option<(usize, u8)> {
        let (rex, rest) = prefix(code);
        let [0x85, modrm, ..] = rest else { return None };
        let (reg, rm) = (modrm >> 3 & 7 | (rex & 4) << 1, modrm & 7 | (rex & 1) << 3);
        (modrm >> 6 == 3 && reg == rm).then_some((code.len() - rest.len() + 2, rm))
    }

    /// The divisor of `div r`.
    fn divides(code: &[u8]) -> Option<u8> {
        let (rex, rest) = prefix(code);
        let [0xf7, modrm, ..] = rest else { return None };
        (modrm >> 3 == 0b11_110).then_some(modrm & 7 | (rex & 1) << 3)
    }

    fn prefix(code: &[u8]) -> (u8, &[u8]) {
        match code {
            [rex @ 0x40..=0x4f, rest @ ..] => (*rex, rest),
            _ => (0, code),
        }
    }

    fn columns(rules: Rules) -> Columns {
        Columns::configured(rules, &|config| config.fault(Fault { functions: None, image: Some(untested) }))
    }

    fn settings() -> Settings {
        Settings { seed: 7, count: 4000, threads: 2, ..Settings::default() }
    }

    impl Watch for Noted {
        fn tries(&self, thread: usize, number: u64) {
            self.0.tries(thread, number);
        }
    }

    struct Noted(Journal);

    pub fn session(journal: &Path) {
        let watch = Noted(Journal::create(journal).expect("a journal"));
        let report = Session::with_columns(settings(), columns).expect("a session").run(&watch);
        panic!("{} programs, and none traps", report.programs());
    }

    pub fn serve() {
        let served = backstop_differ::serve(&columns, &mut std::io::stdin().lock(), &mut std::io::stdout().lock());
        served.expect("questions");
    }

    fn child(arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(arguments);
        command
    }

    pub fn division_by_a_zero_register_trapping() {
        let folder = std::env::temp_dir().join(format!("backstop-trapping-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let journal = folder.join("journal");
        let ended = child(&["session", &journal.to_string_lossy()]).stderr(Stdio::null()).status().expect("a child");
        let numbers = Journal::read(&journal).expect("the journal");
        std::fs::remove_dir_all(&folder).expect("the folder");
        assert_eq!(killed(ended).as_deref(), Some("the process was killed by signal 8 (SIGFPE)"), "{ended}");
        assert!((1..=2).contains(&numbers.len()), "{numbers:?}");

        let session = Session::new(settings()).expect("a session");
        let mut apart = Apart::new(|| child(&["serve"]));
        let cases = numbers.iter().map(|number| session.case(*number));
        let engines = session.columns();
        let deadly = cases.filter_map(|case| {
            let difference = apart.attempt(&case, engines).expect("a child")?;
            (difference.what == What::Killed).then_some((case, difference))
        });
        let (case, difference) = deadly.last().expect("one of them killed it");
        assert_eq!(difference.columns[1], "jit", "{difference}");
        let reduced = apart.reduce(&case, engines, &|| false).expect("children").expect("it kills again");
        let smallest = Case { program: reduced.program.clone(), inputs: reduced.inputs.clone(), rules: case.rules };
        println!("{} tests\n{}{smallest}", reduced.tests, reduced.difference);
        assert!(reduced.instructions() <= FEW, "{} instructions are left:\n{smallest}", reduced.instructions());
        assert!(reduced.difference.what == What::Killed && reduced.difference.made[1].contains("SIGFPE"));
        let sound = Columns::new(case.rules).attempt(&smallest.program, &smallest.inputs, Compare::All, INSNS);
        assert!(matches!(sound, Tried::Same(_)), "{sound:?}\n{smallest}");
        // What does not kill is told as ever.
        let harmless: Case =
            "type: raw_mem\nmemory: 8\ninput: 0000000000000000\ncode:\nr0 = 7\nexit\n".parse().expect("a case");
        assert!(apart.attempt(&harmless, engines).expect("a child").is_none());
        std::io::stdout().flush().expect("output");
        println!("test division_by_a_zero_register_trapping ... ok");
    }
}
