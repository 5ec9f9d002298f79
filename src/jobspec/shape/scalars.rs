//! Values that are no blocks, in their canonical form.

use serde_json::{Map, Value};

use crate::{
    diag::quoted,
    scalar,
    schema::Kind,
    tree::{Node, Tree},
};

/// Why a value does not fit its field: "has to be a text, not a list".
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

fn fault(message: impl Into<String>) -> Fault {
    Fault { message: message.into(), help: None }
}

/// A value as its kind wants it.
pub(super) fn scalar_value(kind: Kind, tree: Tree) -> Result<Value, Fault> {
    match kind {
        Kind::Text => text(tree).map(Value::String),
        Kind::RuntimeText => text(tree).map(|t| Value::String(scalar::brace_bare(&t))),
        Kind::Bool => boolean(&tree).map(Value::Bool),
        Kind::Int => int(&tree).map(Value::from),
        Kind::Duration => duration(&tree).map(Value::from),
        Kind::TextList => list(tree, |t| text(t).map(Value::String)),
        Kind::IntList => list(tree, |t| int(&t).map(Value::from)),
        Kind::TextMap => map(tree, |t| text(t).map(Value::String)),
        Kind::RuntimeMap => map(tree, |t| text(t).map(|t| Value::String(scalar::brace_bare(&t)))),
        Kind::ListMap => map(tree, |t| list(t, |t| text(t).map(Value::String))),
        Kind::Config => map(tree, |t| Ok(runtime_texts(t.into_value()))),
        Kind::Any => Ok(tree.into_value()),
        Kind::One(_) | Kind::ByLabel(_) => {
            Err(fault(format!("has to be an object, not {}", tree.kind_name())))
        }
        Kind::Many(_) => Err(fault(format!("has to be a list of objects, not {}", tree.kind_name()))),
    }
}

fn text(tree: Tree) -> Result<String, Fault> {
    match tree.node {
        Node::Text(text) => Ok(text),
        Node::Number(number) => Ok(scalar::number_text(&number)),
        Node::Bool(value) => Ok(value.to_string()),
        _ => Err(fault(format!("has to be a text, not {}", tree.kind_name()))),
    }
}

fn boolean(tree: &Tree) -> Result<bool, Fault> {
    match &tree.node {
        Node::Bool(value) => Ok(*value),
        Node::Text(text) if matches!(text.as_str(), "true" | "1") => Ok(true),
        Node::Text(text) if matches!(text.as_str(), "false" | "0") => Ok(false),
        _ => Err(fault(format!("has to be true or false, not {}", tree.kind_name()))),
    }
}

fn int(tree: &Tree) -> Result<i64, Fault> {
    match &tree.node {
        Node::Number(number) => {
            scalar::whole(number).ok_or_else(|| fault(format!("has to be a whole number, not {number}")))
        }
        Node::Text(text) => {
            text.trim().parse().map_err(|_| fault(format!("has to be a whole number, not {}", quoted(text))))
        }
        _ => Err(fault(format!("has to be a whole number, not {}", tree.kind_name()))),
    }
}

fn duration(tree: &Tree) -> Result<i64, Fault> {
    let help = || Some("write it like \"30s\", \"5m\" or \"1h30m\"".to_owned());
    match &tree.node {
        Node::Number(number) => scalar::whole(number)
            .ok_or_else(|| Fault { message: format!("has to be a duration, not {number}"), help: help() }),
        Node::Text(text) => scalar::parse_duration(text).map_err(|why| Fault {
            message: format!("is no duration: {} {why}", quoted(text)),
            help: help(),
        }),
        _ => Err(Fault { message: format!("has to be a duration, not {}", tree.kind_name()), help: help() }),
    }
}

fn list(tree: Tree, item: impl Fn(Tree) -> Result<Value, Fault>) -> Result<Value, Fault> {
    match tree.node {
        Node::List(items) => items.into_iter().map(item).collect::<Result<Vec<_>, _>>().map(Value::Array),
        // As in 2016: one value stands for a list of one.
        Node::Text(_) => Ok(Value::Array(vec![item(tree)?])),
        _ => Err(fault(format!("has to be a list, not {}", tree.kind_name()))),
    }
}

fn map(tree: Tree, item: impl Fn(Tree) -> Result<Value, Fault>) -> Result<Value, Fault> {
    let Node::Map(entries) = tree.node else {
        return Err(fault(format!("has to be an object, not {}", tree.kind_name())));
    };
    let mut out = Map::new();
    for entry in entries.into_iter().filter(|e| !matches!(e.value.node, Node::Null)) {
        let value = item(entry.value)
            .map_err(|f| Fault { message: format!("{} {}", quoted(&entry.key), f.message), help: f.help })?;
        out.insert(entry.key, value);
    }
    Ok(out.into())
}

/// Every text within a value in its braced form.
fn runtime_texts(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(scalar::brace_bare(&text)),
        Value::Array(items) => items.into_iter().map(runtime_texts).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(k, v)| (k, runtime_texts(v))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}
