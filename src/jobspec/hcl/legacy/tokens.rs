//! Text cut into tokens: no more is known of HCL here than where words, texts and brackets begin and end.

use std::ops::Range;

/// Heredocs without an end that are looked for.
const MAX_VAIN: usize = 16;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    Newline,
    /// `#…`, `//…` (without the newline) and `/*…*/`.
    Comment,
    Word,
    Text,
    Heredoc,
    Number,
    Open(u8),
    Close(u8),
    Equals,
    Comma,
    Other,
}

/// A piece of the text.
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// For each token the next one that is neither blank nor comment, found from the end in one pass.
pub(super) fn followers(tokens: &[Token]) -> Vec<Option<usize>> {
    let mut next = None;
    let mut out: Vec<Option<usize>> = Vec::with_capacity(tokens.len());
    for (i, token) in tokens.iter().enumerate().rev() {
        out.push(next);
        if !matches!(token.kind, Kind::Blank | Kind::Comment) {
            next = Some(i);
        }
    }
    out.reverse();
    out
}

/// Cuts the text into tokens; every byte belongs to exactly one.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    // Looking for the end of a heredoc reads on to the end of the text: that is not done often in vain.
    let mut vain = 0;
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        let (kind, len) = if rest.starts_with("<<") && vain < MAX_VAIN {
            heredoc(rest).unwrap_or_else(|| {
                vain += 1;
                (Kind::Other, 2)
            })
        } else {
            one_token(rest)
        };
        let len = len.max(1);
        tokens.push(Token { kind, span: at..at + len });
        at += len;
    }
    tokens
}

fn one_token(rest: &str) -> (Kind, usize) {
    let Some(first) = rest.chars().next() else { return (Kind::Other, 0) };
    match first {
        '\n' => (Kind::Newline, 1),
        '\r' if rest.starts_with("\r\n") => (Kind::Newline, 2),
        c if c.is_whitespace() => (Kind::Blank, c.len_utf8()),
        '#' => (Kind::Comment, line_len(rest)),
        '/' if rest.starts_with("//") => (Kind::Comment, line_len(rest)),
        '/' if rest.starts_with("/*") => (Kind::Comment, rest.find("*/").map_or(rest.len(), |i| i + 2)),
        '"' => (Kind::Text, text_len(rest)),
        '{' | '[' | '(' => (Kind::Open(first as u8), 1),
        '}' | ']' | ')' => (Kind::Close(first as u8), 1),
        '=' if !rest.starts_with("==") => (Kind::Equals, 1),
        '=' => (Kind::Other, 2),
        ',' | ';' => (Kind::Comma, 1),
        c if c.is_ascii_digit() => (
            Kind::Number,
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len()),
        ),
        c if c.is_alphabetic() || c == '_' => {
            // With its dots: `registry.addr = "x"` was a key.
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
                .unwrap_or(rest.len());
            (Kind::Word, rest[..end].trim_end_matches('.').len())
        }
        c => (Kind::Other, c.len_utf8()),
    }
}

/// Length of a line without its ending.
fn line_len(rest: &str) -> usize {
    rest[..rest.find('\n').unwrap_or(rest.len())].trim_end_matches('\r').len()
}

/// Length of a quoted text; quotes within `${…}` are its own.
fn text_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut braces = 0usize;
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'"' if braces == 0 => return at + 1,
            b'\n' if braces == 0 => return at,
            b'$' | b'%' if bytes.get(at + 1) == Some(&b'{') => {
                braces += 1;
                at += 1;
            }
            b'{' if braces > 0 => braces += 1,
            b'}' if braces > 0 => braces -= 1,
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

/// A heredoc up to and with its closing word, without the newline after it.
fn heredoc(rest: &str) -> Option<(Kind, usize)> {
    let intro = rest.trim_start_matches('<').trim_start_matches('-');
    let word_len = intro.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(intro.len());
    let word = &intro[..word_len];
    let first_line = rest.find('\n').filter(|_| !word.is_empty())?;
    let mut at = first_line + 1;
    for line in rest[at..].split_inclusive('\n') {
        if line.trim() == word {
            return Some((Kind::Heredoc, at + line.trim_end().len()));
        }
        at += line.len();
    }
    None
}
