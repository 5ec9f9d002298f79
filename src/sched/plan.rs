//! One run of the planner for one job: from a World to units, and what stays unmet.
//!
//! The run places on a working copy of the rooms. Each instance makes a unit of its own (its stop and its successor
//! together); units come in order of node, so that those of one transaction share their guards.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    AllocId, EvalId, Job, JobId, JobUid, Key, Name, NodeId, Timestamp, Unit,
    job::{JobType, TaskGroup},
    records::{AllocRecord, ClientStatus, Desired, PlacementFailure, StopReason, Want},
};
use encamp_world::{AllocEntry, Registration, Stored, World};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    Checks, Demand, Fleet, Pace,
    checks::{Distinct, shape},
    group::{Decision, Slot, Wanted, decide, digest_of, neighbours},
    pace::{Wait, allowance},
    place::{Chain, Neighbours, Placer, Spot},
    score::penalty,
    sites::Sites,
    why::{bound, explain},
};

/// What comes into a run besides the World.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The job.
    pub job: &'a JobId,
    /// The planner's now.
    pub now: Timestamp,
    /// The evaluation that placements are attributed to.
    pub eval: EvalId,
    /// Replace allocations that failed after their restart policy, too, if they were placed at or before this
    /// revision: that of the evaluation that asks for it. What fails after it was asked is not meant.
    pub force: Option<i64>,
    /// Seed of the choices that are free (dynamic ports).
    pub seed: u64,
    /// Changes of allocations after which the run is cut.
    pub budget: usize,
}

/// What a run decided.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Changes of allocations, in order of node.
    pub units: Vec<Unit>,
    /// Unmet wants by group, once the units are written. Complete only if the run was neither cut nor too early.
    pub wants: BTreeMap<Name, Vec<Want>>,
    /// When the last batch of an update began, for the groups of which one is under way.
    pub batches: BTreeMap<Name, Timestamp>,
    /// Why groups could not be placed.
    pub failed: BTreeMap<Name, PlacementFailure>,
    /// Instances that could not be placed.
    pub queued: BTreeMap<Name, u32>,
    /// There is more to do than the budget allowed.
    pub cut: bool,
    /// Something fits nowhere only because of placements that etcd has not confirmed: look again when it has.
    pub early: bool,
}

impl Plan {
    /// Nothing is left to do but what `wants` says.
    pub fn is_settled(&self) -> bool {
        !self.cut && !self.early
    }
}

/// Plans one job. `new_id` gives ids for new allocations.
///
/// A job whose declaration cannot be read is not planned: see [`is_plannable`].
pub fn plan(
    world: &World,
    fleet: &mut Fleet,
    request: Request<'_>,
    new_id: &mut dyn FnMut() -> AllocId,
) -> Plan {
    let Some(entry) = world.job(request.job) else { return Plan::default() };
    let current = entry.job.as_deref();
    let uid = current.and_then(|job| job.uid);
    let mut run = Run::new(world, fleet, request, new_id);
    for old in entry.uids.iter().filter(|old| Some(**old) != uid) {
        run.purged(*old);
    }
    if let (Some(job), Some(uid)) = (current, uid) {
        run.job(job, uid);
    }
    run.finish()
}

/// Can the planner look at this job? Not while its declaration or its state is unreadable. A declaration without a uid
/// (nobody of ours writes one) says nothing of what runs under its name: it is no purge.
pub fn is_plannable(world: &World, job: &JobId) -> bool {
    let declared = world.job(job).and_then(|entry| entry.job.as_deref());
    if declared.is_some_and(|declared| declared.uid.is_none()) {
        return false;
    }
    // Most often nothing is, and then no key needs to be looked for.
    world.opaque().next().is_none()
        || !(world.is_opaque(&Key::Job(job.clone())) || world.is_opaque(&Key::JobState(job.clone())))
}

struct Run<'w, 'r> {
    world: &'w World,
    fleet: &'r mut Fleet,
    request: Request<'r>,
    new_id: &'r mut dyn FnMut() -> AllocId,
    sites: Option<Sites<'w>>,
    /// Units with the node that they are about.
    units: Vec<(NodeId, Unit)>,
    /// Placements of this run that share a host with nobody, by group.
    placed: Vec<(Name, NodeId, AllocId)>,
    job_key: Key,
    job_revision: i64,
    plan: Plan,
}

impl<'w, 'r> Run<'w, 'r> {
    fn new(
        world: &'w World,
        fleet: &'r mut Fleet,
        request: Request<'r>,
        new_id: &'r mut dyn FnMut() -> AllocId,
    ) -> Self {
        let job_key = Key::Job(request.job.clone());
        let job_revision = world.mod_revision(&job_key);
        Run {
            world,
            fleet,
            request,
            new_id,
            sites: None,
            units: Vec::new(),
            placed: Vec::new(),
            job_key,
            job_revision,
            plan: Plan::default(),
        }
    }

