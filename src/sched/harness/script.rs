//! Scenario scripts: lines that begin with `> ` are commands, all others are what came of them.
//!
//! ```text
//! > node 1 cpu=2000          a node joins (or says something else of itself)
//! > gate 1 down              ready, down, disconnected, ineligible
//! > intend 1 ineligible      what people want of it
//! > job web count=3 cpu=500  registers; see `objects` for the words
//! > stop web   > purge web   > eval web force
//! > say running app[0]       of web, or of all: `say running`; the latest under that name
//! > opaque app[1]            its record becomes unreadable
//! > unread app[1]            what its node says of it becomes unreadable
//! > agents                   every agent does what it was told
//! > now +30                  seconds pass
//! > settle                   evaluator and planner, to the end
//! ```

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use encamp_model::{
    AllocId, JobId, Key, NodeId, Unit, Write,
    records::{AllocRecord, ClientStatus, Desired, Eval, EvalStatus, Gate, JobState, PlacementFailure, Want},
};
use encamp_world::World;

use super::{Cluster, job, node};

/// Runs a script and answers it with what came of each command.
pub fn run(script: &str) -> String {
    let mut player = Player::default();
    let mut out = String::new();
    for line in script.lines() {
        if line.starts_with('#') {
            writeln!(out, "{line}").expect("writing to a string");
        }
        let Some(command) = line.strip_prefix("> ") else { continue };
        writeln!(out, "{line}").expect("writing to a string");
        player.command(command, &mut out);
    }
    out
}

#[derive(Default)]
struct Player {
    cluster: Cluster,
    /// Short names for allocations, in order of appearance.
    names: BTreeMap<AllocId, usize>,
    /// Units of the log that were told already.
    told: usize,
}

impl Player {
    fn command(&mut self, command: &str, out: &mut String) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let id = |name: &str| JobId::new("default", name);
        match words.as_slice() {
            ["node", number, rest @ ..] => self.cluster.join(&node(number.parse().expect("a number"), rest)),
            ["gate", number, word] => {
                let (gate, eligible) = match *word {
                    "down" => (Gate::Down, true),
                    "disconnected" => (Gate::Disconnected, true),
                    "ineligible" => (Gate::Ready, false),
                    _ => (Gate::Ready, true),
                };
                self.cluster.gate(node_id(number), gate, eligible);
            }
            ["intend", number, word] => self.cluster.intend(node_id(number), *word == "eligible"),
            ["job", name, rest @ ..] => drop(self.cluster.apply(&job(name, rest))),
            ["stop", name] => {
                let stored = self.cluster.world().job(&id(name)).and_then(|e| e.job.as_deref());
                let mut job = stored.expect("a job that is there").value.clone();
                job.stop = true;
                self.cluster.apply(&job);
            }
            ["purge", name] => self.cluster.purge(&id(name)),
            ["eval", name] => self.cluster.evaluate(&id(name), false),
            ["eval", name, "force"] => self.cluster.evaluate(&id(name), true),
            ["say", status, rest @ ..] => self.say(status, rest),
            ["opaque", name] => self.garble(name, Key::Alloc),
            ["unread", name] => self.garble(name, Key::AllocStatus),
            ["agents"] => self.cluster.agents(),
            ["now", secs] => {
                let secs = secs.trim_start_matches('+').parse().expect("seconds");
                self.cluster.now = self.cluster.now + Duration::from_secs(secs);
            }
            ["settle"] => {
                self.cluster.settle();
                let told = std::mem::replace(&mut self.told, self.cluster.log.len());
                for unit in self.cluster.log.clone().iter().skip(told) {
                    self.tell(unit, out);
                }
            }
            _ => panic!("{command} is no command"),
        }
    }

    /// The latest wanted allocation under `group[index]`, or under any name.
    fn named(&self, name: Option<&str>) -> Vec<AllocId> {
        let wanted = self.cluster.world().allocs().filter(|a| a.record.desired == Desired::Run);
        let named = wanted.filter(|a| {
            let of = format!("{}[{}]", a.record.group, a.record.index);
            name.is_none_or(|name| name == of)
        });
        named.map(|a| a.id).collect()
    }

    fn say(&mut self, status: &str, names: &[&str]) {
        let status = match status {
            "pending" => ClientStatus::Pending,
            "running" => ClientStatus::Running,
            "complete" => ClientStatus::Complete,
            "failed" => ClientStatus::Failed,
            "refused" => ClientStatus::Refused,
            _ => panic!("{status} is no status"),
        };
        let ids = match names {
            [] => self.named(None),
            names => names.iter().flat_map(|name| self.named(Some(name))).collect(),
        };
        assert!(!ids.is_empty(), "nobody to speak of in {names:?}");
        ids.into_iter().for_each(|id| self.cluster.say(id, status));
    }

    fn garble(&mut self, name: &str, key: fn(NodeId, AllocId) -> Key) {
        let ids = self.named(Some(name));
        for id in ids {
            let node = self.cluster.world().alloc(id).expect("just named").node;
            self.cluster.garble(key(node, id));
        }
    }

    fn tell(&mut self, unit: &Unit, out: &mut String) {
        let mut lines = Vec::new();
        for write in &unit.writes {
            lines.push(match write {
                Write::Put(Key::Alloc(node, id), json) => {
                    let new = unit.placed.iter().any(|p| p.alloc == *id);
                    self.tell_alloc(*node, *id, &read(json), new)
                }
                Write::Put(Key::Eval(_), json) => tell_eval(&read(json)),
                Write::Put(Key::JobState(id), json) => tell_state(id, &read(json)),
                Write::Delete(Key::JobState(id)) => format!("  {} has all it wants", id.name),
                _ => continue,
            });
        }
        for line in lines {
            writeln!(out, "{line}").expect("writing to a string");
        }
    }

    fn name(&mut self, id: AllocId) -> String {
        let next = self.names.len() + 1;
        format!("a{}", self.names.entry(id).or_insert(next))
    }

    fn tell_alloc(&mut self, node: NodeId, id: AllocId, record: &AllocRecord, new: bool) -> String {
        let what = format!("{} {}[{}]", self.name(id), record.group, record.index);
        let on = name_of(self.cluster.world(), node);
        if let Some(reason) = record.reason {
            let next = record.next.map(|next| format!(", {} follows", self.name(next))).unwrap_or_default();
            let reason = serde_json::to_value(reason).expect("a word");
            return format!("  stop {what} on {on}: {}{next}", reason.as_str().expect("a word"));
        }
        if !new {
            return format!("  rewrite {what} on {on} to version {}", record.version);
        }
        let mut line = format!("  place {what} on {on}, version {}", record.version);
        for port in &record.ports {
            write!(line, ", {} {}", port.label, port.value).expect("writing to a string");
        }
        if !record.after.is_empty() {
            let after: Vec<String> = record.after.iter().map(|id| self.name(*id)).collect();
            write!(line, ", after {}", after.join(" ")).expect("writing to a string");
        }
        line
    }
}

