//! The schema applied: any key case to the API's, durations to nanoseconds, empty to absent, and a verdict on every
//! field that this version does not act on.

mod fillers;
mod scalars;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use self::{
    fillers::{harmless, is_empty},
    scalars::{Fault, scalar_value},
};
use crate::{
    diag::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Source, did_you_mean, quoted},
    schema::{Block, Class, Field, JOB, Kind, Label},
    tree::{Entry, Node, Span, Tree},
};

/// A job in canonical spelling, and what was found on the way.
#[derive(Clone, Debug)]
pub(crate) struct Shaped {
    /// The job in the API's spelling.
    pub(crate) job: Map<String, Value>,
    /// Where each value stands, by path.
    pub(crate) places: Places,
    /// What does not fit the schema.
    pub(crate) errors: Diagnostics,
    /// What fits the schema and can't be run faithfully.
    pub(crate) refusals: Diagnostics,
    /// What is kept without being acted on.
    pub(crate) warnings: Vec<String>,
}

/// Where values stand in the text, by paths like `Job.TaskGroups[0].Count`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    spans: BTreeMap<String, Span>,
    bad: BTreeSet<String>,
}

impl Places {
    /// The place of a path, or of the closest value around it.
    pub(crate) fn find(&self, path: &str) -> Span {
        let mut path = path;
        loop {
            if let Some(span) = self.spans.get(path) {
                return span.clone();
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// True if the value at this path was given and is wrong, so that it is not missing.
    pub(crate) fn is_bad(&self, path: &str) -> bool {
        self.bad.contains(path)
    }
}

/// Deepest nesting of a job: less than what is read, so that what was admitted can be sent in a wrapper again.
const MAX_JOB_DEPTH: usize = 60;

/// Applies the schema to one job.
pub(crate) fn shape(tree: Tree, source: Source<'_>) -> Shaped {
    let mut shaper = Shaper {
        source,
        context: Vec::new(),
        places: Places::default(),
        errors: Diagnostics::default(),
        refusals: Diagnostics::default(),
        warnings: Vec::new(),
    };
    shaper.places.spans.insert("Job".to_owned(), tree.span.clone());
    if tree.is_deeper_than(MAX_JOB_DEPTH) {
        let message = format!("a job can't be nested deeper than {MAX_JOB_DEPTH} levels");
        shaper.fault("Job", &tree.span, message, None);
        return shaper.shaped(Map::new());
    }
    let job = match tree.node {
        Node::Map(entries) => shaper.block(&JOB, entries, "Job", Mode::Live),
        _ => {
            shaper.fault("Job", &tree.span, format!("a job is an object, not {}", tree.kind_name()), None);
            Map::new()
        }
    };
    shaper.shaped(job)
}

/// Whether the fields of a block are judged one by one, or their block was already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    Carried,
    Refused,
}

struct Shaper<'a> {
    source: Source<'a>,
    context: Vec<String>,
    places: Places,
    errors: Diagnostics,
    refusals: Diagnostics,
    warnings: Vec<String>,
}

impl Shaper<'_> {
    fn shaped(self, job: Map<String, Value>) -> Shaped {
        let Shaper { places, errors, refusals, warnings, .. } = self;
        Shaped { job, places, errors, refusals, warnings }
    }

    fn finding(&self, path: &str, span: &Span, message: String) -> Diagnostic {
        Diagnostic::error(message).within(self.context.join(" > ")).path(path).at(&self.source, span.clone())
    }

    /// Notes an error about a value, which is then left out.
    fn fault(&mut self, path: &str, span: &Span, message: String, help: Option<String>) {
        self.places.bad.insert(path.to_owned());
        if self.errors.is_full() {
            return self.errors.count();
        }
        let finding = self.finding(path, span, message).help_if(help);
        self.errors.push(finding);
    }

    fn refuse(&mut self, path: &str, span: &Span, message: String) {
        if self.refusals.is_full() {
            return self.refusals.count();
        }
        let finding = self.finding(path, span, message);
        self.refusals.push(finding);
    }

    fn block(
        &mut self,
        block: &'static Block,
        entries: Vec<Entry>,
        path: &str,
        mode: Mode,
    ) -> Map<String, Value> {
        self.context.push(title(block, &entries));
        let mut out = Map::new();
        let mut seen = BTreeSet::new();
        for entry in entries {
            let Some(field) = block.by_api(&entry.key) else {
                self.unknown(block, entry, &mut out);
                continue;
            };
            let path = format!("{path}.{}", field.api);
            if !seen.insert(field.api) {
                let message = format!("{} is given twice, in different case", quoted(&entry.key));
                self.fault(&path, &entry.key_span, message, None);
                continue;
            }
            self.member(field, entry, &path, mode, &mut out);
        }
        self.context.pop();
        out
    }

    /// A field that this version has never heard of: kept, but not in silence.
    fn unknown(&mut self, block: &Block, entry: Entry, out: &mut Map<String, Value>) {
        if entry.value.is_empty() {
            return;
        }
        let hint = did_you_mean(&entry.key, block.fields.iter().map(|f| f.api).filter(|n| !n.is_empty()));
        let hint = hint.map_or_else(String::new, |h| format!(" ({h})"));
        self.warn(format!("unknown field {} is kept as it is{hint}", quoted(&entry.key)));
        out.insert(entry.key, entry.value.into_value());
    }