    /// Stops everything of a registration that is no longer the current one. What has ended is gc's at once, told to
    /// stop or not: two writers of one record would lose against each other.
    fn purged(&mut self, uid: JobUid) {
        let Some(registration) = self.world.registration(uid) else { return };
        let open = |a: &AllocEntry| !a.is_terminal() || a.said() == ClientStatus::Lost;
        let wanted = registration.allocs.values().filter(|a| a.record.desired == Desired::Run);
        for alloc in wanted.filter(|a| open(a)) {
            self.stop(alloc, StopReason::JobPurged);
        }
    }

    fn job(&mut self, job: &Stored<Job>, uid: JobUid) {
        let nothing = Registration::default();
        let registration = self.world.registration(uid).map_or(&nothing, |r| &**r);
        let mut allocs: BTreeMap<&Name, Vec<&'w AllocEntry>> = BTreeMap::new();
        if let Some(stored) = self.world.registration(uid) {
            for alloc in stored.allocs.values() {
                allocs.entry(&alloc.record.group).or_default().push(alloc);
            }
        }
        for (name, allocs) in &allocs {
            if job.stop || job.group(name).is_none() {
                let reason = if job.stop { StopReason::JobStopped } else { StopReason::NotNeeded };
                for alloc in allocs.iter().filter(|a| a.record.desired == Desired::Run) {
                    self.stop(alloc, reason);
                }
            }
        }
        if job.stop {
            return;
        }
        for group in &job.task_groups {
            let allocs = allocs.get(&group.name).map_or(&[][..], |a| &a[..]);
            self.group(job, group, registration, allocs);
        }
    }

