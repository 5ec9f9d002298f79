//! JSON text to a [`Tree`]: with places, bounded depth, and no key given twice.

use std::{collections::BTreeSet, ops::Range};

use crate::{
    diag::quoted,
    tree::{Entry, MAX_DEPTH, Node, Tree},
};

/// Why a text is no JSON, and where.
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) span: Range<usize>,
}

/// Reads all of the text.
///
/// # Errors
/// The first thing that is not JSON, with its place.
pub(crate) fn parse(text: &str) -> Result<Tree, Fault> {
    let mut reader = Reader { text, at: 0 };
    let tree = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok(tree),
        Some(_) => Err(reader.fault("there is more after the end of the JSON value")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

type Step<T> = Result<T, Fault>;

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn fault(&self, message: &str) -> Fault {
        Fault { message: format!("invalid JSON: {message}"), span: self.at..self.at + 1 }
    }

    fn value(&mut self, depth: usize) -> Step<Tree> {
        self.space();
        let start = self.at;
        if depth > MAX_DEPTH {
            return Err(self.fault("nested deeper than 64 levels"));
        }
        let node = match self.peek() {
            Some(b'{') => Node::Map(self.map(depth)?),
            Some(b'[') => Node::List(self.list(depth)?),
            Some(b'"') => Node::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Node::Bool(true))?,
            Some(b'f') => self.word("false", Node::Bool(false))?,
            Some(b'n') => self.word("null", Node::Null)?,
            Some(_) => return Err(self.fault("a value was expected here")),
            None => return Err(self.fault("the text ends where a value was expected")),
        };
        Ok(Tree { span: Some(start..self.at), node })
    }

    fn map(&mut self, depth: usize) -> Step<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = BTreeSet::new();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(entries);
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault("a key in double quotes was expected here"));
            }
            let key = self.string()?;
            let key_span = Some(start..self.at);
            if !seen.insert(key.clone()) {
                return Err(Fault {
                    message: format!("the key {} is given twice", quoted(&key)),
                    span: start..self.at,
                });
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.fault("a colon was expected after the key"));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, key_span, value });
            if self.closes(b'}')? {
                return Ok(entries);
            }
        }
    }

    fn list(&mut self, depth: usize) -> Step<Vec<Tree>> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.closes(b']')? {
                return Ok(items);
            }
        }
    }

    /// After a member: true at the closing bracket, false at a comma.
    fn closes(&mut self, bracket: u8) -> Step<bool> {
        self.space();
        match self.peek() {
            Some(b) if b == bracket => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(self.fault(&format!("a comma or {:?} was expected here", char::from(bracket)))),
            None => Err(self.fault(&format!("the text ends before {:?}", char::from(bracket)))),
        }
    }

    fn string(&mut self) -> Step<String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(self.fault("the text ends within a string")),
            }
        }
        let token = self.text.get(start..=at).ok_or_else(|| self.fault("a broken escape"))?;
        let text = serde_json::from_str(token)
            .map_err(|_| self.fault("a string with a control character or a broken escape"))?;
        self.at = at + 1;
        Ok(text)
    }

    fn number(&mut self) -> Step<Node> {
        let len = self.text[self.at..]
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E')))
            .unwrap_or(self.text.len() - self.at);
        let token = &self.text[self.at..self.at + len];
        let number = serde_json::from_str(token).map_err(|_| self.fault("not a number that JSON knows"))?;
        self.at += len;
        Ok(Node::Number(number))
    }

    fn word(&mut self, word: &str, node: Node) -> Step<Node> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.fault("a value was expected here"));
        }
        self.at += word.len();
        Ok(node)
    }
}
