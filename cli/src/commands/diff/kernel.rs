//! The running kernel beside the engines, where this system has one and lets it be asked.

use backstop::Object;
use backstop::model::Program;
use backstop_differ::{Case, Columns, Compare, Difference, Tried};

use super::DiffArgs;

/// Instructions that a proof of a case may take.
const CASE_INSNS: u64 = 1_000_000;

/// Programs to their inputs.
pub type Inputs<'i> = dyn Fn(&Program) -> Vec<Vec<u8>> + 'i;

/// What came of one program.
pub struct Answer {
    /// On the engines and, if it was asked, in the kernel.
    pub tried: Tried,
    /// Whether the kernel was asked, or why it was not.
    pub linux: String,
    /// Why the kernel is meant to differ, where it does.
    pub known: Option<&'static str>,
    /// What libbpf made of it, where it was asked.
    pub libbpf: Option<Libbpf>,
}

/// What libbpf made of a program.
pub struct Libbpf {
    /// `same`, `differs`, or why it was left out.
    pub said: String,
    /// How it differs.
    pub difference: Option<Box<Difference>>,
}

impl Answer {
    /// Of a program that the kernel was not asked about.
    pub fn without(tried: Tried, why: &str) -> Answer {
        Answer { tried, linux: why.to_owned(), known: None, libbpf: None }
    }
}

#[cfg(target_os = "linux")]
impl From<backstop_differ::linux::TriedLinux> for Answer {
    fn from(tried: backstop_differ::linux::TriedLinux) -> Answer {
        Answer { tried: tried.tried, linux: tried.linux, known: tried.known, libbpf: None }
    }
}

/// The running kernel, or why it is not asked.
pub enum Kernel {
    /// It can be asked.
    #[cfg(target_os = "linux")]
    Willing(backstop_differ::linux::Linux),
    /// It is not, for this reason.
    Left(String),
}

impl Kernel {
    /// Finds out; and why it can't be asked, if it is asked for by name.
    pub fn open(args: &DiffArgs) -> (Kernel, Option<String>) {
        if args.linux == Some(0) {
            return (Kernel::Left("not asked".to_owned()), None);
        }
        match Kernel::willing() {
            Ok(kernel) => (kernel, None),
            Err(why) => {
                let missing = args.linux.map(|_| format!("Linux can't be asked: {why}"));
                (Kernel::Left(why), missing)
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn willing() -> Result<Kernel, String> {
        backstop_differ::linux::Linux::open().map(Kernel::Willing).map_err(|why| why.to_string())
    }

    #[cfg(not(target_os = "linux"))]
    fn willing() -> Result<Kernel, String> {
        Err("this is no Linux".to_owned())
    }

    /// Whether programs are judged as Linux does.
    pub fn is_asked(&self) -> bool {
        !matches!(self, Kernel::Left(_))
    }

    /// Tries a saved case.
    pub fn case(&self, columns: &mut Columns, case: &Case) -> Answer {
        let why = match self {
            #[cfg(target_os = "linux")]
            Kernel::Willing(linux) if case.rules.compat_linux => {
                return linux.attempt(columns, &case.program, &case.inputs, CASE_INSNS).into();
            }
            #[cfg(target_os = "linux")]
            Kernel::Willing(_) => "the case is not judged as Linux does",
            Kernel::Left(why) => why,
        };
        Answer::without(columns.attempt(&case.program, &case.inputs, Compare::All, CASE_INSNS), why)
    }

    /// Tries a program of an object.
    pub fn object(&self, columns: &mut Columns, opened: &[Object], name: &str, inputs: &Inputs<'_>) -> Answer {
        match self {
            #[cfg(target_os = "linux")]
            Kernel::Willing(linux) => linux.attempt_object(columns, opened, name, inputs).into(),
            Kernel::Left(why) => Answer::without(columns.attempt_object(opened, name, inputs, Compare::Cautious), why),
        }
    }

    /// What libbpf makes of a program of an object, beside Backstop's linking.
    #[cfg(all(feature = "libbpf", target_os = "linux"))]
    pub fn libbpf(&self, opened: &[Object], bytes: &[u8], stem: &str, name: &str) -> Libbpf {
        use backstop_differ::linux::ThroughLibbpf;
        let without = |said: String| Libbpf { said: format!("left out: {said}"), difference: None };
        match (self, opened.first()) {
            (Kernel::Willing(linux), Some(object)) => match linux.through_libbpf(object, bytes, stem, name) {
                ThroughLibbpf::Same => Libbpf { said: "same".to_owned(), difference: None },
                ThroughLibbpf::LeftOut(why) => without(why),
                ThroughLibbpf::Differs(difference) => {
                    Libbpf { said: "differs".to_owned(), difference: Some(difference) }
                }
            },
            (Kernel::Left(why), _) => without(why.clone()),
            (_, None) => without("no object".to_owned()),
        }
    }

    /// This build is without it.
    #[cfg(not(all(feature = "libbpf", target_os = "linux")))]
    pub fn libbpf(&self, _: &[Object], _: &[u8], _: &str, _: &str) -> Libbpf {
        Libbpf { said: "left out: this build is without it".to_owned(), difference: None }
    }
}