fn node_id(number: &str) -> NodeId {
    NodeId::from_bits(number.parse().expect("a node's number"))
}

fn name_of(world: &World, node: NodeId) -> String {
    world.node(node).and_then(|n| n.info.as_ref()).map_or_else(|| node.short(), |info| info.name.clone())
}

fn read<T: serde::de::DeserializeOwned>(json: &[u8]) -> T {
    serde_json::from_slice(json).expect("a unit holds what was made of values")
}

fn tell_eval(eval: &Eval) -> String {
    let word = |value: serde_json::Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let trigger = word(serde_json::to_value(eval.trigger).expect("a word"));
    let Some(outcome) = eval.outcome.as_ref() else { return format!("{}: asked, {trigger}", eval.job.name) };
    let mut line = match eval.status {
        EvalStatus::Complete => format!("{}: answered, {trigger}", eval.job.name),
        status => {
            format!("{}: {}, {trigger}", eval.job.name, word(serde_json::to_value(status).expect("a word")))
        }
    };
    for (group, queued) in &outcome.queued {
        write!(line, ", {group} queued {queued}").expect("writing to a string");
    }
    line
}

fn tell_state(id: &JobId, state: &JobState) -> String {
    let mut lines = Vec::new();
    for (group, want) in state.wants.iter().flat_map(|(group, wants)| wants.iter().map(move |w| (group, w))) {
        lines.push(match want {
            Want::Room { count, why, .. } => {
                format!("  {}.{group} waits for room for {count}\n{}", id.name, tell_why(why))
            }
            Want::Time { count, at, .. } => {
                format!("  {}.{group} waits until {} to replace {count}", id.name, at.0 / 1_000_000_000)
            }
            Want::Floor { count, floor, .. } => {
                format!("  {}.{group} waits for more than {floor} running to replace {count}", id.name)
            }
        });
    }
    lines.join("\n")
}

fn tell_why(why: &PlacementFailure) -> String {
    let mut lines = vec![format!(
        "    {} nodes: {} filtered, {} exhausted; available {:?}",
        why.nodes_evaluated, why.nodes_filtered, why.nodes_exhausted, why.nodes_available
    )];
    lines.extend(why.filtered.iter().map(|(check, n)| format!("    {check} on {n} nodes")));
    for (dimension, n) in &why.exhausted {
        let short =
            why.shortfall.get(dimension).map(|short| format!(", short by {short}")).unwrap_or_default();
        lines.push(format!("    {dimension} exhausted on {n} nodes{short}"));
    }
    lines.extend(
        why.nodes.iter().map(|r| format!("    {}: {}: has {}, wanted {}", r.node, r.check, r.seen, r.wanted)),
    );
    lines.join("\n")
}