    fn group(
        &mut self,
        job: &Job,
        group: &TaskGroup,
        registration: &Registration,
        allocs: &[&'w AllocEntry],
    ) {
        let checks = Checks::of(job, group);
        let world = self.world;
        let wanted = Wanted {
            count: u32::try_from(group.count()).unwrap_or(u32::MAX),
            excess: StopReason::NotNeeded,
            version: job.version,
            digest: Some(digest_of(registration, job, group)),
            force: self.request.force,
            is_batch: job.kind == JobType::Batch,
            is_down: &|alloc| world.node(alloc.node).is_some_and(|n| n.is_down()),
            may_stay: &|alloc| {
                let info = world.node(alloc.node).and_then(|n| n.info.as_deref());
                info.is_none_or(|info| checks.hold_on(info))
            },
        };
        let occupied: BTreeSet<u32> =
            registration.occupied.values().filter(|o| o.group == group.name).map(|o| o.index).collect();
        let decision = decide(registration, allocs, &occupied, &wanted);
        for (alloc, reason) in &decision.stop {
            self.stop(alloc, *reason);
        }
        for alloc in &decision.rewrite {
            self.rewrite(alloc, job.version);
        }
        let last = self.last_batch(job, group, registration, allocs);
        if let Some(last) = last {
            self.plan.batches.insert(group.name.clone(), last);
        }
        let place = Place { job, group, checks: &checks, registration, allocs, last };
        self.place(&place, &decision);
    }

    /// When the last batch of this group's update began: what the job's state remembers, or the latest successor of
    /// the present version, whichever is later. So it survives both a failover and a lost state. What a clock far ahead noted is no instant.
    fn last_batch(
        &self,
        job: &Job,
        group: &TaskGroup,
        registration: &Registration,
        allocs: &[&AllocEntry],
    ) -> Option<Timestamp> {
        let pace = Pace::of(job, group)?;
        let past = |at: &Timestamp| !pace.is_ahead(*at, self.request.now);
        let state = self.world.job(self.request.job).and_then(|entry| entry.state_of(job.uid?));
        let noted = state.and_then(|s| s.batches.get(&group.name).copied());
        let visible = digest_of(registration, job, group).visible;
        let made = allocs.iter().filter(|alloc| {
            let record = &alloc.record;
            let present = record.version == job.version
                || registration.digest(record.version, &group.name).is_some_and(|d| d.visible == visible);
            let before = record.previous.and_then(|id| self.world.alloc(id)).and_then(|a| a.record.reason);
            present && matches!(before, Some(StopReason::Updated | StopReason::Constraint))
        });
        made.map(|alloc| alloc.record.value.created).chain(noted).filter(past).max()
    }

    fn place(&mut self, place: &Place<'_, 'w>, decision: &Decision<'w>) {
        let Place { job, group, last, .. } = *place;
        let pace = Pace::of(job, group);
        let allowed = allowance(pace, group.count(), decision.running, last, self.request.now);
        let batch = &decision.paced[..allowed.now.min(decision.paced.len())];
        let rest = decision.paced.len() - batch.len();
        if decision.at_once.is_empty() && batch.is_empty() && decision.forced.is_empty() {
            self.note_rest(group, job.version, rest, allowed.then);
            return;
        }
        let demand = Demand::of(group);
        let mut sites = self.sites.take().unwrap_or_else(|| Sites::of(self.world, self.fleet));
        let neighbours = self.neighbours(place, decision);
        let alone = !neighbours.refused.is_empty();
        let mut placer = Placer::new(&sites, place.checks, &demand, penalty(job.kind), neighbours);
        let mut failed = Failed::default();
        let phases = [(&decision.at_once[..], false), (batch, false), (&decision.forced[..], true)];
        for (slots, forced) in phases {
            for slot in slots {
                if self.is_spent() {
                    break;
                }
                if !self.instance(place, &demand, &mut sites, &mut placer, slot) {
                    failed.count(slot, forced);
                }
            }
        }
        if pace.is_some() && batch.iter().any(|slot| !failed.indexes.contains(&slot.index)) {
            self.plan.batches.insert(group.name.clone(), self.request.now);
        }
        failed.more = decision.more;
        self.plan.cut |= failed.indexes.is_empty() && failed.more > 0;
        failed.paced_rest = batch.iter().any(|slot| failed.indexes.contains(&slot.index));
        if !failed.indexes.is_empty() && !self.plan.cut {
            self.plan.early |= placer.fits_unassumed(&sites);
        }
        if !failed.indexes.is_empty() && self.plan.is_settled() {
            let why = explain(
                self.world,
                &sites,
                &placer,
                place.checks,
                &demand,
                failed.indexes.len() + failed.more,
            );
            let shape = shape(job, group, &demand, alone || failed.replacing);
            self.note_failed(place, why, shape, &failed, rest);
        }
        if !failed.paced_rest {
            self.note_rest(group, job.version, rest, allowed.then);
        }
        self.sites = Some(sites);
    }

    /// Finds a node for one instance; false if there is none.
    fn instance(
        &mut self,
        place: &Place<'_, 'w>,
        demand: &Demand,
        sites: &mut Sites<'w>,
        placer: &mut Placer<'_>,
        slot: &Slot<'w>,
    ) -> bool {
        let seed = self.seed(&place.group.name, slot.index);
        let free = placer.anywhere(sites, seed);
        let (spot, chain) = match free {
            Some(spot) => (spot, None),
            None => {
                // Nothing is free anywhere: in the room of the one that it follows, if that one still has it.
                let chain = slot.old.and_then(|(old, _)| Chain::of(self.world, old));
                let Some(spot) = chain.as_ref().and_then(|c| placer.beside(sites, c, seed)) else {
                    return false;
                };
                (spot, chain)
            }
        };
        let id = (self.new_id)();
        placer.took(sites, &spot, id, chain.as_ref());
        let node = sites.list[spot.site].id;
        self.placed.push((place.group.name.clone(), node, id));
        self.write_placement(place, demand, slot, node, id, spot);
        true
    }

    fn write_placement(
        &mut self,
        place: &Place<'_, 'w>,
        demand: &Demand,
        slot: &Slot<'w>,
        node: NodeId,
        id: AllocId,
        spot: Spot,
    ) {
        let mut unit = self.unit();
        self.gate(&mut unit, node);
        let intents = Key::NodeIntents(node);
        let at = self.world.mod_revision(&intents);
        unit.unchanged(intents, at);
        if let Some((old, reason)) = slot.old {
            if matches!(reason, StopReason::NodeDown | StopReason::Constraint) {
                self.gate(&mut unit, old.node);
            }
            put_stop(&mut unit, old, reason, Some(id));
        }
        let record = AllocRecord {
            uid: place.job.uid.expect("a stored job has a uid"),
            version: place.job.version,
            group: place.group.name.clone(),
            index: slot.index,
            desired: Desired::Run,
            reason: None,
            ask: demand.ask,
            ports: spot.ports,
            after: spot.after,
            previous: slot.old.map(|(old, _)| old.id),
            next: None,
            eval: self.request.eval,
            created: self.request.now,
        };
        unit.place(node, id, record);
        self.units.push((node, unit));
    }

    fn stop(&mut self, alloc: &AllocEntry, reason: StopReason) {
        if self.is_spent() {
            return;
        }
        let mut unit = self.unit();
        put_stop(&mut unit, alloc, reason, None);
        self.units.push((alloc.node, unit));
    }

    /// The agent reads another version from now on; nothing that its tasks can see differs.
    fn rewrite(&mut self, alloc: &AllocEntry, version: u64) {
        if self.is_spent() {
            return;
        }
        let mut unit = self.unit();
        let key = Key::Alloc(alloc.node, alloc.id);
        unit.exists(key.clone()).put(key, &AllocRecord { version, ..alloc.record.value.clone() });
        self.units.push((alloc.node, unit));
    }

    /// A unit that rests on the job being what this World says.
    fn unit(&self) -> Unit {
        let mut unit = Unit::new();
        unit.unchanged(self.job_key.clone(), self.job_revision);
        unit
    }

    fn gate(&self, unit: &mut Unit, node: NodeId) {
        let key = Key::NodeState(node);
        let at = self.world.mod_revision(&key);
        unit.unchanged(key, at);
    }

    fn is_spent(&mut self) -> bool {
        self.plan.cut |= self.units.len() >= self.request.budget;
        self.plan.cut
    }

    fn neighbours(&self, place: &Place<'_, 'w>, decision: &Decision<'w>) -> Neighbours {
        let mut neighbours =
            neighbours(self.world, place.job, place.group, place.checks, place.registration, place.allocs);
        neighbours.alike = decision.kept.iter().map(|a| a.node).collect();
        // Groups share no hosts with each other only if the whole job says so.
        for (group, node, id) in &self.placed {
            let all = place.checks.distinct == Distinct::Job;
            if all || (place.checks.distinct == Distinct::Group && *group == place.group.name) {
                neighbours.apart.entry(*node).or_default().insert(*id);
            }
        }
        neighbours
    }

    fn note_failed(
        &mut self,
        place: &Place<'_, 'w>,
        why: PlacementFailure,
        shape: u64,
        failed: &Failed,
        rest: usize,
    ) {
        let name = &place.group.name;
        self.plan.queued.insert(name.clone(), count(failed.indexes.len() + failed.more));
        self.plan.failed.insert(name.clone(), why.clone());
        // Where one of a batch finds no room, those after it would not either.
        let lasting =
            failed.indexes.len() + failed.more - failed.forced + if failed.paced_rest { rest } else { 0 };
        if lasting > 0 {
            let want = Want::Room {
                count: count(lasting),
                version: place.job.version,
                shape,
                revision: self.world.revision(),
                why,
            };
            self.plan.wants.entry(name.clone()).or_default().push(want);
        }
    }

    fn note_rest(&mut self, group: &TaskGroup, version: u64, rest: usize, then: Wait) {
        if rest == 0 {
            return;
        }
        let rest = count(rest);
        let want = match then {
            Wait::Time(at) => Want::Time { count: rest, version, at },
            Wait::Floor(floor) => Want::Floor { count: rest, version, floor },
        };
        self.plan.wants.entry(group.name.clone()).or_default().push(want);
    }

    fn seed(&self, group: &Name, index: u32) -> u64 {
        xxh3_64_with_seed(group.as_bytes(), self.request.seed.wrapping_add(u64::from(index)))
    }

    fn finish(mut self) -> Plan {
        self.units.sort_by_key(|(node, _)| *node);
        self.plan.units = self.units.into_iter().map(|(_, unit)| unit).collect();
        // A batch matters only while more of it are to come.
        let wants = &self.plan.wants;
        self.plan.batches.retain(|group, _| {
            let unmet = wants.get(group).map_or(&[][..], |w| &w[..]);
            !unmet.is_empty()
        });
        bound(&mut self.plan.failed);
        for (group, wants) in &mut self.plan.wants {
            for want in wants {
                if let (Want::Room { why, .. }, Some(bounded)) = (want, self.plan.failed.get(group)) {
                    why.clone_from(bounded);
                }
            }
        }
        self.plan
    }
}

/// What placing a group rests on.
struct Place<'a, 'w> {
    job: &'a Job,
    group: &'a TaskGroup,
    checks: &'a Checks,
    registration: &'a Registration,
    allocs: &'a [&'w AllocEntry],
    last: Option<Timestamp>,
}

/// The instances of a group that found no node.
#[derive(Default)]
struct Failed {
    indexes: BTreeSet<u32>,
    /// Of these, failed ones that were to be replaced by force: that is tried once.
    forced: usize,
    /// One of them follows an allocation that still runs.
    replacing: bool,
    /// One of the present batch is among them.
    paced_rest: bool,
    /// Instances that were not even tried since those before them failed.
    more: usize,
}

impl Failed {
    fn count(&mut self, slot: &Slot<'_>, forced: bool) {
        self.indexes.insert(slot.index);
        self.forced += usize::from(forced);
        self.replacing |= slot.old.is_some_and(|(old, _)| !old.is_terminal());
    }
}

fn put_stop(unit: &mut Unit, alloc: &AllocEntry, reason: StopReason, next: Option<AllocId>) {
    let key = Key::Alloc(alloc.node, alloc.id);
    let record = AllocRecord {
        desired: Desired::Stop,
        reason: Some(reason),
        next: next.or(alloc.record.next),
        ..alloc.record.value.clone()
    };
    unit.exists(key.clone()).put(key, &record);
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
