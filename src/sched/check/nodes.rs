//! May a node run a group? The judges' own reading of datacenters, drivers and constraints.

use std::cmp::Ordering;

use encamp_model::{
    Job,
    job::{Constraint, TaskGroup},
    records::NodeInfo,
};

/// The first thing that a node lacks for a group.
pub(crate) fn lacks(job: &Job, group: &TaskGroup, node: &NodeInfo) -> Option<String> {
    if !job.datacenters.is_empty()
        && !job.datacenters.iter().any(|d| alike(d.as_bytes(), node.datacenter.as_bytes()))
    {
        return Some(format!("datacenter {}", node.datacenter));
    }
    for task in &group.tasks {
        if !node.drivers.get(&task.driver).is_some_and(|d| d.detected && d.healthy) {
            return Some(format!("driver {}", task.driver));
        }
    }
    let all = job
        .constraints
        .iter()
        .chain(&group.constraints)
        .chain(group.tasks.iter().flat_map(|t| &t.constraints));
    all.filter(|c| !meets(c, node)).map(|c| format!("{} {} {}", c.l_target, c.operand, c.r_target)).next()
}

/// `*` stands for any text.
fn alike(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => alike(rest, text) || (!text.is_empty() && alike(pattern, &text[1..])),
        ([p, rest @ ..], [t, tail @ ..]) if p == t => alike(rest, tail),
        _ => false,
    }
}

fn value(side: &str, node: &NodeInfo) -> Option<String> {
    let inner = side.trim();
    let inner = match inner.strip_prefix("${") {
        Some(rest) => rest.trim_end_matches('}').trim(),
        None => match inner.strip_prefix('$') {
            Some(rest) if ["attr.", "meta.", "node."].iter().any(|p| rest.starts_with(p)) => rest,
            _ => return Some(side.to_owned()),
        },
    };
    match inner.split_once('.')? {
        ("attr", name) => node.attributes.get(name).cloned(),
        ("meta", name) => node.meta.get(name).cloned(),
        ("node", "datacenter") => Some(node.datacenter.clone()),
        ("node", "class") => Some(node.class.clone()),
        ("node", "region") => Some(node.region.clone()),
        ("node", "unique.id" | "id") => Some(node.id.to_string()),
        ("node", "unique.name" | "name") => Some(node.name.clone()),
        _ => None,
    }
}

fn meets(constraint: &Constraint, node: &NodeInfo) -> bool {
    let (left, right) = (value(&constraint.l_target, node), value(&constraint.r_target, node));
    match (constraint.operand.trim(), left, right) {
        // Speaks of the set of nodes.
        ("distinct_hosts", ..) => true,
        ("is_set", left, _) => left.is_some(),
        ("is_not_set", left, _) => left.is_none(),
        ("!=" | "not", left, right) => left != right,
        (operand, Some(left), Some(right)) => compares(operand, &left, &right),
        _ => false,
    }
}

fn compares(operand: &str, left: &str, right: &str) -> bool {
    let order = match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(l), Ok(r)) => l.partial_cmp(&r),
        _ => Some(left.cmp(right)),
    };
    match operand {
        "" | "=" | "==" | "is" => left == right,
        "<" => order == Some(Ordering::Less),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        ">" => order == Some(Ordering::Greater),
        ">=" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        "regexp" => regex::Regex::new(right).is_ok_and(|r| r.is_match(left)),
        "version" => right.split(',').all(|one| in_range(left, one.trim())),
        _ => false,
    }
}

/// A version as a list of numbers without trailing zeroes, and a pre-release.
fn version(text: &str) -> Option<(Vec<u64>, Vec<String>)> {
    let text = text.trim().trim_start_matches('v').split('+').next()?;
    let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
    let mut numbers: Vec<u64> = numbers.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some((numbers, pre.split('.').filter(|p| !p.is_empty()).map(str::to_owned).collect()))
}

fn in_range(seen: &str, condition: &str) -> bool {
    let bare = condition.trim_start_matches(['<', '>', '=', '!', '~']);
    let operator = condition[..condition.len() - bare.len()].trim();
    let (Some(seen), Some(wanted)) = (version(seen), version(bare)) else { return false };
    let order = seen.0.cmp(&wanted.0).then_with(|| match (seen.1.is_empty(), wanted.1.is_empty()) {
        (false, false) => seen.1.cmp(&wanted.1),
        // True is greater: a release comes after its pre-releases.
        (seen, wanted) => seen.cmp(&wanted),
    });
    let ranged = seen.1.is_empty() || (!wanted.1.is_empty() && seen.0 == wanted.0);
    match operator {
        "" | "=" => order.is_eq(),
        "!=" => order.is_ne(),
        ">" => ranged && order.is_gt(),
        ">=" => ranged && order.is_ge(),
        "<" => ranged && order.is_lt(),
        "<=" => ranged && order.is_le(),
        "~>" => {
            let fixed = bare.trim().split('-').next().map_or(0, |n| n.split('.').count().saturating_sub(1));
            let at = |v: &[u64], i: usize| v.get(i).copied().unwrap_or(0);
            ranged && order.is_ge() && (0..fixed).all(|i| at(&seen.0, i) == at(&wanted.0, i))
        }
        _ => false,
    }
}
