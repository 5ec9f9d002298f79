//! HCL as it was written in 2016, put into today's form: one-line nested blocks, commas and nothing at all between
//! attributes, quoted keys. Places are kept, so that errors point into what the user wrote.
//!
//! One pass over tokens with an explicit stack: no recursion, nothing is understood beyond brackets and statements.

mod tokens;

use std::{collections::BTreeMap, ops::Range};

use self::tokens::{Kind, Token, followers, tokens};

/// The rewritten text and the way back.
pub(super) struct Modern {
    /// Today's form.
    pub(super) text: String,
    /// Start of each piece: in `text`, in the source.
    pieces: Vec<(usize, usize)>,
    /// Keys that are no identifiers: what stands in `text`, and what the user wrote.
    pub(super) renamed: BTreeMap<String, String>,
}

impl Modern {
    /// Text that needs no way back.
    pub(super) fn unchanged(text: &str) -> Self {
        Modern { text: text.to_owned(), pieces: vec![(0, 0)], renamed: BTreeMap::new() }
    }

    /// Where a span of `text` stands in the source.
    pub(super) fn source_span(&self, span: Range<usize>) -> Range<usize> {
        let start = self.source_offset(span.start);
        // The end belongs to the piece of the last byte.
        let end = self.source_offset(span.end.saturating_sub(1).max(span.start)) + 1;
        start..end.max(start)
    }

    fn source_offset(&self, offset: usize) -> usize {
        let piece = self.pieces.partition_point(|(out, _)| *out <= offset).saturating_sub(1);
        let (out, source) = self.pieces[piece];
        let offset = source + (offset - out);
        // What was inserted stands where the next piece begins.
        self.pieces.get(piece + 1).map_or(offset, |(_, next)| offset.min((*next).max(source)))
    }
}

/// Puts old text into today's form; text that already has it comes back as it was.
pub(super) fn modernise(source: &str) -> Modern {
    let tokens = tokens(source);
    let mut prefix = "quoted_key".to_owned();
    while source.contains(&prefix) {
        prefix.push('_');
    }
    let mut writer = Writer {
        source,
        prefix,
        out: Modern {
            text: String::with_capacity(source.len() + 64),
            pieces: Vec::new(),
            renamed: BTreeMap::new(),
        },
    };
    let mut state = State { stack: Vec::new(), at: At::Start, fresh_line: true, words: 0 };
    for (token, next) in tokens.iter().zip(followers(&tokens)) {
        state.token(token, next.map(|i| &tokens[i]), &mut writer);
    }
    writer.out.pieces.push((writer.out.text.len(), source.len()));
    writer.out
}

struct Writer<'a> {
    source: &'a str,
    /// Begins the names that stand for quoted keys; occurs nowhere in the source.
    prefix: String,
    out: Modern,
}

impl Writer<'_> {
    fn copy(&mut self, span: Range<usize>) {
        self.out.pieces.push((self.out.text.len(), span.start));
        self.out.text.push_str(&self.source[span]);
    }

    /// Copies a token; within texts, what a shell or a printing program would read (`${x:-1}`, `%{code}`) is
    /// escaped, since it meant nothing to the HCL of 2016.
    fn copy_token(&mut self, token: &Token) {
        let mut from = token.span.start;
        if matches!(token.kind, Kind::Text | Kind::Heredoc) {
            let bytes = self.source.as_bytes();
            for at in token.span.start..token.span.end.saturating_sub(1) {
                let is_mark = matches!(bytes[at], b'$' | b'%') && bytes[at + 1] == b'{';
                let is_escaped = at > token.span.start && bytes[at - 1] == bytes[at];
                if is_mark && !is_escaped && is_foreign(bytes[at], &self.source[at + 2..token.span.end]) {
                    self.copy(from..at);
                    self.insert(if bytes[at] == b'$' { "$" } else { "%" }, at);
                    from = at;
                }
            }
        }
        self.copy(from..token.span.end);
    }

    /// Text of our own, standing at this place of the source.
    fn insert(&mut self, text: &str, at: usize) {
        self.out.pieces.push((self.out.text.len(), at));
        self.out.text.push_str(text);
    }
}

/// Where within a statement of a body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A key is expected.
    Start,
    /// A key was seen, and perhaps labels.
    Key,
    /// After `=`, before the value has begun.
    Equals,
    /// Within or after the value.
    Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nest {
    /// A block's body.
    Body,
    /// Within brackets of an expression.
    Inner,
    /// An object of an expression.
    Object,
    /// A block within such an object, which becomes a list of one object.
    ObjectBlock,
}

struct State {
    stack: Vec<Nest>,
    at: At,
    /// True if nothing but blanks was written to this line since a newline or `{`.
    fresh_line: bool,
    /// Words since the last member of an object began; far above 1 behind anything else.
    words: usize,
}

/// Stands for "not at the beginning of an object's member".
const WITHIN: usize = 100;

impl State {
    fn in_body(&self) -> bool {
        matches!(self.stack.last(), None | Some(Nest::Body))
    }

