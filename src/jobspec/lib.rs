//! Job files and the API's JSON to the canonical job, and what is wrong with them.
//!
//! Everything is read through one [`schema`] table, so HCL and JSON can't come to mean different things:
//! text → a tree with places ([`read`]) → canonical spelling, types and verdicts by the table → rules that hold
//! across fields ([`Draft::admit`]).
//!
//! Invariants: no IO, no clock; bounded in size, depth, findings and evaluation; no input makes it panic; nothing is
//! invented (an absent value stays absent), and admitting what was admitted changes nothing.

mod admit;
mod diag;
mod eval;
mod hcl;
mod json;
mod scalar;
pub mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{Job, ids::Name};
use serde_json::{Map, Value};

use self::{
    diag::Source,
    shape::Shaped,
    tree::{Node, Tree},
};
pub use self::{
    diag::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Severity},
    scalar::parse_duration,
};

/// Largest text that is read, in bytes.
pub const MAX_SOURCE: usize = 256 << 10;

/// A job file for newcomers, which runs as it is: `ctl init` writes it.
pub const EXAMPLE: &str = include_str!("example.hcl");

/// A job that may be stored, and what its author should hear.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The canonical job.
    pub job: Job,
    /// What is kept without being acted on; the API's `Warnings`.
    pub warnings: Vec<String>,
    /// How the text was read, for stderr.
    pub notes: Vec<String>,
}

/// A well-formed job file: every name and type fits the schema, but nothing says yet that it can be run here.
#[derive(Clone, Debug)]
pub struct Draft {
    file: String,
    text: String,
    shaped: Shaped,
    notes: Vec<String>,
}

impl Draft {
    /// The job in the API's spelling, as far as it was understood.
    pub fn api_json(&self) -> &Map<String, Value> {
        &self.shaped.job
    }

    /// Checks what this version can run, and the rules that hold across fields.
    ///
    /// # Errors
    /// Everything that stands against it, in the order of the text.
    pub fn admit(self) -> Result<Parsed, Diagnostics> {
        let Draft { file, text, shaped, notes } = self;
        admit::admit(shaped, Source { file: &file, text: &text }, notes)
    }

    /// Fails if the text did not fit the schema.
    fn well_formed(self) -> Result<Self, Diagnostics> {
        if self.shaped.errors.is_empty() { Ok(self) } else { Err(self.shaped.errors.sorted()) }
    }
}

/// Reads a job file without asking whether this version can run it.
///
/// # Errors
/// What is not HCL or JSON, or does not fit the schema.
pub fn read(source: &str, file: &str, vars: &BTreeMap<String, String>) -> Result<Draft, Diagnostics> {
    if looks_like_json(source) { draft_json(source, file) } else { draft_hcl(source, file, vars) }?
        .well_formed()
}

/// Reads and admits a job file: JSON if it begins like JSON, else HCL. `vars` are values for its `variable` blocks.
///
/// # Errors
/// Everything that stands against the job, at most [`MAX_DIAGNOSTICS`] findings.
pub fn parse(source: &str, file: &str, vars: &BTreeMap<String, String>) -> Result<Parsed, Diagnostics> {
    if looks_like_json(source) { parse_json(source, file) } else { parse_hcl(source, file, vars) }
}

/// The names of the variables that a job file declares, for those who take values from where others' values are, too.
/// None, if it is JSON or cannot be read.
pub fn variables(source: &str) -> BTreeSet<String> {
    match bounded(source, "") {
        Ok(text) if !looks_like_json(text) => hcl::variables(Source { file: "", text }),
        _ => BTreeSet::new(),
    }
}

/// Reads and admits a job file in HCL, as written today or in 2016.
///
/// # Errors
/// As [`parse`].
pub fn parse_hcl(source: &str, file: &str, vars: &BTreeMap<String, String>) -> Result<Parsed, Diagnostics> {
    draft_hcl(source, file, vars)?.admit()
}

/// Reads and admits a job in the API's JSON, in its `{"Job": …}` or bare.
///
/// # Errors
/// As [`parse`].
pub fn parse_json(source: &str, file: &str) -> Result<Parsed, Diagnostics> {
    draft_json(source, file)?.admit()
}

/// Admits a job that came through the API: its JSON, in `{"Job": …}` or bare.
///
/// # Errors
/// As [`parse`]; findings name the path instead of a place in a text.
pub fn admit(job: Value) -> Result<Parsed, Diagnostics> {
    if tree::too_deep(&job) {
        return Err(Diagnostics::one(Diagnostic::error("nested deeper than 64 levels")));
    }
    let tree = unwrapped(Tree::from_value(job, &None));
    let shaped = shape::shape(tree, Source::NONE);
    admit::admit(shaped, Source::NONE, Vec::new())
}

/// The job in the API's JSON.
pub fn to_api_json(job: &Job) -> Value {
    serde_json::to_value(job).expect("a job holds text keys and JSON values only")
}

/// True if two jobs declare the same: all but uid, version and submit time, which the server gives.
pub fn same_spec(a: &Job, b: &Job) -> bool {
    let declared = |job: &Job| Job { uid: None, version: 0, submit_time: None, ..job.clone() };
    declared(a) == declared(b)
}

/// A JSON value can't begin an HCL file and the other way around, but for blanks.
fn looks_like_json(source: &str) -> bool {
    without_mark(source).trim_start().starts_with('{')
}

/// The text behind a byte order mark.
fn without_mark(source: &str) -> &str {
    source.strip_prefix('\u{feff}').unwrap_or(source)
}

fn bounded<'a>(source: &'a str, file: &str) -> Result<&'a str, Diagnostics> {
    if source.len() <= MAX_SOURCE {
        return Ok(without_mark(source));
    }
    let message = format!("{} bytes are too many: a job file holds at most {MAX_SOURCE}", source.len());
    let mut error = Diagnostic::error(message);
    error.file = file.to_owned();
    Err(Diagnostics::one(error))
}

fn draft_hcl(text: &str, file: &str, vars: &BTreeMap<String, String>) -> Result<Draft, Diagnostics> {
    let text = bounded(text, file)?;
    let source = Source { file, text };
    let hcl::Read { job, errors, notes } = hcl::read(source, vars);
    let Some(job) = job else { return Err(errors.sorted()) };
    let mut shaped = shape::shape(job, source);
    let mut all = errors;
    all.append(std::mem::take(&mut shaped.errors));
    shaped.errors = all;
    Ok(Draft { file: file.to_owned(), text: text.to_owned(), shaped, notes })
}

fn draft_json(text: &str, file: &str) -> Result<Draft, Diagnostics> {
    let text = bounded(text, file)?;
    let source = Source { file, text };
    let tree = json::parse(text)
        .map_err(|fault| Diagnostics::one(Diagnostic::error(fault.message).at(&source, Some(fault.span))))?;
    let shaped = shape::shape(unwrapped(tree), source);
    Ok(Draft { file: file.to_owned(), text: text.to_owned(), shaped, notes: Vec::new() })
}

/// The job within `{"Job": …}`, or the value itself.
fn unwrapped(tree: Tree) -> Tree {
    match tree.node {
        Node::Map(mut entries) => match entries.iter().position(|e| e.key.eq_ignore_ascii_case("Job")) {
            Some(at) => entries.swap_remove(at).value,
            None => Tree { span: tree.span, node: Node::Map(entries) },
        },
        node => Tree { span: tree.span, node },
    }
}

/// The id, which is also the name unless another was given.
fn name_of(job: &Job) -> Name {
    if job.name.is_empty() { job.id.clone() } else { job.name.clone() }
}
