//! Why a group could not be placed: every node's answer, counted by check, and some of them by name.

use std::collections::BTreeMap;

use encamp_model::{
    Name,
    records::{Gate, NodeReason, PlacementFailure},
};
use encamp_world::{NodeEntry, Room, World};

use crate::{Checks, Demand, place::Placer, ports::PortPlan, sites::Sites};

/// Bytes of JSON that the reasons of one run may take: they are stored with every evaluation that it answers.
pub(crate) const BYTES_MAX: usize = 128 << 10;

/// Longest text kept of what was seen or wanted.
const TEXT_MAX: usize = 128;

/// Asks every node again, with the room that is left now. `count` instances were not placed.
pub(crate) fn explain(
    world: &World,
    sites: &Sites<'_>,
    placer: &Placer<'_>,
    checks: &Checks,
    demand: &Demand,
    count: usize,
) -> PlacementFailure {
    let mut why = PlacementFailure {
        coalesced: u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX),
        ..PlacementFailure::default()
    };
    for wanted in checks.datacenters().iter().filter(|d| !d.contains('*')) {
        why.nodes_available.insert(cut(wanted), 0);
    }
    let mut named = Vec::new();
    for (id, entry) in world.nodes() {
        let Some(info) = entry.info.as_deref() else { continue };
        why.nodes_evaluated += 1;
        let refusal = checks.refusal(info);
        if entry.takes_placements() && !matches!(&refusal, Some((check, _)) if check == "datacenter") {
            *why.nodes_available.entry(cut(&info.datacenter)).or_default() += 1;
        }
        let reason = |check: &str, seen: &str, wanted: &str| NodeReason {
            node: info.name.clone(),
            check: check.to_owned(),
            seen: seen.to_owned(),
            wanted: wanted.to_owned(),
        };
        let site = sites.position(id);
        let filtered = closed(entry)
            .map(|(check, seen)| (check.to_owned(), reason(check, seen, "ready and eligible")))
            .or(refusal)
            .or_else(|| {
                let feasible = site.is_some_and(|at| placer.feasible.binary_search(&at).is_ok());
                (!feasible).then(|| (REFUSED.to_owned(), reason(REFUSED, "refused one", "room for it")))
            })
            .or_else(|| {
                let shared = !placer.is_apart(id);
                shared.then(|| {
                    ("distinct_hosts".to_owned(), reason("distinct_hosts", "an instance already", "none"))
                })
            });
        if let Some((check, reason)) = filtered {
            why.nodes_filtered += 1;
            *why.filtered.entry(cut(&check)).or_default() += 1;
            named.push((true, reason));
        } else if let Some(at) = site {
            why.nodes_exhausted += 1;
            let lacks = lacks(sites.list[at].room(), info, demand);
            for lack in &lacks {
                *why.exhausted.entry(lack.dimension.clone()).or_default() += 1;
                if let Some(missing) = lack.missing {
                    let least = why.shortfall.entry(lack.dimension.clone()).or_insert(missing);
                    *least = missing.min(*least);
                }
            }
            named.extend(lacks.first().map(|l| (false, reason(&l.dimension, &l.seen, &l.wanted))));
        }
    }
    // Nodes that lack room say more about what to do than those that were never meant.
    named.sort_by_key(|(filtered, _)| *filtered);
    why.nodes =
        named.into_iter().take(PlacementFailure::MAX_NODES).map(|(_, reason)| short(reason)).collect();
    why
}

/// The check that a node fails which refused an instance and has not changed since.
const REFUSED: &str = "refused by the node";

/// Why a node takes no placements, whatever they are.
fn closed(entry: &NodeEntry) -> Option<(&'static str, &'static str)> {
    if entry.takes_placements() {
        return None;
    }
    Some(match entry.state.as_ref() {
        None => ("node not ready", "no heartbeat yet"),
        Some(state) if state.gate == Gate::Down => ("node down", "down"),
        Some(state) if state.gate == Gate::Disconnected => ("node disconnected", "disconnected"),
        Some(state) if !state.eligible || entry.intents.as_ref().is_some_and(|i| !i.eligible) => {
            ("node ineligible", "ineligible")
        }
        Some(_) => ("node unreadable", "entries that this version cannot read"),
    })
}

/// One dimension in which a node lacks room.
struct Lack {
    dimension: String,
    seen: String,
    wanted: String,
    /// By how much; ports have no amount.
    missing: Option<i64>,
}

fn lacks(room: &Room, info: &encamp_model::records::NodeInfo, demand: &Demand) -> Vec<Lack> {
    let free = room.free();
    let dimensions = [
        ("cpu", free.cpu, demand.ask.cpu, "MHz"),
        ("memory", free.memory_mb, demand.ask.memory_mb, "MB"),
        ("disk", free.disk_mb, demand.ask.disk_mb, "MB"),
    ];
    let mut lacks: Vec<Lack> = dimensions
        .iter()
        .filter(|(_, free, ask, _)| ask > free)
        .map(|(dimension, free, ask, unit)| Lack {
            dimension: (*dimension).to_owned(),
            seen: format!("{free} {unit} free"),
            wanted: format!("{ask} {unit}"),
            missing: Some(ask.saturating_sub(*free)),
        })
        .collect();
    if let Err(port) = PortPlan::of(&demand.ports).assign(room, info, 0) {
        let (first, last) = info.resources.port_range;
        let (seen, wanted) = match port.value {
            Some(value) => (format!("{value} in use"), format!("{value} free")),
            None => (format!("{first}-{last} all in use"), "a free port".to_owned()),
        };
        lacks.push(Lack { dimension: format!("port {}", port.label), seen, wanted, missing: None });
    }
    lacks
}

/// Keeps the reasons of a job with very many groups, or very long constraints, within what a value may hold.
pub(crate) fn bound(whys: &mut BTreeMap<Name, PlacementFailure>) {
    let size = |whys: &BTreeMap<Name, PlacementFailure>| serde_json::to_vec(whys).map_or(0, |v| v.len());
    if size(whys) > BYTES_MAX {
        whys.values_mut().for_each(|why| why.nodes.clear());
    }
    if size(whys) > BYTES_MAX {
        for why in whys.values_mut() {
            why.filtered.clear();
            why.exhausted.clear();
            why.nodes_available.clear();
            why.shortfall.clear();
        }
    }
}

fn short(reason: NodeReason) -> NodeReason {
    NodeReason {
        node: cut(&reason.node),
        check: cut(&reason.check),
        seen: cut(&reason.seen),
        wanted: cut(&reason.wanted),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
