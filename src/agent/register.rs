//! How a node comes to be known: `info` and `lease` written together, once it is certain whose the node is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use encamp_model::{
    AllocId, ClusterUid, Key, Keyspace, NodeId,
    records::{AllocStatus, ClusterRecord, LAYOUT, LeaseRecord, NodeInfo},
};
use encamp_store::{Compare, Kv, LeaseId, Op, Range, Revision, Store, Txn};

use crate::{
    Clock, Error,
    core::Moment,
    report::{Identity, json},
    retry::pauses,
};

/// Everything that speaking to etcd as this node needs.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) me: Identity,
    pub(crate) clock: Clock,
    pub(crate) ttl: Duration,
}

impl Link {
    /// Now, with a random number.
    pub(crate) fn moment(&self) -> Moment {
        Moment { boot_ns: self.clock.boot_ns(), wall: self.clock.now(), random: rand::random() }
    }
}

/// A registered node.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) cluster: ClusterUid,
    pub(crate) lease: LeaseId,
    pub(crate) epoch: Revision,
    pub(crate) good_until_ns: u64,
    pub(crate) info: Arc<NodeInfo>,
    pub(crate) told: BTreeMap<AllocId, Arc<AllocStatus>>,
}

/// What `cluster` says, to this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// There is no such key (yet).
    Nobody,
    /// This installation's, at this mod revision.
    Cluster(ClusterUid, Revision),
    /// Written by a newer layout.
    Newer(u32),
    /// It cannot be decoded.
    Unreadable,
}

impl Whose {
    /// What the record says, if it is there.
    pub(crate) fn read(kv: Option<&Kv>) -> Self {
        let Some(kv) = kv else { return Whose::Nobody };
        match serde_json::from_slice::<ClusterRecord>(&kv.value) {
            Ok(record) if record.layout > LAYOUT => Whose::Newer(record.layout),
            Ok(record) => Whose::Cluster(record.uid, kv.mod_revision),
            Err(_) => Whose::Unreadable,
        }
    }
}

/// The way to a lease key that is not ours.
enum Claim {
    /// Nobody has it, or we may take it: its mod revision (0: absent).
    Take(Revision),
    /// Another agent has it.
    Held(LeaseRecord),
}

impl Link {
    pub(crate) fn key(&self, key: &Key) -> String {
        self.me.keys.encode(key)
    }

    pub(crate) fn node(&self) -> NodeId {
        self.me.node
    }

    pub(crate) fn keys(&self) -> &Keyspace {
        &self.me.keys
    }

    /// Reads `cluster`, linearizably.
    pub(crate) async fn whose(&self) -> Result<Whose, encamp_store::Error> {
        let (kv, _) = self.store.get(self.key(&Key::Cluster).as_bytes()).await?;
        Ok(Whose::read(kv.as_ref()))
    }

    async fn claim(&self) -> Result<Claim, encamp_store::Error> {
        let (kv, _) = self.store.get(self.key(&Key::NodeLease(self.node())).as_bytes()).await?;
        let Some(kv) = kv else { return Ok(Claim::Take(0)) };
        let mine = &self.me.record;
        Ok(match serde_json::from_slice::<LeaseRecord>(&kv.value) {
            // Ours from an attempt without an answer; or of an agent that cannot be alive, since we hold its lock.
            Ok(theirs)
                if theirs.instance == mine.instance
                    || (theirs.boot_id == mine.boot_id && theirs.lock == mine.lock) =>
            {
                Claim::Take(kv.mod_revision)
            }
            Ok(theirs) => Claim::Held(theirs),
            Err(_) => Claim::Held(LeaseRecord {
                instance: encamp_model::InstanceId::from_bits(0),
                http_addr: "an unknown address".to_owned(),
                boot_id: String::new(),
                lock: String::new(),
            }),
        })
    }

    /// Writes `info` and `lease` in one transaction; `None` if somebody was faster.
    async fn write(
        &self,
        info: &Arc<NodeInfo>,
        cluster: (ClusterUid, Revision),
        seen: Revision,
    ) -> Result<Option<Registered>, encamp_store::Error> {
        let sent_ns = self.clock.boot_ns();
        let lease = self.store.lease_grant(self.ttl).await?;
        let lease_key = self.key(&Key::NodeLease(self.node()));
        let txn = Txn::new()
            .when(Compare::unchanged(self.key(&Key::Cluster), cluster.1))
            .when(Compare::unchanged(lease_key.clone(), seen))
            .then(Op::put(self.key(&Key::NodeInfo(self.node())), json(&**info)))
            .then(Op::put_on_lease(lease_key, json(&self.me.record), lease));
        let answer = self.store.txn(txn).await?;
        if !answer.succeeded {
            // Nothing is on it. If this fails, it ends by itself.
            let _ = self.store.lease_revoke(lease).await;
            return Ok(None);
        }
        let told = self.told().await?;
        let ttl_ns = u64::try_from(self.ttl.as_nanos()).unwrap_or(u64::MAX);
        Ok(Some(Registered {
            cluster: cluster.0,
            lease,
            epoch: answer.revision,
            good_until_ns: sent_ns.saturating_add(ttl_ns),
            info: Arc::clone(info),
            told,
        }))
    }

