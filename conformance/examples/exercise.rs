//! Exercises both engines, and with `linux` as an argument the running kernel too; `every N` keeps each N-th case and run.

use std::process::ExitCode;

use backstop_conformance::Exerciser;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let every = args.iter().skip_while(|arg| *arg != "every").nth(1).and_then(|n| n.parse().ok());
    let linux = args.iter().any(|arg| arg == "linux");
    match (Exerciser { linux, every: every.unwrap_or(1), ..Exerciser::default() }).run() {
        Ok(report) => {
            println!("{report}");
            println!("seed {}, {:.1} s", report.seed, report.elapsed.as_secs_f64());
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