    fn token(&mut self, token: &Token, next: Option<&Token>, writer: &mut Writer<'_>) {
        if !self.in_body() {
            self.inner(token, writer);
            return;
        }
        match (token.kind, self.at) {
            (Kind::Blank, _) => return writer.copy(token.span.clone()),
            (Kind::Comment, _) => {
                writer.copy(token.span.clone());
                return;
            }
            (Kind::Newline, _) => {
                self.at = At::Start;
                self.fresh_line = true;
                return writer.copy(token.span.clone());
            }
            // Between statements a comma says nothing.
            (Kind::Comma, At::Start) => return,
            (Kind::Comma, At::Value) => {
                self.at = At::Start;
                return;
            }
            (Kind::Close(b'}'), _) => return self.close_body(token, next, writer),
            (Kind::Word | Kind::Text, At::Value) if starts_statement(token, next) => {
                self.at = At::Start;
                self.statement(token, next, writer);
            }
            (Kind::Word | Kind::Text, At::Start) => self.statement(token, next, writer),
            (Kind::Equals, At::Key) => {
                self.at = At::Equals;
                writer.copy(token.span.clone());
            }
            (Kind::Open(b'{'), At::Key) => self.open_body(token, next, writer),
            (Kind::Open(_), _) => {
                self.at = At::Value;
                self.inner(token, writer);
            }
            (Kind::Word | Kind::Text, At::Key) => writer.copy_token(token),
            _ => {
                if self.at == At::Equals {
                    self.at = At::Value;
                }
                writer.copy_token(token);
            }
        }
        self.fresh_line = false;
    }

    fn inner(&mut self, token: &Token, writer: &mut Writer<'_>) {
        self.fresh_line = false;
        let in_object = matches!(self.stack.last(), Some(Nest::Object | Nest::ObjectBlock));
        match token.kind {
            Kind::Blank | Kind::Comment => {}
            Kind::Open(b'{') if in_object && self.words == 1 => {
                writer.insert("= [", token.span.start);
                self.stack.push(Nest::ObjectBlock);
                self.words = 0;
            }
            Kind::Open(bracket) => {
                self.stack.push(if bracket == b'{' { Nest::Object } else { Nest::Inner });
                self.words = if bracket == b'{' { 0 } else { WITHIN };
            }
            Kind::Close(_) => {
                self.words = WITHIN;
                self.at = At::Value;
                writer.copy(token.span.clone());
                if self.stack.pop() == Some(Nest::ObjectBlock) {
                    writer.insert("]", token.span.end);
                }
                return;
            }
            Kind::Newline | Kind::Comma => self.words = 0,
            Kind::Word | Kind::Text => self.words = self.words.saturating_add(1),
            Kind::Heredoc | Kind::Number | Kind::Equals | Kind::Other => self.words = WITHIN,
        }
        writer.copy_token(token);
    }

    /// The key of an attribute or a block, on a line of its own.
    fn statement(&mut self, token: &Token, next: Option<&Token>, writer: &mut Writer<'_>) {
        if !self.fresh_line {
            writer.insert("\n", token.span.start);
        }
        self.at = At::Key;
        let written = &writer.source[token.span.clone()];
        let key = match token.kind {
            Kind::Text if written.len() >= 2 && written.ends_with('"') => &written[1..written.len() - 1],
            Kind::Text => return writer.copy(token.span.clone()),
            _ => written,
        };
        let follows = next.is_some_and(|t| matches!(t.kind, Kind::Equals | Kind::Open(b'{') | Kind::Text));
        if is_word(key) {
            let at = token.span.start + (written.len() - key.len()) / 2;
            writer.copy(at..at + key.len());
        } else if follows && !key.is_empty() && !key.contains(['"', '\\', '$', '\n']) {
            let key = key.to_owned();
            let name = format!("{}_{}", writer.prefix, writer.out.renamed.len());
            writer.insert(&name, token.span.start);
            writer.out.renamed.insert(name, key);
        } else {
            writer.copy(token.span.clone());
        }
    }

    fn open_body(&mut self, token: &Token, next: Option<&Token>, writer: &mut Writer<'_>) {
        self.stack.push(Nest::Body);
        self.at = At::Start;
        self.fresh_line = true;
        writer.copy(token.span.clone());
        if !next.is_some_and(|t| matches!(t.kind, Kind::Newline | Kind::Close(b'}'))) {
            writer.insert("\n", token.span.end);
        }
    }

    fn close_body(&mut self, token: &Token, next: Option<&Token>, writer: &mut Writer<'_>) {
        self.stack.pop();
        if !self.fresh_line {
            writer.insert("\n", token.span.start);
        }
        writer.copy(token.span.clone());
        self.at = At::Start;
        self.fresh_line = false;
        if next.is_some_and(|t| t.kind == Kind::Newline) {
            self.fresh_line = true;
        }
    }
}

/// True if a word or text that follows a value begins the next attribute or block.
fn starts_statement(token: &Token, next: Option<&Token>) -> bool {
    matches!(
        (token.kind, next.map(|t| t.kind)),
        (_, Some(Kind::Equals)) | (Kind::Word, Some(Kind::Text | Kind::Open(b'{')))
    )
}

/// True for what stands behind `${` or `%{` and can't be HCL's: `x:-1`, `#list`, `1`; and any `%{` but directives.
fn is_foreign(mark: u8, inner: &str) -> bool {
    if mark == b'%' {
        let word = inner.trim_start_matches('~').trim_start();
        return !["if", "for", "else", "endif", "endfor"].iter().any(|known| word.starts_with(known));
    }
    let name = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(name);
    if name.is_empty() {
        return rest.starts_with(['#', '@', '*', '?', '$']);
    }
    let is_number = name.bytes().all(|b| b.is_ascii_digit());
    let operators = [":-", ":=", ":?", ":+", "%%", "##"];
    (is_number && rest.starts_with('}')) || operators.iter().any(|operator| rest.starts_with(operator))
}

fn is_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}
