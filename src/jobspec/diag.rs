//! What is wrong with a job, where, and what to do about it: as data, as one line, and drawn with carets.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// Errors reported at once; what lies beyond is counted only.
pub const MAX_DIAGNOSTICS: usize = 50;

/// Longest source line, in bytes, that is shown with a caret.
const MAX_SHOWN_LINE: usize = 400;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The job can't be taken.
    Error,
    /// The job is taken, but something in it does not do what it seems to.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where in the job, as in `job "x" > group "y"`; empty outside of one.
    pub context: String,
    /// Path of the value in the API's JSON, as in `Job.TaskGroups[0].Count`; empty where there is none.
    pub path: String,
    /// The file as it was named to us; empty for what came through the API.
    pub file: String,
    /// Line from 1; 0 if there is no source text.
    pub line: usize,
    /// Column from 1, in characters; 0 if there is no source text.
    pub col: usize,
    /// The source line, without its line ending.
    pub line_text: String,
    /// The part of `line_text` that is meant, in bytes.
    pub mark: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            context: String::new(),
            path: String::new(),
            file: String::new(),
            line: 0,
            col: 0,
            line_text: String::new(),
            mark: 0..0,
            help: None,
        }
    }

    /// The same with advice, where there is any.
    pub(crate) fn help_if(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// The same with its place in the job.
    pub(crate) fn within(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    /// The same with its place in the API's JSON.
    pub(crate) fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same with its place in the text.
    pub(crate) fn at(mut self, source: &Source<'_>, span: Option<Range<usize>>) -> Self {
        self.file = source.file.to_owned();
        let Some(span) = span else { return self };
        let text = source.text;
        let start = floor_char(text, span.start.min(text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line = text[line_start..line_end].trim_end_matches('\r');
        self.line = text[..line_start].matches('\n').count() + 1;
        self.col = text[line_start..start].chars().count() + 1;
        self.mark = mark_in_line(line, start - line_start, span.end.saturating_sub(line_start));
        self.line_text = line.to_owned();
        self
    }

    /// `file:line:col`, or as much of it as is known.
    pub fn place(&self) -> String {
        match (self.file.is_empty(), self.line) {
            (true, 0) => self.path.clone(),
            (false, 0) => self.file.clone(),
            (_, line) => format!("{}:{line}:{}", self.file, self.col),
        }
    }

    /// One line: place, message, advice.
    pub fn plain(&self) -> String {
        let mut line = self.place();
        if !line.is_empty() {
            line.push_str(": ");
        }
        if !self.context.is_empty() {
            line.push_str(&self.context);
            line.push_str(": ");
        }
        line.push_str(&self.message);
        if let Some(help) = &self.help {
            line.push_str(" (");
            line.push_str(help);
            line.push(')');
        }
        line
    }

    /// Several lines: the message, the source line with a caret, context and advice.
    pub fn render(&self) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&self.message));
        if self.line > 0 && self.line_text.len() <= MAX_SHOWN_LINE {
            group = group.element(
                Snippet::source(&self.line_text)
                    .line_start(self.line)
                    .path(&self.file)
                    .fold(false)
                    .annotation(AnnotationKind::Primary.span(self.mark.clone())),
            );
        } else if self.line > 0 {
            group = group.element(Origin::path(&self.file).line(self.line).char_column(self.col));
        } else if !self.place().is_empty() {
            group = group.element(Origin::path(self.place()));
        }
        if !self.context.is_empty() {
            group = group.element(Level::NOTE.with_name("in").message(&self.context));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        Renderer::plain().render(&[group])
    }
}

/// The marked bytes of a line: at least one character wide, within the line, on character boundaries.
fn mark_in_line(line: &str, start: usize, end: usize) -> Range<usize> {
    let start = floor_char(line, start.min(line.len()));
    let end = floor_char(line, end.min(line.len())).max(start);
    let next = line[start..].chars().next().map_or(start, |c| start + c.len_utf8());
    start..end.max(next)
}

/// The nearest character boundary at or before `at`.
fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// The text that spans point into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// Its name, as the user gave it.
    pub(crate) file: &'a str,
    /// All of it.
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// For what has no text: values that came through the API.
    pub(crate) const NONE: Source<'static> = Source { file: "", text: "" };
}

/// All that was found, at most [`MAX_DIAGNOSTICS`] of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    more: usize,
}

impl Diagnostics {
    /// One finding alone.
    pub(crate) fn one(item: Diagnostic) -> Self {
        Diagnostics { items: vec![item], more: 0 }
    }

    /// Adds a finding, or counts it when there are too many, or drops it if it was there already.
    pub(crate) fn push(&mut self, item: Diagnostic) {
        if self.items.contains(&item) {
            return;
        }
        if self.items.len() < MAX_DIAGNOSTICS {
            self.items.push(item);
        } else {
            self.more += 1;
        }
    }

    /// True if a further finding would only be counted. Whoever finds something asks first, since finding its place
    /// in a large text is what costs.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= MAX_DIAGNOSTICS
    }

    /// Counts a finding beyond the bound.
    pub(crate) fn count(&mut self) {
        self.more += 1;
    }

    /// Adds all of another's.
    pub(crate) fn append(&mut self, other: Diagnostics) {
        self.more += other.more;
        for item in other.items {
            self.push(item);
        }
    }

    /// In the order of the text.
    pub(crate) fn sorted(mut self) -> Self {
        self.items.sort_by_key(|d| (d.line, d.col));
        self
    }

    /// The findings.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// Findings beyond the bound, which were only counted.
    pub fn more(&self) -> usize {
        self.more
    }

    /// True if nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// One line for each finding, without drawings: for HTTP answers and logs.
    pub fn plain(&self) -> String {
        let mut lines: Vec<String> = self.items.iter().map(Diagnostic::plain).collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            f.write_str(&item.render())?;
        }
        if self.more > 0 {
            write!(f, "\n\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Advice for a misspelt name: the closest of the known ones, if it is close.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Nobody means a name of this length, and comparing it costs.
    if name.len() > 64 {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            let shorter = candidate.len().min(name.len());
            *distance <= 1 + shorter / 4 && *distance < shorter
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("did you mean \"{candidate}\"?"))
}

/// A name as quoted in messages: short, on one line.
pub(crate) fn quoted(name: &str) -> String {
    let cut: String = name.chars().take(64).collect();
    let dots = if cut.len() < name.len() { "…" } else { "" };
    format!("\"{}{dots}\"", cut.escape_debug())
}
