//! Why a group could not be placed: Nomad's bullet lines, then our nodes by name.

use std::collections::BTreeMap;

use crate::wire::{Evaluation, Metric};

/// Named nodes shown without being asked for more.
const NODES: usize = 8;

/// The bullets for one group, each line indented by `indent`.
pub(crate) fn bullets(metric: &Metric, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut bullet = |text: String| lines.push(format!("{indent}* {text}"));
    if metric.nodes_evaluated == 0 {
        bullet("No nodes were eligible for evaluation".into());
    }
    for (datacenter, _) in metric.nodes_available.iter().filter(|(_, count)| **count == 0) {
        bullet(format!("No nodes are available in datacenter {datacenter:?}"));
    }
    counted(&metric.class_filtered, |name, n| {
        bullet(format!("Class {name:?}: {} excluded by filter", nodes(n)))
    });
    counted(&metric.constraint_filtered, |name, n| {
        bullet(match name.starts_with("driver ") {
            // `driver docker missing on 3 nodes`: a sentence already.
            true => format!("{name} on {}", nodes(n)),
            false => format!("Constraint {name:?}: {} excluded by filter", nodes(n)),
        })
    });
    if metric.nodes_exhausted > 0 {
        bullet(format!("Resources exhausted on {}", nodes(metric.nodes_exhausted)));
    }
    counted(&metric.class_exhausted, |name, n| bullet(format!("Class {name:?} exhausted on {}", nodes(n))));
    counted(&metric.dimension_exhausted, |name, n| {
        let short = metric.shortfall.get(name).map(|s| format!(", at least {} short", amount(name, *s)));
        bullet(format!("Dimension {name:?} exhausted on {}{}", nodes(n), short.unwrap_or_default()));
    });
    for reason in metric.nodes.iter().take(NODES) {
        lines.push(format!(
            "{indent}  {}: {}: has {}, wants {}",
            reason.node,
            reason.check,
            shown(&reason.seen),
            shown(&reason.wanted)
        ));
    }
    let looked_at = metric.nodes_filtered.max(0) + metric.nodes_exhausted.max(0);
    let named = metric.nodes.len().min(NODES) as i64;
    if named > 0 && looked_at > named {
        lines.push(format!("{indent}  and {} more", looked_at - named));
    }
    lines
}

/// `Task Group "web" (failed to place 3 allocations):`.
pub(crate) fn heading(group: &str, metric: &Metric) -> String {
    let count = metric.coalesced_failures + 1;
    let noun = if count == 1 { "allocation" } else { "allocations" };
    format!("Task Group {group:?} (failed to place {count} {noun}):")
}

/// What an evaluation that is not made yet waits for: room, an instant, running instances.
pub(crate) fn waiting(eval: &Evaluation) -> impl Iterator<Item = &str> {
    let text = if eval.status == "blocked" { eval.status_description.as_str() } else { "" };
    text.split("; ").filter(|part| !part.is_empty())
}

fn counted(counts: &BTreeMap<String, i64>, mut each: impl FnMut(&str, i64)) {
    counts.iter().filter(|(_, n)| **n > 0).for_each(|(name, n)| each(name, *n));
}

/// Nomad's scripts know it in the plural only.
fn nodes(count: i64) -> String {
    format!("{count} nodes")
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}

/// An amount of a dimension with its unit.
fn amount(dimension: &str, value: i64) -> String {
    match dimension {
        "cpu" => format!("{value} MHz"),
        "memory" | "disk" => format!("{value} MB"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_driver_is_a_sentence_and_no_node_at_all_is_said_so() {
        let missing = BTreeMap::from([("driver docker missing".to_owned(), 3)]);
        let metric = Metric { nodes_evaluated: 3, constraint_filtered: missing, ..Metric::default() };
        assert_eq!(bullets(&metric, "  "), ["  * driver docker missing on 3 nodes"]);
        assert_eq!(bullets(&Metric::default(), ""), ["* No nodes were eligible for evaluation"]);
    }
}
