//! A value with its places in the text: what both HCL and JSON are read into before the schema is applied.

use std::ops::Range;

use serde_json::{Map, Number, Value};

/// Deepest nesting of any input.
pub(crate) const MAX_DEPTH: usize = 64;

/// Part of the source text, in bytes.
pub(crate) type Span = Option<Range<usize>>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) span: Span,
    pub(crate) node: Node,
}

/// What it is.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    /// In the order of the text; keys are unique.
    Map(Vec<Entry>),
}

/// One member of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Tree,
}

impl Tree {
    /// A map.
    pub(crate) fn map(span: Span, entries: Vec<Entry>) -> Tree {
        Tree { span, node: Node::Map(entries) }
    }

    /// A text.
    pub(crate) fn text(span: Span, text: impl Into<String>) -> Tree {
        Tree { span, node: Node::Text(text.into()) }
    }

    /// A value whose parts all stand at one place.
    pub(crate) fn from_value(value: Value, span: &Span) -> Tree {
        let node = match value {
            Value::Null => Node::Null,
            Value::Bool(b) => Node::Bool(b),
            Value::Number(n) => Node::Number(n),
            Value::String(s) => Node::Text(s),
            Value::Array(items) => Node::List(items.into_iter().map(|v| Tree::from_value(v, span)).collect()),
            Value::Object(map) => Node::Map(
                map.into_iter()
                    .map(|(key, v)| Entry { key, key_span: span.clone(), value: Tree::from_value(v, span) })
                    .collect(),
            ),
        };
        Tree { span: span.clone(), node }
    }

    /// The value without its places.
    pub(crate) fn into_value(self) -> Value {
        match self.node {
            Node::Null => Value::Null,
            Node::Bool(b) => Value::Bool(b),
            Node::Number(n) => Value::Number(n),
            Node::Text(s) => Value::String(s),
            Node::List(items) => items.into_iter().map(Tree::into_value).collect(),
            Node::Map(entries) => {
                entries.into_iter().map(|e| (e.key, e.value.into_value())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// True for null, "", [] and {}: what counts as absent.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.node {
            Node::Null => true,
            Node::Text(s) => s.is_empty(),
            Node::List(items) => items.is_empty(),
            Node::Map(entries) => entries.is_empty(),
            Node::Bool(_) | Node::Number(_) => false,
        }
    }

    /// True if lists and maps nest deeper than this.
    pub(crate) fn is_deeper_than(&self, levels: usize) -> bool {
        match &self.node {
            Node::List(items) => levels == 0 || items.iter().any(|t| t.is_deeper_than(levels - 1)),
            Node::Map(entries) => levels == 0 || entries.iter().any(|e| e.value.is_deeper_than(levels - 1)),
            _ => false,
        }
    }

    /// For messages: "a text", "a list".
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.node {
            Node::Null => "null",
            Node::Bool(_) => "a truth value",
            Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Map(_) => "an object",
        }
    }
}

/// How deep a value nests, looked at no deeper than one level beyond [`MAX_DEPTH`].
pub(crate) fn too_deep(value: &Value) -> bool {
    fn deeper(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|v| deeper(v, left - 1)),
            Value::Object(map) => left == 0 || map.values().any(|v| deeper(v, left - 1)),
            _ => false,
        }
    }
    deeper(value, MAX_DEPTH)
}
