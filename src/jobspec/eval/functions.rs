//! The functions that job files use: those that need neither files, network, time nor chance.

mod collections;
mod texts;

use serde_json::{Number, Value};

use crate::{
    diag::{did_you_mean, quoted},
    scalar::{number_text, whole},
};

/// Why a call has no value.
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Fault { message, help: None }
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

type Called = Result<Value, String>;
type Function = fn(Vec<Value>) -> Called;

/// Functions that Nomad knows and that read what a job must not depend on here, or are not there yet.
const ELSEWHERE: &[&str] = &[
    "abspath",
    "base64gunzip",
    "base64gzip",
    "bcrypt",
    "cidrhost",
    "cidrnetmask",
    "cidrsubnet",
    "cidrsubnets",
    "csvdecode",
    "file",
    "filebase64",
    "fileexists",
    "fileset",
    "formatdate",
    "md5",
    "pathexpand",
    "rsadecrypt",
    "sha1",
    "sha256",
    "sha512",
    "templatefile",
    "timeadd",
    "timestamp",
    "urlencode",
    "uuidv4",
    "uuidv5",
    "yamldecode",
    "yamlencode",
];

/// Calls a function by its name.
pub(super) fn call(name: &str, args: Vec<Value>) -> Result<Value, Fault> {
    let found = texts::TABLE.iter().chain(collections::TABLE).find(|(known, ..)| *known == name);
    let Some((_, least, most, function)) = found else { return Err(unknown(name)) };
    if args.len() < *least || args.len() > *most {
        let wants = match (*least, *most) {
            (l, usize::MAX) => format!("at least {l}"),
            (l, m) if l == m => l.to_string(),
            (l, m) => format!("{l} to {m}"),
        };
        return Err(format!("takes {wants} arguments, not {}", args.len()).into());
    }
    function(args).map_err(Fault::from)
}

fn unknown(name: &str) -> Fault {
    if ELSEWHERE.contains(&name) {
        return "this function is not available in Encamp's job files".into();
    }
    let known = texts::TABLE.iter().chain(collections::TABLE).map(|(known, ..)| *known);
    Fault { message: "there is no such function".to_owned(), help: did_you_mean(name, known) }
}

/// A value where a text is needed.
pub(super) fn to_text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number_text(&number)),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => Err("null is no text".to_owned()),
        Value::Array(_) => Err("a list is no text".to_owned()),
        Value::Object(_) => Err("an object is no text".to_owned()),
    }
}

/// A value where a number is needed.
pub(super) fn to_number(value: &Value) -> Result<Number, String> {
    match value {
        Value::Number(number) => Ok(number.clone()),
        Value::String(text) => {
            let number = text.parse::<i64>().ok().map(Number::from);
            let number = number.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
            number.ok_or_else(|| format!("{} is no number", quoted(text)))
        }
        _ => Err("this has to be a number".to_owned()),
    }
}

fn float(value: &Value) -> Result<f64, String> {
    Ok(to_number(value)?.as_f64().unwrap_or(0.0))
}

fn integer(value: &Value) -> Result<i64, String> {
    whole(&to_number(value)?).ok_or_else(|| "this has to be a whole number".to_owned())
}

fn from_float(value: f64) -> Called {
    let number = Number::from_f64(value).ok_or("the result is no number")?;
    Ok(whole(&number).map_or(Value::Number(number), Value::from))
}

fn items(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err("this has to be a list".to_owned()),
    }
}

fn truth(value: &Value) -> Called {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) if text == "true" => Ok(Value::Bool(true)),
        Value::String(text) if text == "false" => Ok(Value::Bool(false)),
        _ => Err("this has to be true or false".to_owned()),
    }
}

/// The argument at `i`; the table has checked that it is there.
fn take(args: &mut [Value], i: usize) -> Value {
    args.get_mut(i).map(Value::take).unwrap_or_default()
}

fn take_text(args: &mut [Value], i: usize) -> Result<String, String> {
    to_text(take(args, i))
}
