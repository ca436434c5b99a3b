//! The input of a run, in the form that the program's type wants.

use backstop::model::{ProgKind, ProgType, contexts};
use backstop::{Input, Object, Packet};

use crate::args::RunArgs;
use crate::failure::{Failure, Result};
use crate::files;

/// Bytes of the input if none is given.
const DEFAULT_SIZE: usize = 64;
/// Most bytes of `--data-size`.
const MAX_SIZE: usize = 256 << 20;

/// What the command line brings for every run.
pub struct Material {
    data: Vec<u8>,
    /// `--data-in` or `--data-size` was given.
    asked: bool,
    context: Option<Vec<u8>>,
}

/// The input of one program, with what it becomes.
pub enum Given {
    Packet(Box<Packet>),
    Memory(Vec<u8>),
    Nothing,
}

impl Material {
    /// Reads the input files.
    pub fn read(args: &RunArgs) -> Result<Material> {
        let data = match (&args.data_in, args.data_size) {
            (Some(path), _) => files::input(path)?,
            (None, Some(size)) if size > MAX_SIZE => {
                let text = format!("--data-size {size}: at most {MAX_SIZE} bytes are possible");
                return Err(Failure::Usage(text));
            }
            (None, size) => vec![0; size.unwrap_or(DEFAULT_SIZE)],
        };
        let context = args.ctx_in.as_deref().map(files::input).transpose()?;
        Ok(Material { data, asked: args.data_in.is_some() || args.data_size.is_some(), context })
    }

    /// The data that runs start from.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// How long a `raw_mem` program's memory is to be, if its section leaves that open.
    pub fn memory_len(&self) -> u32 {
        u32::try_from(self.data.len()).unwrap_or(u32::MAX)
    }

    /// Whether a program that was asked for by name has a use for all that was given. With `--all` each takes what its type has a use for.
    pub fn suits(&self, object: &Object, name: &str) -> Result<()> {
        let info = object.elf().program(name);
        let Some(kind) = info.as_ref().and_then(|p| p.kind.as_ref().ok()).map(|section| &section.kind) else {
            return Ok(());
        };
        if self.context.is_none() || kind.ty == ProgType::Xdp || contexts::has_skb(kind.ty) {
            return Ok(());
        }
        let ty = kind.ty.name();
        if kind.ty == ProgType::RawMem {
            let text =
                format!("program `{name}` is of type {ty}: it has no context, only memory; give that by --data-in");
            return Err(Failure::Usage(text));
        }
        if self.asked {
            let text = format!(
                "program `{name}` is of type {ty}: it gets one block of bytes; give it by --ctx-in or by --data-in, not by both"
            );
            return Err(Failure::Usage(text));
        }
        Ok(())
    }

    /// The input for a program of a kind.
    ///
    /// # Errors
    /// In words, if the context can't be set so.
    pub fn given(&self, kind: &ProgKind) -> std::result::Result<Given, String> {
        if kind.ty == ProgType::Xdp || contexts::has_skb(kind.ty) {
            let mut packet = Packet::new(&self.data);
            if let Some(context) = &self.context {
                whole(kind, context)?;
                packet.set_context(kind, context).map_err(|e| format!("--ctx-in: {e}"))?;
            }
            return Ok(Given::Packet(Box::new(packet)));
        }
        if let (Some(context), false) = (&self.context, kind.ty == ProgType::RawMem) {
            return Ok(Given::Memory(context.clone()));
        }
        if self.asked || kind.ty == ProgType::Syscall {
            return Ok(Given::Memory(self.data.clone()));
        }
        match (kind.ty, &kind.host) {
            (ProgType::RawMem, _) => Ok(Given::Memory(vec![0; kind.memory_len as usize])),
            (_, Some(host)) => Ok(Given::Memory(vec![0; host.size as usize])),
            _ => Ok(Given::Nothing),
        }
    }
}

/// A packet program's context must be given whole: of a part nobody knows what the rest was meant to be.
fn whole(kind: &ProgKind, context: &[u8]) -> std::result::Result<(), String> {
    let (name, size) = match kind.ty {
        ProgType::Xdp => ("xdp_md", contexts::size(kind)),
        _ => ("__sk_buff", contexts::size(kind)),
    };
    match size.map(u64::from) {
        Some(size) if size != context.len() as u64 => Err(format!(
            "--ctx-in: the context has {} bytes, and struct {name} has {size}; give it whole",
            context.len()
        )),
        _ => Ok(()),
    }
}

impl Given {
    /// As a run wants it.
    pub fn input(&mut self) -> Input<'_> {
        match self {
            Given::Packet(packet) => Input::Packet(packet),
            Given::Memory(memory) => Input::Memory(memory),
            Given::Nothing => Input::None,
        }
    }

    /// What is there after the runs.
    pub fn data_out(&self, kind: &ProgKind) -> Vec<u8> {
        match self {
            Given::Packet(packet) => packet.data_out(kind),
            Given::Memory(memory) => memory.clone(),
            Given::Nothing => Vec::new(),
        }
    }
}
