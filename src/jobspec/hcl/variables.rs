//! `variable`, `variables` and `locals`, and the values given for them.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::{
    Span as _,
    expr::Expression,
    parser::parse_expr,
    structure::{Attribute, Block, Body},
};
use serde_json::Value;

use super::Reader;
use crate::{
    diag::{Diagnostic, did_you_mean, quoted},
    eval::{Binds, Evaluator, Fault},
    scalar::number_text,
};

/// What a variable's `type` says, as far as it changes how a text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Any,
    Text,
    Number,
    Bool,
    /// list, map, object and the like.
    Collection,
}

/// The names that a file declares.
pub(super) fn names(body: &Body) -> BTreeSet<String> {
    let single = body.get_blocks("variable").filter_map(|block| Some(block.labels.first()?.as_str()));
    let shorthand = body.get_blocks("variables").flat_map(|block| block.body.attributes());
    single.chain(shorthand.map(|attribute| attribute.key.as_str())).map(str::to_owned).collect()
}

/// Declares everything that expressions may refer to.
pub(super) fn declare<'a>(
    reader: &mut Reader<'_>,
    evaluator: &mut Evaluator<'a>,
    body: &'a Body,
    given: &BTreeMap<String, String>,
) {
    let mut declared = BTreeSet::new();
    for block in body.blocks() {
        match block.ident.as_str() {
            "variable" => variable(reader, evaluator, block, given, &mut declared),
            "variables" => {
                for attribute in block.body.attributes() {
                    shorthand(reader, evaluator, attribute, given, &mut declared);
                }
            }
            "locals" => {
                for attribute in block.body.attributes() {
                    let name = attribute.key.as_str();
                    if !evaluator.add_local(name, &attribute.value) {
                        let span = reader.span(&attribute.key);
                        reader.error(span, format!("the local {} is declared twice", quoted(name)), None);
                    }
                }
            }
            _ => {}
        }
    }
    for name in given.keys().filter(|name| !declared.contains(*name)) {
        let mut error = Diagnostic::error(format!("the job file declares no variable {}", quoted(name)))
            .help_if(did_you_mean(name, declared.iter().map(String::as_str)));
        error.file = "-var".to_owned();
        reader.errors.push(error);
    }
}

/// `variables { name = default }`.
fn shorthand(
    reader: &mut Reader<'_>,
    evaluator: &mut Evaluator<'_>,
    attribute: &Attribute,
    given: &BTreeMap<String, String>,
    declared: &mut BTreeSet<String>,
) {
    let name = attribute.key.as_str();
    if !is_new(reader, attribute, name, declared) {
        return;
    }
    let value = match given.get(name) {
        Some(text) => Some(Value::String(text.clone())),
        None => reader.value(evaluator, &attribute.value, &Binds::Empty).map(crate::tree::Tree::into_value),
    };
    if let Some(value) = value {
        evaluator.set_var(name, value);
    }
}

fn is_new(
    reader: &mut Reader<'_>,
    at: &impl hcl_edit::Span,
    name: &str,
    declared: &mut BTreeSet<String>,
) -> bool {
    let new = declared.insert(name.to_owned());
    if !new {
        let span = reader.span(at);
        reader.error(span, format!("the variable {} is declared twice", quoted(name)), None);
    }
    new
}

/// `variable "name" { type, default, description, validation }`.
fn variable(
    reader: &mut Reader<'_>,
    evaluator: &mut Evaluator<'_>,
    block: &Block,
    given: &BTreeMap<String, String>,
    declared: &mut BTreeSet<String>,
) {
    let [label] = block.labels.as_slice() else {
        let span = reader.span(&block.ident);
        return reader.error(
            span,
            "a variable has one label, its name",
            Some("write variable \"x\" {}".to_owned()),
        );
    };
    let name = label.as_str();
    if !is_new(reader, label, name, declared) {
        return;
    }
    known_parts(reader, block);
    let kind = block.body.get_attribute("type").map_or(Type::Any, |a| type_of(&a.value));
    let value = match (given.get(name), block.body.get_attribute("default")) {
        (Some(text), _) => match given_value(text, kind) {
            Ok(value) => Some(value),
            Err(why) => {
                let mut error =
                    Diagnostic::error(format!("the value of the variable {} {why}", quoted(name)));
                error.file = "-var".to_owned();
                reader.errors.push(error);
                None
            }
        },
        (None, Some(default)) => {
            let span = reader.span(&default.value);
            let value =
                reader.value(evaluator, &default.value, &Binds::Empty).map(crate::tree::Tree::into_value);
            value.and_then(|value| match converted(value, kind) {
                Ok(value) => Some(value),
                Err(why) => {
                    reader.error(span, format!("the default of the variable {} {why}", quoted(name)), None);
                    None
                }
            })
        }
        (None, None) => {
            let span = reader.span(label);
            let help = Some(format!("give it with -var {name}=…, or write a default"));
            reader.error(span, format!("the variable {} has no value", quoted(name)), help);
            None
        }
    };
    let is_known = value.is_some();
    // After an error something stands in, so that the variable's uses are not errors of their own.
    evaluator.set_var(name, value.unwrap_or_else(|| stand_in(kind)));
    if is_known {
        validations(reader, evaluator, block);
    }
}