    fn member(
        &mut self,
        field: &'static Field,
        entry: Entry,
        path: &str,
        mode: Mode,
        out: &mut Map<String, Value>,
    ) {
        if field.class == Class::Dropped {
            return;
        }
        let says_nothing =
            entry.value.is_empty() && !(field.bare && matches!(entry.value.node, Node::Map(_)));
        if says_nothing {
            if mode == Mode::Carried {
                out.insert(field.api.to_owned(), entry.value.into_value());
            }
            return;
        }
        self.places.spans.insert(path.to_owned(), entry.value.span.clone());
        let inner = match (mode, field.class) {
            (Mode::Live, Class::Carried(_)) => Mode::Carried,
            (Mode::Live | Mode::Carried, Class::Refused(_)) => Mode::Refused,
            (mode, _) => mode,
        };
        let key_span = entry.key_span.clone();
        let Some(value) = self.value(field, entry.value, path, inner) else { return };
        match (mode, field.class) {
            (Mode::Live, Class::Served) if is_empty(&value) => return,
            (Mode::Live, Class::Carried(why)) if !harmless(field, &value) => {
                self.warn(format!("{} is kept but not acted on: {why}", name(field)));
            }
            (Mode::Live, Class::Refused(_)) if harmless(field, &value) => return,
            (Mode::Live | Mode::Carried, Class::Refused(why)) if !harmless(field, &value) => {
                let span = key_span.or_else(|| self.places.find(path));
                self.refuse(path, &span, format!("{} is not served yet: {why}", name(field)));
            }
            _ => {}
        }
        out.insert(field.api.to_owned(), value);
    }

    fn warn(&mut self, message: String) {
        if self.warnings.len() >= MAX_DIAGNOSTICS {
            return;
        }
        let warning = format!("{}: {message}", self.context.join(" > "));
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// A value in canonical form, or nothing after an error was noted.
    fn value(&mut self, field: &'static Field, tree: Tree, path: &str, mode: Mode) -> Option<Value> {
        match (field.kind, tree.node) {
            (Kind::One(block), Node::Map(entries)) => Some(self.block(block, entries, path, mode).into()),
            (Kind::Many(block), Node::List(items)) => Some(self.blocks(field, block, items, path, mode)),
            (Kind::ByLabel(block), Node::Map(entries)) => {
                let mut out = Map::new();
                for entry in entries {
                    let path = format!("{path}.{}", entry.key);
                    self.places.spans.insert(path.clone(), entry.value.span.clone());
                    let shaped = self.one_of(field, block, entry.value, &path, mode);
                    out.extend(shaped.map(|value| (entry.key, value)));
                }
                Some(out.into())
            }
            (kind, node) => {
                let tree = Tree { span: tree.span, node };
                let span = tree.span.clone();
                match scalar_value(kind, tree) {
                    Ok(value) => {
                        self.suspicious(field, &value);
                        Some(value)
                    }
                    Err(Fault { message, help }) => {
                        self.fault(path, &span, format!("{} {message}", name(field)), help);
                        None
                    }
                }
            }
        }
    }

    fn blocks(
        &mut self,
        field: &'static Field,
        block: &'static Block,
        items: Vec<Tree>,
        path: &str,
        mode: Mode,
    ) -> Value {
        let mut out = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{i}]");
            self.places.spans.insert(path.clone(), item.span.clone());
            // A place is kept for a bad one, so that the others keep their paths.
            out.push(self.one_of(field, block, item, &path, mode).unwrap_or_else(|| Map::new().into()));
        }
        Value::Array(out)
    }

    fn one_of(
        &mut self,
        field: &'static Field,
        block: &'static Block,
        tree: Tree,
        path: &str,
        mode: Mode,
    ) -> Option<Value> {
        let kind = tree.kind_name();
        match tree.node {
            Node::Map(entries) => Some(self.block(block, entries, path, mode).into()),
            _ => {
                self.fault(
                    path,
                    &tree.span,
                    format!("{} has to hold objects, not {kind}", name(field)),
                    None,
                );
                None
            }
        }
    }

    /// A duration far below what anyone means: a number without a unit.
    fn suspicious(&mut self, field: &Field, value: &Value) {
        if let (Kind::Duration, Some(ns @ 1..1_000_000)) = (field.kind, value.as_i64()) {
            self.warn(format!("{} is {ns} nanoseconds: write \"{ns}s\" for seconds", name(field)));
        }
    }
}

/// How a block is called in contexts: `group "web"`.
fn title(block: &Block, entries: &[Entry]) -> String {
    let key = match block.label {
        Label::Into(key) | Label::Optional(key) => key,
        Label::None | Label::Key => return block.name.to_owned(),
    };
    let label = entries.iter().find(|e| e.key.eq_ignore_ascii_case(key));
    match label.map(|e| &e.value.node) {
        Some(Node::Text(label)) => format!("{} {}", block.name, quoted(label)),
        _ => block.name.to_owned(),
    }
}

/// The name that a user knows a field by.
fn name(field: &Field) -> &'static str {
    if field.hcl.is_empty() { field.api } else { field.hcl }
}