    /// What etcd holds of our statuses: what is there already need not be said again.
    async fn told(&self) -> Result<BTreeMap<AllocId, Arc<AllocStatus>>, encamp_store::Error> {
        let any = self.key(&Key::AllocStatus(self.node(), AllocId::from_bits(0)));
        let folder = any.rsplit_once('/').map_or(any.as_str(), |(folder, _)| folder);
        let listing = self.store.list(&Range::prefix(format!("{folder}/"))).await?;
        let decode = |kv: &Kv| match self.keys().decode(&kv.key) {
            Some(Key::AllocStatus(_, id)) => Some((id, Arc::new(serde_json::from_slice(&kv.value).ok()?))),
            _ => None,
        };
        Ok(listing.kvs.iter().filter_map(decode).collect())
    }
}

/// What an agent brings to its registration.
pub(crate) struct Applicant {
    /// The cluster that its tasks belong to.
    pub(crate) known: Option<ClusterUid>,
    /// It may change to this one.
    pub(crate) accept: Option<ClusterUid>,
    /// It has tasks.
    pub(crate) has_tasks: bool,
    /// It was registered before, in this process: it waits where a new one gives up.
    pub(crate) again: bool,
    /// For messages.
    pub(crate) data_dir: std::path::PathBuf,
}

impl Applicant {
    /// May the node register with the cluster `found`? `Ok(false)`: not now.
    fn may_join(&self, found: ClusterUid) -> Result<bool, Error> {
        match self.known {
            Some(known) if known != found => {
                if self.again {
                    return Ok(false);
                }
                if self.has_tasks && self.accept != Some(found) {
                    return Err(Error::OtherCluster { found, known, data_dir: self.data_dir.clone() });
                }
                tracing::warn!(%known, %found, "this node joins another cluster");
                Ok(true)
            }
            _ => Ok(true),
        }
    }
}

/// Registers the node: waits for `cluster`, for etcd, and for another agent's lease to end.
pub(crate) async fn register(link: &Link, info: Arc<NodeInfo>, who: &Applicant) -> Result<Registered, Error> {
    let mut backoff = pauses();
    let mut held_since: Option<(LeaseRecord, u64)> = None;
    loop {
        match attempt(link, &info, who, &mut held_since).await {
            Ok(Some(registered)) => return Ok(registered),
            Ok(None) => {}
            Err(Failure::Fatal(error)) => return Err(error),
            Err(Failure::Store(error)) => {
                tracing::warn!(%error, "registration failed; it will be tried again");
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

enum Failure {
    Fatal(Error),
    Store(encamp_store::Error),
}

impl From<encamp_store::Error> for Failure {
    fn from(error: encamp_store::Error) -> Self {
        Failure::Store(error)
    }
}

async fn attempt(
    link: &Link,
    info: &Arc<NodeInfo>,
    who: &Applicant,
    held_since: &mut Option<(LeaseRecord, u64)>,
) -> Result<Option<Registered>, Failure> {
    let cluster = match link.whose().await? {
        Whose::Cluster(uid, revision) => (uid, revision),
        Whose::Newer(found) if !who.again => {
            return Err(Failure::Fatal(Error::NewerLayout { found, known: LAYOUT }));
        }
        other => {
            tracing::warn!(
                ?other,
                "no usable `cluster` in etcd; waiting (an api or controllers process makes it)"
            );
            return Ok(None);
        }
    };
    if !who.may_join(cluster.0).map_err(Failure::Fatal)? {
        tracing::error!(
            found = %cluster.0, known = ?who.known,
            "etcd holds another cluster: touching nothing; if that is right, restart this agent with --accept-cluster"
        );
        return Ok(None);
    }
    match link.claim().await? {
        Claim::Take(seen) => Ok(link.write(info, cluster, seen).await?),
        Claim::Held(theirs) => wait_or_refuse(link, theirs, who, held_since).map_err(Failure::Fatal),
    }
}

/// A lease that outlives its time twice is being renewed: its holder is alive.
fn wait_or_refuse<T>(
    link: &Link,
    theirs: LeaseRecord,
    who: &Applicant,
    held_since: &mut Option<(LeaseRecord, u64)>,
) -> Result<Option<T>, Error> {
    let node = link.node().to_string();
    if who.again {
        return Err(Error::Replaced { node, address: theirs.http_addr });
    }
    let now_ns = link.clock.boot_ns();
    let since_ns = match held_since {
        Some((holder, since_ns)) if *holder == theirs => *since_ns,
        _ => {
            tracing::info!(address = %theirs.http_addr, "another agent's lease on this node: waiting for its end");
            *held_since = Some((theirs.clone(), now_ns));
            now_ns
        }
    };
    let patience_ns = u64::try_from(link.ttl.as_nanos()).unwrap_or(u64::MAX).saturating_mul(2);
    if now_ns.saturating_sub(since_ns) > patience_ns {
        return Err(Error::Twin { node, address: theirs.http_addr });
    }
    Ok(None)
}
