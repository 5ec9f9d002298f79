//! What each input changes. Decisions are left to the pass.

use std::{collections::BTreeMap, sync::Arc};

use encamp_model::{AllocId, JobId, JobUid, records::Desired};

use super::{AllocState, Core, Entry, Input, Moment, Text, alloc::Alloc, alloc::Wanted};

/// First pause before a job text is asked for again; doubles up to [`FETCH_PAUSE_MAX_NS`].
const FETCH_PAUSE_NS: u64 = 1_000_000_000;
const FETCH_PAUSE_MAX_NS: u64 = 30_000_000_000;

impl Core {
    /// Takes in what happened at `now`.
    pub fn apply(&mut self, input: Input, now: &Moment) {
        match input {
            Input::Registered { good_until_ns } => {
                self.registered = true;
                self.lease_until_ns = good_until_ns;
                self.need_list();
            }
            Input::Told(told) => self.told = told,
            Input::Renewed { sent_ns, good_until_ns } => {
                // A renewal sent after the lease's time was up bridges a gap in which anything may have been decided.
                if sent_ns >= self.lease_until_ns {
                    self.need_list();
                }
                self.lease_until_ns = self.lease_until_ns.max(good_until_ns);
            }
            Input::LeaseLost => {
                self.registered = false;
                self.lease_until_ns = 0;
                self.need_list();
            }
            Input::Listed { epoch, entries } => self.listed_now(epoch, entries),
            Input::Put(id, entry) => self.put(id, entry),
            Input::Removed(id) => self.absent(id, false),
            Input::WatchLost => self.need_list(),
            Input::ClusterIsOurs { absences } => self.confirm(absences),
            Input::ClusterIsForeign => {
                self.foreign = true;
                self.need_list();
            }
            Input::JobText { uid, version, text } => {
                let failures = match self.jobs.get(&(uid, version)) {
                    Some(Text::Asked { failures }) => *failures,
                    _ => 0,
                };
                let text = match text {
                    Ok(job) => Text::Known(job),
                    Err(why) => {
                        let pause = FETCH_PAUSE_NS << failures.min(5);
                        let retry_ns = now.boot_ns + pause.min(FETCH_PAUSE_MAX_NS);
                        if let Some(job) = &why.job {
                            self.unread(uid, version, job, &why.reason);
                        }
                        Text::Failed { retry_ns, failures: failures + 1 }
                    }
                };
                self.jobs.insert((uid, version), text);
            }
            Input::Recovered(run, found) => self.recovered(&run, found, now),
            Input::Started(run, at) => self.started(&run, at),
            Input::StartFailed(run, failure) => self.start_failed(&run, failure, now),
            Input::Ended(run, ended) => self.run_ended(&run, &ended, now),
            Input::StopFailed(run, reason) => self.stop_failed(&run, &reason, now),
            Input::Node(info) => self.info = Some(info),
            Input::Leave => {
                self.leaving = true;
                self.unsettled.extend(self.allocs.keys());
            }
        }
    }

    /// A version's text is there and cannot be read: what has none to go by says so.
    fn unread(&mut self, uid: JobUid, version: u64, job: &JobId, reason: &str) {
        for (id, alloc) in &mut self.allocs {
            let names_it = alloc.record().is_some_and(|r| (r.uid, r.version) == (uid, version));
            if names_it && alloc.job.is_none() && !alloc.ended() {
                alloc.saved.job.get_or_insert_with(|| job.clone());
                alloc.waits = format!("version {version} of its job cannot be read: {reason}");
                alloc.dirty = true;
                self.unsettled.insert(*id);
            }
        }
    }

    pub(super) fn need_list(&mut self) {
        // One more than any list that was asked for: an answer under way is too old.
        self.list_needed = self.list_asked + 1;
    }

    fn listed_now(&mut self, epoch: u64, entries: BTreeMap<AllocId, Entry>) {
        if epoch != self.list_needed {
            return;
        }
        self.list_done = epoch;
        self.foreign = false;
        let gone: Vec<AllocId> = self.allocs.keys().filter(|id| !entries.contains_key(id)).copied().collect();
        for id in gone {
            // `cluster` was read after the list, so this absence is confirmed.
            self.absent(id, true);
        }
        for (id, entry) in entries {
            self.put(id, entry);
        }
        for (id, told) in std::mem::take(&mut self.told) {
            if let Some(alloc) = self.allocs.get_mut(&id) {
                alloc.heed(told);
                self.unsettled.insert(id);
            }
        }
        self.stops_first = self
            .allocs
            .iter()
            .filter(|(_, a)| a.occupies() && (a.told_to_stop().is_some() || a.ended()))
            .map(|(id, _)| *id)
            .collect();
    }

    fn put(&mut self, id: AllocId, entry: Entry) {
        self.unsettled.insert(id);
        let Entry::Record(record) = entry else {
            match self.allocs.get_mut(&id) {
                Some(alloc) => alloc.wanted = Wanted::Opaque,
                None => {
                    let alloc = Alloc::new(self.blank(), Wanted::Opaque);
                    self.allocs.insert(id, alloc);
                }
            }
            return;
        };
        if !self.allocs.contains_key(&id) {
            let alloc = Alloc::new(self.blank(), Wanted::Record);
            self.allocs.insert(id, alloc);
        }
        let alloc = self.allocs.get_mut(&id).expect("just inserted");
        alloc.wanted = Wanted::Record;
        let news = match &alloc.saved.record {
            // Stop is for good: an older value that comes back (a restored etcd) does not undo it.
            Some(old) => *old != record && !(old.desired == Desired::Stop && record.desired == Desired::Run),
            None => true,
        };
        if news {
            alloc.saved.record = Some(Arc::clone(&record));
            alloc.dirty = true;
        }
        if let Some(told) = alloc.told.take() {
            alloc.heed(told);
        }
    }

    pub(super) fn blank(&self) -> AllocState {
        AllocState {
            record: None,
            version: None,
            job: None,
            tasks: BTreeMap::new(),
            ending: None,
            verdict: None,
            boot_id: self.boot_id.clone(),
        }
    }

    fn absent(&mut self, id: AllocId, confirmed: bool) {
        let Some(alloc) = self.allocs.get_mut(&id) else { return };
        if matches!(alloc.wanted, Wanted::Absent { confirmed: true, .. }) {
            return;
        }
        self.unsettled.insert(id);
        self.absences += 1;
        alloc.wanted = Wanted::Absent { seen: self.absences, confirmed };
    }

    fn confirm(&mut self, absences: u64) {
        for alloc in self.allocs.values_mut() {
            if let Wanted::Absent { seen, confirmed } = &mut alloc.wanted
                && *seen <= absences
            {
                *confirmed = true;
            }
        }
    }
}
