//! `backstop inspect --helpers TYPE`: what programs of a type may call.

use backstop::model::{BuiltinKfunc, ProgKind, ProgType, helpers, kfuncs, sections};
use serde::Serialize;

use crate::failure::{Failure, Outcome, Result};
use crate::output::{Out, counted};
use crate::suggest;

#[derive(Serialize)]
struct Callable {
    #[serde(rename = "type")]
    ty: &'static str,
    helpers: Vec<Helper>,
    kfuncs: Vec<&'static str>,
}

#[derive(Serialize)]
struct Helper {
    number: u32,
    name: String,
    /// Only for programs with a GPL-compatible license.
    gpl_only: bool,
}

/// Lists them. `ty` is a type as `verify` names it, or a section's name.
pub fn list(ty: &str, json: bool) -> Result {
    let kind = kind(ty)?;
    let found = Callable {
        ty: kind.ty.name(),
        helpers: helpers::all()
            .filter(|h| helpers::allowed(h.id, &kind))
            .map(|h| Helper { number: h.id, name: format!("bpf_{}", h.name), gpl_only: h.gpl_only })
            .collect(),
        kfuncs: BuiltinKfunc::ALL.iter().filter(|k| kfuncs::allowed(**k, &kind)).map(|k| k.name()).collect(),
    };
    let mut out = Out::new();
    if json {
        out.json(&found)?;
        return Ok(Outcome::Done);
    }
    out.line(format_args!("{}: {}, by number", found.ty, counted(found.helpers.len() as u64, "helper")))?;
    for helper in &found.helpers {
        let gpl = if helper.gpl_only { "  (GPL-compatible license)" } else { "" };
        out.line(format_args!("  {:>4}  {}{gpl}", helper.number, helper.name))?;
    }
    out.line(format_args!("\n{}", counted(found.kfuncs.len() as u64, "kfunc")))?;
    found.kfuncs.iter().try_for_each(|name| out.line(format_args!("        {name}")))?;
    Ok(Outcome::Done)
}

fn kind(ty: &str) -> Result<ProgKind> {
    let own = [ProgType::RawMem, ProgType::Host];
    let all = || ProgType::LINUX.iter().chain(&own);
    let named = all().find(|t| t.name() == ty).map(|t| ProgKind::new(*t));
    named.or_else(|| sections::parse(ty).ok().map(|section| section.kind)).ok_or_else(|| {
        let instead = suggest::instead(ty, all().map(|t| t.name()));
        Failure::Usage(format!("--helpers: there is no program type `{ty}`{instead}"))
    })
}
