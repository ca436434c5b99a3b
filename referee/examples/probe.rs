//! Asks the running kernel about a program of a few instructions: verdict, log and, with `--run`, a test run.
//!
//! Reads assembler text from stdin (the pseudo-C of clang and bpftool; labels; `;` or `//` start a comment), or slots of
//! 16 hexadecimal digits:
//!
//! ```text
//! printf 'r1 = 64\ncall bpf_throw\nexit\n' | cargo run -p backstop-referee --example probe -- --type sched_cls --run
//! ```
//!
//! A called name that is no label is a kfunc of the running kernel; helpers are called by number (`call 1`). `map[N]` is
//! the N-th `--map`.
//!
//! | flag | meaning |
//! |---|---|
//! | `--type NAME` | program type by name or number; `socket_filter` if not given |
//! | `--attach NAME` | expected attach type by name or number |
//! | `--target NAME` | what a tracing or lsm program is written for |
//! | `--log-level N` | 1 the failing path, 2 everything, 4 counts |
//! | `--flags N` | flags of the load, decimal |
//! | `--license TEXT` | `GPL` if not given |
//! | `--map KIND,KEY,VALUE,ENTRIES[,FLAGS]` | a map, by numbers; repeatable |
//! | `--run` | a test run over 64 bytes of packet (IPv4) or of context |

use std::cell::RefCell;
use std::error::Error;
use std::io::Read;

use backstop_isa::{Symbol, assemble_with, slots_to_bytes};
use backstop_referee::{AttachType, Loaded, Map, MapSpec, Outcome, ProgLoad, ProgType, Referee, TestRun, errno_name};

struct Options {
    prog_type: ProgType,
    attach: Option<AttachType>,
    log_level: u32,
    flags: u32,
    license: String,
    target: Option<String>,
    maps: Vec<String>,
    run: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            prog_type: ProgType::SocketFilter,
            attach: None,
            log_level: 1,
            flags: 0,
            license: "GPL".to_owned(),
            target: None,
            maps: Vec::new(),
            run: false,
        };
        while let Some(flag) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{flag} wants a value"));
            match flag.as_str() {
                "--type" => options.prog_type = value()?.parse()?,
                "--attach" => options.attach = Some(value()?.parse()?),
                "--log-level" => options.log_level = value()?.parse()?,
                "--flags" => options.flags = value()?.parse()?,
                "--license" => options.license = value()?,
                "--target" => options.target = Some(value()?),
                "--map" => options.maps.push(value()?),
                "--run" => options.run = true,
                other => return Err(format!("no such flag: {other}").into()),
            }
        }
        Ok(options)
    }
}

/// Instructions, and the kfuncs that their calls index.
fn read_program(text: &str) -> Result<(Vec<u8>, Vec<String>), Box<dyn Error>> {
    let is_slot = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.split_whitespace().all(is_slot) {
        let slots = text.split_whitespace().map(|word| u64::from_str_radix(word, 16));
        let slots = slots.collect::<Result<Vec<_>, _>>()?;
        return Ok((slots.into_iter().flat_map(u64::to_be_bytes).collect(), Vec::new()));
    }
    let kfuncs = RefCell::new(Vec::<String>::new());
    let slots = assemble_with(text, &|name| {
        let mut kfuncs = kfuncs.borrow_mut();
        let place = kfuncs.iter().position(|known| known == name).unwrap_or(kfuncs.len());
        if place == kfuncs.len() {
            kfuncs.push(name.to_owned());
        }
        i32::try_from(place).ok().map(|id| Symbol::Kfunc { id, off: 0 })
    })?;
    Ok((slots_to_bytes(&slots), kfuncs.into_inner()))
}

fn make_map(referee: &Referee, text: &str) -> Result<Map, Box<dyn Error>> {
    let numbers = text.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let [kind, key_size, value_size, max_entries, rest @ ..] = numbers.as_slice() else {
        return Err(format!("`{text}` is not KIND,KEY,VALUE,ENTRIES[,FLAGS]").into());
    };
    let spec = MapSpec {
        kind: *kind,
        key_size: *key_size,
        value_size: *value_size,
        max_entries: *max_entries,
        flags: rest.first().copied().unwrap_or(0),
        ..MapSpec::default()
    };
    Ok(referee.create_map(&spec)?)
}

fn test_run(referee: &Referee, loaded: &Loaded) -> Result<(), Box<dyn Error>> {
    let zeroes = [0_u8; 64];
    let mut packet = zeroes;
    packet[12] = 8;
    let takes_context = matches!(loaded.prog_type(), ProgType::Syscall | ProgType::RawTracepoint | ProgType::SkLookup);
    let input = if takes_context { TestRun::context(&zeroes) } else { TestRun::packet(&packet) };
    let out = referee.test_run(loaded, &input)?;
    println!("returned {} ({:#x})", out.retval, out.retval);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let (insns, kfuncs) = read_program(&text)?;
    let referee = Referee::open()?;
    let maps = options.maps.iter().map(|map| make_map(&referee, map)).collect::<Result<Vec<_>, _>>()?;
    let maps: Vec<&Map> = maps.iter().collect();
    let kfuncs: Vec<&str> = kfuncs.iter().map(String::as_str).collect();
    let attach_type = options.attach.unwrap_or(AttachType::usual(options.prog_type));
    let target = options.target.map(|name| referee.attach_target(attach_type, &name)).transpose()?;
    let outcome = referee.load(&ProgLoad {
        attach_type: Some(attach_type),
        attach_btf_id: target.unwrap_or(0),
        log_level: options.log_level,
        flags: options.flags,
        license: &options.license,
        kfuncs: &kfuncs,
        maps: &maps,
        ..ProgLoad::new(options.prog_type, &insns)
    })?;
    print!("{}", outcome.log().text());
    match outcome {
        Outcome::Refused(refused) => println!("refused: {}: {}", errno_name(refused.errno), refused.reason()),
        Outcome::Loaded(loaded) => {
            println!("accepted");
            if options.run {
                test_run(&referee, &loaded)?;
            }
        }
    }
    Ok(())
}
