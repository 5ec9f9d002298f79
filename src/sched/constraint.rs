//! One constraint, read once and checked on many nodes.

use encamp_model::{job::Constraint, records::NodeInfo};
use regex::Regex;

use crate::{
    target::Target,
    version::{Requirement, Version},
};

/// A comparison of two sides.
#[derive(Clone, Debug)]
enum Operand {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Regexp(Option<Regex>),
    Version(Option<Requirement>),
    IsSet,
    IsNotSet,
    /// Admission refuses these; should one get here, no node meets it.
    Unknown,
}

/// A constraint on single nodes (`distinct_hosts` is one on the set of nodes: see [`crate::checks`]).
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    left: Target,
    operand: Operand,
    right: Target,
    text: String,
    wanted: String,
}

impl Rule {
    /// Reads a constraint; `None` for `distinct_hosts`.
    pub(crate) fn of(constraint: &Constraint) -> Option<Rule> {
        let name = operand_name(constraint);
        if name == DISTINCT_HOSTS {
            return None;
        }
        let right = Target::parse(&constraint.r_target);
        // A right side that names a property of the node cannot be read before the node is known.
        let fixed = if let Target::Text(text) = &right { Some(text.as_str()) } else { None };
        let operand = match name {
            "=" | "==" | "is" => Operand::Equal,
            "!=" | "not" => Operand::NotEqual,
            "<" => Operand::Less,
            "<=" => Operand::LessOrEqual,
            ">" => Operand::Greater,
            ">=" => Operand::GreaterOrEqual,
            "regexp" => Operand::Regexp(fixed.and_then(|t| Regex::new(t).ok())),
            "version" => Operand::Version(fixed.and_then(Requirement::parse)),
            "is_set" => Operand::IsSet,
            "is_not_set" => Operand::IsNotSet,
            _ => Operand::Unknown,
        };
        let wanted = format!("{name} {}", constraint.r_target).trim_end().to_owned();
        let text = format!("{} {wanted}", constraint.l_target).trim_start().to_owned();
        Some(Rule { left: Target::parse(&constraint.l_target), operand, right, text, wanted })
    }

    /// As a person would write it: `${attr.kernel.name} = linux`.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The comparison and its right side.
    pub(crate) fn wanted(&self) -> &str {
        &self.wanted
    }

    /// What a node has on the left side.
    pub(crate) fn seen(&self, node: &NodeInfo) -> String {
        self.left.on(node).map_or_else(|| "(not set)".to_owned(), |seen| seen.into_owned())
    }

    /// May two nodes of one class answer differently?
    pub(crate) fn is_unique(&self) -> bool {
        self.left.is_unique() || self.right.is_unique()
    }

    /// Does a node meet it? A side that the node does not have fails every comparison but `!=` and `is_not_set`.
    pub(crate) fn holds(&self, node: &NodeInfo) -> bool {
        let (left, right) = (self.left.on(node), self.right.on(node));
        match &self.operand {
            Operand::IsSet => return left.is_some(),
            Operand::IsNotSet => return left.is_none(),
            Operand::NotEqual => return left != right,
            _ => {}
        }
        let (Some(left), Some(right)) = (left, right) else { return false };
        match &self.operand {
            Operand::Equal => left == right,
            Operand::Less => order(&left, &right).is_some_and(|o| o.is_lt()),
            Operand::LessOrEqual => order(&left, &right).is_some_and(|o| o.is_le()),
            Operand::Greater => order(&left, &right).is_some_and(|o| o.is_gt()),
            Operand::GreaterOrEqual => order(&left, &right).is_some_and(|o| o.is_ge()),
            Operand::Regexp(Some(regex)) => regex.is_match(&left),
            Operand::Regexp(None) => Regex::new(&right).is_ok_and(|regex| regex.is_match(&left)),
            Operand::Version(Some(wanted)) => Version::parse(&left).is_some_and(|v| wanted.holds(&v)),
            Operand::Version(None) => Requirement::parse(&right)
                .is_some_and(|wanted| Version::parse(&left).is_some_and(|v| wanted.holds(&v))),
            Operand::NotEqual | Operand::IsSet | Operand::IsNotSet | Operand::Unknown => false,
        }
    }
}

/// The operand that speaks of the set of nodes.
pub(crate) const DISTINCT_HOSTS: &str = "distinct_hosts";

/// The operand as written; `=` if none is.
pub(crate) fn operand_name(constraint: &Constraint) -> &str {
    let name = constraint.operand.trim();
    if name.is_empty() { "=" } else { name }
}

/// By value if both sides are numbers, else by their letters.
fn order(left: &str, right: &str) -> Option<std::cmp::Ordering> {
    if let (Ok(l), Ok(r)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return Some(l.cmp(&r));
    }
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(l), Ok(r)) => l.partial_cmp(&r),
        _ => Some(left.cmp(right)),
    }
}
