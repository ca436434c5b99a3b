//! A refusal for people: reason, instruction and C source line, the path that led there, and what helps.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use backstop_btf::Name;
use backstop_model::Program;

use crate::reason::Reason;
use crate::refusal::Refusal;

/// A line of C source.
struct Source {
    path: String,
    line: usize,
    text: String,
    /// Bytes of the line that the column points to.
    span: std::ops::Range<usize>,
}

impl Refusal {
    /// The refusal as text, with C source lines where the program's line information has them.
    pub fn render(&self, program: &Program) -> String {
        let reason = self.reason.kernel_text();
        let headline = match self.reason {
            // What follows is the two states.
            Reason::InfiniteLoop { .. } => reason.lines().next(),
            _ => reason.lines().last(),
        }
        .unwrap_or_default();
        let title = format!("{} refused: {headline}", self.place(program));
        let mut main = Group::with_title(Level::ERROR.primary_title(title).id(self.category.to_string()));
        if let Some(slot) = self.slot {
            main = main.element(snippet(program, slot, AnnotationKind::Primary, "refused here".into()));
        }
        for line in reason.lines().filter(|line| *line != headline) {
            main = main.element(Level::NOTE.message(line.to_owned()));
        }
        let mut groups = vec![main];
        if !self.path.is_empty() {
            let mut path = Group::with_title(Level::NOTE.secondary_title("the path that led there"));
            for step in &self.path {
                path = path.element(snippet(program, step.slot, AnnotationKind::Context, step.what.clone()));
            }
            groups.push(path);
        }
        if let Some(help) = &self.help {
            groups.push(Group::with_title(Level::HELP.secondary_title(help.clone())));
        }
        Renderer::plain().decor_style(DecorStyle::Ascii).render(&groups)
    }

    fn place(&self, program: &Program) -> String {
        if self.subprogram.is_empty() || self.subprogram == program.name {
            format!("program `{}`", program.name)
        } else {
            format!("program `{}`, function `{}`", program.name, self.subprogram)
        }
    }
}

/// The C line of an instruction, or the instruction itself where there is none.
fn snippet(
    program: &Program,
    slot: u32,
    kind: AnnotationKind,
    label: String,
) -> Snippet<'static, annotate_snippets::Annotation<'static>> {
    let instr = program.instruction_text(slot).unwrap_or_else(|| "?".to_owned());
    match source(program, slot) {
        Some(s) => Snippet::source(s.text)
            .line_start(s.line)
            .path(s.path)
            .annotation(kind.span(s.span).label(format!("{label}: `{instr}` (instruction {slot})"))),
        None => {
            let end = instr.len();
            Snippet::source(instr)
                .line_start(slot as usize)
                .path("instruction")
                .annotation(kind.span(0..end).label(label))
        }
    }
}

fn source(program: &Program, slot: u32) -> Option<Source> {
    let line = program.line_at(slot)?;
    let btf = program.btf.as_ref()?;
    let text = btf.str(Name(line.text)).trim_end().to_owned();
    if text.trim().is_empty() {
        return None;
    }
    let indent = text.len() - text.trim_start().len();
    let column = (line.column as usize).saturating_sub(1);
    let from = if column < text.len() && text.is_char_boundary(column) { column } else { indent };
    Some(Source { path: btf.str(Name(line.file)).to_owned(), line: line.line as usize, span: from..text.len(), text })
}