fn known_parts(reader: &mut Reader<'_>, block: &Block) {
    const ATTRIBUTES: [&str; 5] = ["type", "default", "description", "sensitive", "nullable"];
    for attribute in block.body.attributes() {
        let name = attribute.key.as_str();
        if !ATTRIBUTES.contains(&name) {
            let span = reader.span(&attribute.key);
            let message = format!("a variable has no attribute {}", quoted(name));
            reader.error(span, message, did_you_mean(name, ATTRIBUTES));
        }
    }
    for inner in block.body.blocks().filter(|b| b.ident.as_str() != "validation") {
        let span = reader.span(&inner.ident);
        let name = inner.ident.as_str();
        reader.error(
            span,
            format!("a variable has no block {}", quoted(name)),
            did_you_mean(name, ["validation"]),
        );
    }
}

fn type_of(expr: &Expression) -> Type {
    let name = match expr {
        Expression::Variable(name) => name.as_str(),
        Expression::String(name) => name.as_str(),
        Expression::FuncCall(_) => return Type::Collection,
        _ => return Type::Any,
    };
    match name {
        "string" => Type::Text,
        "number" => Type::Number,
        "bool" => Type::Bool,
        "list" | "map" | "set" => Type::Collection,
        _ => Type::Any,
    }
}

fn stand_in(kind: Type) -> Value {
    match kind {
        Type::Any | Type::Text => Value::String(String::new()),
        Type::Number => Value::from(1),
        Type::Bool => Value::Bool(false),
        Type::Collection => Value::Array(Vec::new()),
    }
}

/// The value that a text given on the command line stands for.
fn given_value(text: &str, kind: Type) -> Result<Value, String> {
    if kind != Type::Collection {
        return converted(Value::String(text.to_owned()), kind).map_err(str::to_owned);
    }
    let expr = parse_expr(text).map_err(|fault| format!("is no HCL: {}", fault.message()))?;
    Evaluator::new(text).eval(&expr, &Binds::Empty).map_err(|fault| format!("is no value: {}", fault.message))
}

fn converted(value: Value, kind: Type) -> Result<Value, &'static str> {
    match (kind, value) {
        (_, Value::Null) => Ok(Value::Null),
        (Type::Text, Value::Number(number)) => Ok(Value::String(number_text(&number))),
        (Type::Text, Value::Bool(value)) => Ok(Value::String(value.to_string())),
        (Type::Text, value @ Value::String(_)) => Ok(value),
        (Type::Text, _) => Err("has to be a text"),
        (Type::Number, Value::String(text)) => match text.parse::<i64>() {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => {
                let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
                number.map(Value::Number).ok_or("has to be a number")
            }
        },
        (Type::Number, value @ Value::Number(_)) => Ok(value),
        (Type::Number, _) => Err("has to be a number"),
        (Type::Bool, Value::String(text)) if text == "true" || text == "1" => Ok(Value::Bool(true)),
        (Type::Bool, Value::String(text)) if text == "false" || text == "0" => Ok(Value::Bool(false)),
        (Type::Bool, value @ Value::Bool(_)) => Ok(value),
        (Type::Bool, _) => Err("has to be true or false"),
        (Type::Collection, Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
            Err("has to be a list or an object")
        }
        (Type::Any | Type::Collection, value) => Ok(value),
    }
}

/// `validation { condition, error_message }`.
fn validations(reader: &mut Reader<'_>, evaluator: &Evaluator<'_>, block: &Block) {
    for validation in block.body.get_blocks("validation") {
        let Some(condition) = validation.body.get_attribute("condition") else {
            let span = reader.span(&validation.ident);
            reader.error(span, "a validation needs a condition", None);
            continue;
        };
        let message = validation.body.get_attribute("error_message").map_or_else(
            || "the variable's validation does not hold".to_owned(),
            |a| match evaluator.eval(&a.value, &Binds::Empty) {
                Ok(Value::String(text)) => text.chars().take(256).collect(),
                _ => "the variable's validation does not hold".to_owned(),
            },
        );
        match evaluator.eval(&condition.value, &Binds::Empty) {
            Ok(Value::Bool(true)) => {}
            Ok(_) => {
                let span = reader.span(&condition.value);
                reader.error(span, message, None);
            }
            Err(fault) => reader.fault(Fault { span: fault.span.or(condition.value.span()), ..fault }, None),
        }
    }
}
