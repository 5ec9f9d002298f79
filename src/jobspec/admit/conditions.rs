//! Constraints: which operators there are, and whether their right sides make sense.

use encamp_model::job::Constraint;
use regex::RegexBuilder;

use super::Check;
use crate::diag::{did_you_mean, quoted};

/// Largest compiled pattern, in bytes, and longest written one: compiling costs.
const MAX_REGEX: usize = 256 << 10;
const MAX_PATTERN: usize = 1_000;

/// Most constraints of one job, group or task.
const MAX_CONSTRAINTS: usize = 256;

const SERVED: [&str; 15] = [
    "=",
    "==",
    "is",
    "!=",
    "not",
    "<",
    "<=",
    ">",
    ">=",
    "regexp",
    "version",
    "is_set",
    "is_not_set",
    "distinct_hosts",
    "",
];

/// Operators that Nomad knows and this version does not compare by.
const LATER: [&str; 5] =
    ["distinct_property", "semver", "set_contains", "set_contains_all", "set_contains_any"];

/// Takes out `distinct_hosts = false`, which asks for nothing.
pub(super) fn drop_switched_off(constraints: &mut Vec<Constraint>) {
    constraints.retain(|c| !(c.operand == "distinct_hosts" && c.r_target == "false"));
}

impl Check<'_> {
    pub(super) fn conditions(&mut self, path: &str, constraints: &[Constraint]) {
        if constraints.len() > MAX_CONSTRAINTS {
            let message =
                format!("{} constraints are too many: at most {MAX_CONSTRAINTS}", constraints.len());
            return self.error(path, message, None);
        }
        for (i, constraint) in constraints.iter().enumerate() {
            let path = format!("{path}[{i}]");
            self.within("constraint".to_owned(), |check| check.condition(&path, constraint));
        }
    }

    fn condition(&mut self, path: &str, constraint: &Constraint) {
        let operand = constraint.operand.as_str();
        let operand_path = format!("{path}.Operand");
        if LATER.contains(&operand) {
            let message =
                format!("the operator {} is not served yet: the condition would not hold", quoted(operand));
            return self.error(&operand_path, message, None);
        }
        if !SERVED.contains(&operand) {
            let known = SERVED.into_iter().filter(|o| !o.is_empty());
            let help = did_you_mean(operand, known);
            return self.error(&operand_path, format!("there is no operator {}", quoted(operand)), help);
        }
        if operand == "distinct_hosts" {
            if !matches!(constraint.r_target.as_str(), "" | "true" | "false") {
                let message =
                    format!("distinct_hosts is true or false, not {}", quoted(&constraint.r_target));
                self.error(&format!("{path}.RTarget"), message, None);
            }
            return;
        }
        if constraint.l_target.is_empty() {
            self.missing(&format!("{path}.LTarget"), "a constraint needs an attribute to look at");
        }
        if !matches!(operand, "is_set" | "is_not_set") {
            self.right_side(&format!("{path}.RTarget"), operand, &constraint.r_target);
        }
    }

    fn right_side(&mut self, path: &str, operand: &str, value: &str) {
        // What a node fills in can be judged there only.
        if value.contains("${") {
            return;
        }
        match operand {
            "regexp" if value.len() > MAX_PATTERN => {
                let message =
                    format!("a pattern of {} bytes is too long: at most {MAX_PATTERN}", value.len());
                self.error(path, message, None);
            }
            "regexp" => {
                if let Err(fault) = RegexBuilder::new(value).size_limit(MAX_REGEX).build() {
                    let why = fault.to_string();
                    let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    self.error(path, format!("{} is no regular expression: {why}", quoted(value)), None);
                }
            }
            "version" => {
                if let Err(part) = version_constraint(value) {
                    let help = Some("write it like \">= 1.2, < 2.0\"".to_owned());
                    self.error(path, format!("{} is no version condition", quoted(part)), help);
                }
            }
            _ if value.is_empty() => self.missing(path, "a constraint needs a value to compare with"),
            _ => {}
        }
    }
}

/// Accepts `">= 1.2, < 2.0"`; gives back the part that is none.
fn version_constraint(text: &str) -> Result<(), &str> {
    for part in text.split(',').map(str::trim) {
        let version = ["~>", ">=", "<=", "!=", "=", ">", "<"]
            .iter()
            .find_map(|op| part.strip_prefix(op))
            .unwrap_or(part)
            .trim_start();
        if !is_version(version) {
            return Err(part);
        }
    }
    Ok(())
}

/// `1`, `v1.2`, `1.2.3-beta+build`.
fn is_version(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(t, b)| (t, Some(b)));
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(t, p)| (t, Some(p)));
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'~'))
    };
    numbers.split('.').all(|n| !n.is_empty() && n.len() <= 18 && n.bytes().all(|b| b.is_ascii_digit()))
        && pre.is_none_or(is_label)
        && build.is_none_or(is_label)
}
