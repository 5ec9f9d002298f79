//! What job files write shorter than the API: conditions by their operator, ports by whether they are static, and a
//! task without a group.

use super::Reader;
use crate::tree::{Entry, Node, Span, Tree};

/// Operators that a condition may name as an attribute, with its right side as the value.
const OPERATORS: [&str; 6] =
    ["regexp", "version", "semver", "set_contains", "set_contains_all", "set_contains_any"];

/// Members of a block with nothing left that only job files know.
pub(super) fn expand(reader: &mut Reader<'_>, block: &str, entries: Vec<Entry>, span: &Span) -> Vec<Entry> {
    match block {
        "constraint" | "affinity" => condition(reader, entries, span),
        "network" => ports(entries),
        "job" => tasks_without_group(entries),
        _ => entries,
    }
}

fn entry(key: &str, span: &Span, value: Tree) -> Entry {
    Entry { key: key.to_owned(), key_span: span.clone(), value }
}

/// `regexp = "x"` is operator "regexp" with value "x"; `distinct_hosts = true` is that operator alone.
fn condition(reader: &mut Reader<'_>, entries: Vec<Entry>, span: &Span) -> Vec<Entry> {
    let (short, mut plain): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.key.starts_with('@'));
    let mut given = plain.iter().any(|e| e.key == "Operand");
    for member in short {
        let name = member.key.trim_start_matches('@').to_owned();
        if given {
            reader.error(member.key_span, format!("{name}: the operator is given twice"), None);
            continue;
        }
        given = true;
        let operand = Tree::text(member.key_span.clone(), &name);
        // `distinct_hosts = false` asks for nothing; the API says so in the value, and admission drops it.
        let switched_off = name == "distinct_hosts" && is_false(&member.value);
        let side = if switched_off || OPERATORS.contains(&name.as_str()) {
            Some("RTarget")
        } else if name == "distinct_property" {
            Some("LTarget")
        } else {
            None
        };
        plain.push(entry("Operand", &member.key_span, operand));
        if let Some(side) = side {
            if plain.iter().any(|e| e.key == side) {
                reader.error(span.clone(), format!("{name}: its value is given twice"), None);
                continue;
            }
            plain.push(Entry { key: side.to_owned(), ..member });
        }
    }
    plain
}

/// `port "x" { static = 80 }` is a reserved port, `port "x" {}` one that the planner chooses.
fn ports(entries: Vec<Entry>) -> Vec<Entry> {
    let (ports, mut plain): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.key == "@port");
    for list in ports {
        let Node::List(items) = list.value.node else { continue };
        let is_static = |item: &Tree| match &item.node {
            Node::Map(members) => members.iter().any(|m| m.key == "Value" && !is_zero(&m.value)),
            _ => false,
        };
        let (reserved, dynamic): (Vec<_>, Vec<_>) = items.into_iter().partition(is_static);
        for (key, items) in [("ReservedPorts", reserved), ("DynamicPorts", dynamic)] {
            if !items.is_empty() {
                plain.push(entry(
                    key,
                    &list.key_span,
                    Tree { span: list.value.span.clone(), node: Node::List(items) },
                ));
            }
        }
    }
    plain
}

fn is_false(value: &Tree) -> bool {
    match &value.node {
        Node::Bool(value) => !*value,
        Node::Text(text) => text == "false",
        _ => false,
    }
}

fn is_zero(value: &Tree) -> bool {
    match &value.node {
        Node::Number(number) => number.as_f64() == Some(0.0),
        Node::Text(text) => text == "0",
        _ => false,
    }
}

/// A task written straight into the job is a group of its own, with the task's name.
fn tasks_without_group(entries: Vec<Entry>) -> Vec<Entry> {
    let (tasks, mut plain): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.key == "@task");
    for list in tasks {
        let Node::List(tasks) = list.value.node else { continue };
        let groups = tasks.into_iter().map(group_of).collect::<Vec<_>>();
        match plain.iter_mut().find(|e| e.key == "TaskGroups").map(|e| &mut e.value.node) {
            Some(Node::List(existing)) => existing.extend(groups),
            _ => {
                let span = list.value.span;
                plain.push(entry("TaskGroups", &list.key_span, Tree { span, node: Node::List(groups) }));
            }
        }
    }
    plain
}

fn group_of(task: Tree) -> Tree {
    let span = task.span.clone();
    let name = match &task.node {
        Node::Map(members) => members.iter().find(|m| m.key == "Name").cloned(),
        _ => None,
    };
    let tasks = Tree { span: span.clone(), node: Node::List(vec![task]) };
    Tree::map(span.clone(), name.into_iter().chain([entry("Tasks", &span, tasks)]).collect())
}
