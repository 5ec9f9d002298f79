//! Job files in HCL, read through the schema table into the same tree that JSON makes.

mod decode;
mod legacy;
mod sugar;
mod variables;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
};

use hcl_edit::{parser::parse_body, structure::Body};

use self::legacy::Modern;
use crate::{
    diag::{Diagnostic, Diagnostics, Source},
    eval::Evaluator,
    tree::{Span, Tree},
};

/// A job file that was read.
pub(crate) struct Read {
    /// The job, if there was exactly one.
    pub(crate) job: Option<Tree>,
    /// What was wrong with its blocks and expressions.
    pub(crate) errors: Diagnostics,
    /// What the user should know about how it was read.
    pub(crate) notes: Vec<String>,
}

/// Reads a job file, as written today or in 2016.
pub(crate) fn read(source: Source<'_>, vars: &BTreeMap<String, String>) -> Read {
    let (body, modern, notes) = match parse(source) {
        Ok(parsed) => parsed,
        Err(fault) => return Read { job: None, errors: Diagnostics::one(*fault), notes: Vec::new() },
    };
    let mut reader = Reader { source, modern: &modern, errors: Diagnostics::default(), context: Vec::new() };
    let mut evaluator = Evaluator::new(&modern.text);
    variables::declare(&mut reader, &mut evaluator, &body, vars);
    let job = decode::file(&mut reader, &evaluator, &body);
    Read { job, errors: reader.errors, notes }
}

/// The variables that a job file declares; none if it is no HCL.
pub(crate) fn variables(source: Source<'_>) -> BTreeSet<String> {
    parse(source).map(|(body, ..)| variables::names(&body)).unwrap_or_default()
}

type Parsed = (Body, Modern, Vec<String>);

/// Today's form first, then that of 2016.
fn parse(source: Source<'_>) -> Result<Parsed, Box<Diagnostic>> {
    let first = match parse_modern(source.text) {
        Ok(body) => return Ok((body, Modern::unchanged(source.text), Vec::new())),
        Err(fault) => fault,
    };
    let modern = legacy::modernise(source.text);
    if modern.text == source.text {
        return Err(Box::new(first.at(source, &modern)));
    }
    match parse_modern(&modern.text) {
        Ok(body) => {
            let note =
                format!("{} is written in the HCL of 2016: it was read as if in today's form", source.file);
            Ok((body, modern, vec![note]))
        }
        Err(second) => Err(Box::new(second.at(source, &modern))),
    }
}

/// Why text is no HCL.
struct SyntaxFault {
    message: String,
    offset: usize,
}

impl SyntaxFault {
    fn at(self, source: Source<'_>, modern: &Modern) -> Diagnostic {
        let span = modern.source_span(self.offset..self.offset + 1);
        Diagnostic::error(format!("this is not HCL: {}", self.message)).at(&source, Some(span))
    }
}

/// Parses one text. The parser is someone else's and the text is anyone's: should it panic, that is an error too.
fn parse_modern(text: &str) -> Result<Body, SyntaxFault> {
    match panic::catch_unwind(|| parse_body(text)) {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(fault)) => {
            Err(SyntaxFault { message: fault.message().to_owned(), offset: fault.location().offset() })
        }
        Err(_) => Err(SyntaxFault { message: "the parser failed on it".to_owned(), offset: 0 }),
    }
}

/// Collects errors while blocks are walked.
struct Reader<'a> {
    source: Source<'a>,
    modern: &'a Modern,
    errors: Diagnostics,
    /// `job "x"`, `group "y"`, …
    context: Vec<String>,
}

impl Reader<'_> {
    /// The place of something that the parser made, in the user's text.
    fn span(&self, item: &impl hcl_edit::Span) -> Span {
        item.span().map(|span| self.modern.source_span(span))
    }

    fn error(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        if self.errors.is_full() {
            return self.errors.count();
        }
        let error =
            Diagnostic::error(message).within(self.context.join(" > ")).at(&self.source, span).help_if(help);
        self.errors.push(error);
    }

    /// A key as the user wrote it.
    fn key(&self, ident: &str) -> String {
        self.modern.renamed.get(ident).map_or_else(|| ident.to_owned(), Clone::clone)
    }

    /// Evaluates an attribute; `None` after an error was noted.
    fn value(
        &mut self,
        evaluator: &Evaluator<'_>,
        expr: &hcl_edit::expr::Expression,
        binds: &crate::eval::Binds<'_>,
    ) -> Option<Tree> {
        let span = self.span(expr);
        match evaluator.eval(expr, binds) {
            Ok(value) if crate::tree::too_deep(&value) => {
                self.error(span, "this value is nested deeper than 64 levels", None);
                None
            }
            Ok(value) => Some(Tree::from_value(value, &span)),
            Err(fault) => {
                self.fault(fault, span);
                None
            }
        }
    }

    fn fault(&mut self, fault: crate::eval::Fault, otherwise: Span) {
        let span = fault.span.map(|span| self.modern.source_span(span)).or(otherwise);
        self.error(span, fault.message, fault.help);
    }
}
