//! `${…}` in a task's config, environment and arguments. Pure.
//!
//! What is not known stays as it was written: `${HOME}` in a shell command is the shell's business.

use std::collections::BTreeMap;

use encamp_model::records::NodeInfo;
use serde_json::Value;

/// What names can stand for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// `attr.`, `node.`, `meta.` and `network.`.
    pub node: &'a NodeInfo,
    /// `NOMAD_…` and `env["…"]`.
    pub env: &'a BTreeMap<String, String>,
    /// `TASKGROUP`, as of 2016.
    pub group: &'a str,
    /// `TASK`, as of 2016.
    pub task: &'a str,
    /// `JOB`, as of 2016.
    pub job: &'a str,
}

impl Scope<'_> {
    /// The value of a name, as it stands between the braces.
    pub fn lookup(&self, name: &str) -> Option<&str> {
        let name = name.trim();
        if let Some(attribute) = name.strip_prefix("attr.") {
            return self.node.attributes.get(attribute).map(String::as_str);
        }
        if let Some(key) = name.strip_prefix("meta.") {
            return self.node.meta.get(key).map(String::as_str);
        }
        if let Some(key) = name.strip_prefix("env[").and_then(|rest| rest.strip_suffix(']')) {
            return self.env.get(key.trim_matches('"')).map(String::as_str);
        }
        match name {
            "node.unique.id" => self.node.attributes.get("unique.node.id").map(String::as_str),
            "node.unique.name" => Some(&self.node.name),
            "node.datacenter" => Some(&self.node.datacenter),
            "node.class" => Some(&self.node.class),
            "node.region" => Some(&self.node.region),
            "network.ip-address" => self.node.attributes.get("unique.network.ip-address").map(String::as_str),
            "TASKGROUP" => Some(self.group),
            "TASK" => Some(self.task),
            "JOB" => Some(self.job),
            _ if name.starts_with("NOMAD_") => self.env.get(name).map(String::as_str),
            _ => None,
        }
    }

    /// `text` with every known name replaced, once: what a value holds is not looked at again.
    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let (name, length) = name_at(rest);
            match name.and_then(|name| self.lookup(name)) {
                Some(value) => {
                    out.push_str(value);
                    rest = &rest[length..];
                }
                None => {
                    // Only the `$`: another name may begin right behind it.
                    out.push('$');
                    rest = &rest[1..];
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// Every text within `value` replaced; keys of maps stay.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), self.value(v))).collect(),
            other => other.clone(),
        }
    }
}

/// The name that begins at the `$` at the start of `text`, and how many bytes it takes in all.
fn name_at(text: &str) -> (Option<&str>, usize) {
    if let Some(braced) = text.strip_prefix("${") {
        return match braced.find('}') {
            Some(end) => (Some(&braced[..end]), end + 3),
            None => (None, 1),
        };
    }
    let bare = &text[1..];
    if !["attr.", "node.", "meta."].iter().any(|root| bare.starts_with(root)) {
        return (None, 1);
    }
    let end = bare
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        .unwrap_or(bare.len());
    let name = bare[..end].trim_end_matches(['.', '-']);
    (Some(name), name.len() + 1)
}
