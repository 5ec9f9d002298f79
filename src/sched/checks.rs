//! Which nodes may run a group at all, whatever room they have.
//!
//! All properties of a node that are not its own alone make its *class* (see [`crate::fleet`]), and most checks ask
//! for those only: they are answered once a class. Checks that name something unique are asked of every node.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    Job, Name,
    job::{Constraint, TaskGroup},
    records::{DriverInfo, NodeInfo, NodeReason},
};

use crate::constraint::{DISTINCT_HOSTS, Rule, operand_name};

/// One thing that a node must be or have.
#[derive(Clone, Debug)]
enum Check {
    Datacenter(Vec<String>),
    Driver(String),
    Rule(Rule),
}

/// Which allocations of the job must be on different nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinct {
    /// None.
    No,
    /// Those of the group.
    Group,
    /// All of the job.
    Job,
}

/// All checks of a group, those of its job and tasks included.
#[derive(Clone, Debug)]
pub struct Checks {
    by_class: Vec<Check>,
    by_node: Vec<Check>,
    /// `distinct_hosts`.
    pub distinct: Distinct,
}

/// Answers by class, for one group and one World.
pub(crate) type Verdicts = BTreeMap<u64, Option<usize>>;

impl Checks {
    /// The checks of a group.
    pub fn of(job: &Job, group: &TaskGroup) -> Checks {
        let mut all = Vec::new();
        if !job.datacenters.is_empty() {
            all.push(Check::Datacenter(job.datacenters.clone()));
        }
        let drivers: BTreeSet<&String> = group.tasks.iter().map(|t| &t.driver).collect();
        all.extend(drivers.into_iter().map(|d| Check::Driver(d.clone())));
        let of_tasks = group.tasks.iter().flat_map(|t| &t.constraints);
        let constraints = job.constraints.iter().chain(&group.constraints).chain(of_tasks);
        all.extend(constraints.filter_map(Rule::of).map(Check::Rule));
        let (by_node, by_class) = all.into_iter().partition(Check::is_unique);
        Checks { by_class, by_node, distinct: distinct(job, group) }
    }

    /// May the node run the group? Answers of the node's class are remembered in `verdicts`.
    pub(crate) fn hold(&self, node: &NodeInfo, class: u64, verdicts: &mut Verdicts) -> bool {
        let of_class = *verdicts
            .entry(class)
            .or_insert_with(|| self.by_class.iter().position(|check| !check.holds(node)));
        of_class.is_none() && self.by_node.iter().all(|check| check.holds(node))
    }

    /// May this one node run the group?
    pub fn hold_on(&self, node: &NodeInfo) -> bool {
        self.by_class.iter().chain(&self.by_node).all(|check| check.holds(node))
    }

    /// The first check that the node fails: the words it is counted under, and what was seen and wanted.
    pub(crate) fn refusal(&self, node: &NodeInfo) -> Option<(String, NodeReason)> {
        let failed = self.by_class.iter().chain(&self.by_node).find(|check| !check.holds(node))?;
        Some(failed.refusal(node))
    }

    /// The datacenters that the job names; none means every one.
    pub(crate) fn datacenters(&self) -> &[String] {
        match self.by_class.first() {
            Some(Check::Datacenter(wanted)) => wanted,
            _ => &[],
        }
    }
}

impl Check {
    fn is_unique(&self) -> bool {
        matches!(self, Check::Rule(rule) if rule.is_unique())
    }

    fn holds(&self, node: &NodeInfo) -> bool {
        match self {
            Check::Datacenter(wanted) => wanted.iter().any(|w| glob(w, &node.datacenter)),
            Check::Driver(name) => node.drivers.get(name).is_some_and(|d| d.detected && d.healthy),
            Check::Rule(rule) => rule.holds(node),
        }
    }

    fn refusal(&self, node: &NodeInfo) -> (String, NodeReason) {
        let (counted, check, seen, wanted) = match self {
            Check::Datacenter(wanted) => {
                ("datacenter".to_owned(), "datacenter".to_owned(), node.datacenter.clone(), wanted.join(", "))
            }
            Check::Driver(name) => {
                let check = format!("driver {name}");
                match node.drivers.get(name) {
                    Some(driver) if driver.detected => {
                        let (seen, wanted) = (unhealthy(driver), "a healthy one".to_owned());
                        (format!("{check} unhealthy"), check, seen, wanted)
                    }
                    _ => (format!("{check} missing"), check, usable(node), name.to_owned()),
                }
            }
            Check::Rule(rule) => {
                (rule.text().to_owned(), rule.text().to_owned(), rule.seen(node), rule.wanted().to_owned())
            }
        };
        (counted, NodeReason { node: node.name.clone(), check, seen, wanted })
    }
}

fn unhealthy(driver: &DriverInfo) -> String {
    match driver.description.as_str() {
        "" => "an unhealthy one".to_owned(),
        why => format!("an unhealthy one: {why}"),
    }
}

/// The drivers that a node could run something with.
fn usable(node: &NodeInfo) -> String {
    let usable = node.drivers.iter().filter(|(_, driver)| driver.detected && driver.healthy);
    let names: Vec<&str> = usable.map(|(name, _)| &**name).collect();
    if names.is_empty() { "no driver".to_owned() } else { format!("only {}", names.join(", ")) }
}

fn distinct(job: &Job, group: &TaskGroup) -> Distinct {
    let asks = |constraints: &[Constraint]| {
        constraints.iter().any(|c| operand_name(c) == DISTINCT_HOSTS && c.r_target.trim() != "false")
    };
    match (asks(&job.constraints), asks(&group.constraints)) {
        (true, _) => Distinct::Job,
        (false, true) => Distinct::Group,
        (false, false) => Distinct::No,
    }
}

/// Does `text` match a pattern in which `*` stands for any text?
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts: Vec<&str> = pattern.split('*').collect();
    let (Some(last), false) = (parts.pop(), parts.is_empty()) else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(parts[0]) else { return false };
    // The first match of each part leaves the most for those after it.
    for part in &parts[1..] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Two groups of equal shape fit the same nodes: what the one waits for in vain, the other does, too.
pub(crate) fn shape(job: &Job, group: &TaskGroup, demand: &crate::Demand, alone: bool) -> u64 {
    let ask = demand.ask;
    let fixed: Vec<u16> = demand.ports.iter().filter_map(|p| p.value).collect();
    let drivers: BTreeSet<&str> = group.tasks.iter().map(|t| t.driver.as_str()).collect();
    let of_tasks: Vec<_> = group.tasks.iter().flat_map(|t| &t.constraints).collect();
    let of_job = (&job.datacenters, &job.constraints, &group.constraints, of_tasks);
    // What else bears on one group alone (hosts it may not share, nodes that refused it) makes a shape of its own.
    let own: Option<(Name, Option<encamp_model::JobUid>)> =
        (alone || distinct(job, group) != Distinct::No).then(|| (group.name.clone(), job.uid));
    let asks = (ask.cpu, ask.memory_mb, ask.disk_mb, demand.ports.len(), fixed);
    encamp_model::digest::hash(&(asks, drivers, of_job, own))
}
