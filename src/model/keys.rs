//! Every key under the prefix, and the only place that knows how keys are spelled.
//!
//! Segments are percent-encoded (job ids may hold `/`), so an encoded segment never starts with `@` or `~`, which
//! mark reserved branches.

use std::fmt::Write as _;

use crate::ids::{AllocId, EvalId, JobId, JobUid, Name, NodeId};

/// One key of Encamp. Who writes and who deletes each is design §4's table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `cluster`: which installation this prefix is.
    Cluster,
    /// `jobs/<ns>/<job>`: the declaration.
    Job(JobId),
    /// `job-versions/<uid>/<version>`: history.
    JobVersion(JobUid, u64),
    /// `job-sources/<uid>/<version>`: the text as submitted.
    JobSource(JobUid, u64),
    /// `evals/<eval>`.
    Eval(EvalId),
    /// `job-states/<ns>/<job>`: unmet wants.
    JobState(JobId),
    /// `allocs/<node>/<alloc>`: what a node must run or stop.
    Alloc(NodeId, AllocId),
    /// `nodes/<node>/info`: fingerprint.
    NodeInfo(NodeId),
    /// `nodes/<node>/lease`: heartbeat.
    NodeLease(NodeId),
    /// `nodes/<node>/status/<alloc>`: what the node says of an allocation.
    AllocStatus(NodeId, AllocId),
    /// `node-intents/<node>`: what people want of a node.
    NodeIntents(NodeId),
    /// `node-states/<node>`: the gate.
    NodeState(NodeId),
    /// `leaders/<loop>`.
    Leader(Name),
    /// `api-servers/<id>`.
    ApiServer(Name),
}

/// The keys of one installation: a prefix and the spelling beneath it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyspace {
    prefix: String,
}

/// The prefix unless another is given.
pub const DEFAULT_PREFIX: &str = "/encamp/";

impl Keyspace {
    /// The keys under `prefix`; a `/` is added to its end if missing.
    pub fn new(prefix: &str) -> Self {
        let mut prefix = prefix.to_owned();
        if !prefix.ends_with('/') {
            prefix.push('/');
        }
        Keyspace { prefix }
    }

    /// The prefix, ending in `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How `key` is spelled in etcd.
    pub fn encode(&self, key: &Key) -> String {
        let mut out = self.prefix.clone();
        let written = match key {
            Key::Cluster => write!(out, "cluster"),
            Key::Job(job) => write!(out, "jobs/{}", path(job)),
            Key::JobVersion(uid, version) => write!(out, "job-versions/{uid}/{version}"),
            Key::JobSource(uid, version) => write!(out, "job-sources/{uid}/{version}"),
            Key::Eval(eval) => write!(out, "evals/{eval}"),
            Key::JobState(job) => write!(out, "job-states/{}", path(job)),
            Key::Alloc(node, alloc) => write!(out, "allocs/{node}/{alloc}"),
            Key::NodeInfo(node) => write!(out, "nodes/{node}/info"),
            Key::NodeLease(node) => write!(out, "nodes/{node}/lease"),
            Key::AllocStatus(node, alloc) => write!(out, "nodes/{node}/status/{alloc}"),
            Key::NodeIntents(node) => write!(out, "node-intents/{node}"),
            Key::NodeState(node) => write!(out, "node-states/{node}"),
            Key::Leader(name) => write!(out, "leaders/{}", segment(name)),
            Key::ApiServer(name) => write!(out, "api-servers/{}", segment(name)),
        };
        written.expect("writing to a string cannot fail");
        out
    }

    /// The key spelled `raw`, or `None` if it is not one of ours (or not spelled as we spell it).
    pub fn decode(&self, raw: &[u8]) -> Option<Key> {
        let text = std::str::from_utf8(raw).ok()?.strip_prefix(&self.prefix)?;
        let parts: Vec<&str> = text.split('/').collect();
        let key = match parts.as_slice() {
            ["cluster"] => Key::Cluster,
            ["jobs", ns, job] => Key::Job(job_id(ns, job)?),
            ["job-versions", uid, version] => Key::JobVersion(uid.parse().ok()?, version.parse().ok()?),
            ["job-sources", uid, version] => Key::JobSource(uid.parse().ok()?, version.parse().ok()?),
            ["evals", eval] => Key::Eval(eval.parse().ok()?),
            ["job-states", ns, job] => Key::JobState(job_id(ns, job)?),
            ["allocs", node, alloc] => Key::Alloc(node.parse().ok()?, alloc.parse().ok()?),
            ["nodes", node, "info"] => Key::NodeInfo(node.parse().ok()?),
            ["nodes", node, "lease"] => Key::NodeLease(node.parse().ok()?),
            ["nodes", node, "status", alloc] => Key::AllocStatus(node.parse().ok()?, alloc.parse().ok()?),
            ["node-intents", node] => Key::NodeIntents(node.parse().ok()?),
            ["node-states", node] => Key::NodeState(node.parse().ok()?),
            ["leaders", name] => Key::Leader(unsegment(name)?),
            ["api-servers", name] => Key::ApiServer(unsegment(name)?),
            _ => return None,
        };
        // One key, one spelling: `%61` for `a` or an upper-case id would be a second writer's key for the same thing.
        (self.encode(&key).as_bytes() == raw).then_some(key)
    }

    /// What a World reads: everything but the secrets, which sort behind `~`. Start and end (exclusive).
    pub fn world_range(&self) -> (String, String) {
        (self.prefix.clone(), format!("{}~", self.prefix))
    }

    /// What one node is told: start and end (exclusive) of `allocs/<node>/`.
    pub fn node_range(&self, node: NodeId) -> (String, String) {
        let start = format!("{}allocs/{node}/", self.prefix);
        // `0` follows `/`: the end of every key that starts with this folder.
        let end = format!("{}allocs/{node}0", self.prefix);
        (start, end)
    }
}

fn path(job: &JobId) -> String {
    format!("{}/{}", segment(&job.namespace), segment(&job.name))
}

fn job_id(namespace: &str, name: &str) -> Option<JobId> {
    Some(JobId { namespace: unsegment(namespace)?, name: unsegment(name)? })
}

fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            // A lone `.` or `..` would be taken for a folder by tools that mirror keys to files.
            b'.' if !out.is_empty() => out.push('.'),
            _ => write!(out, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    out
}

fn unsegment(text: &str) -> Option<Name> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &tail[2..];
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty()).then(|| Name::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_job_id_with_a_slash_is_one_segment() {
        let keys = Keyspace::new("/encamp");
        let key = Key::Job(JobId::new("default", "team/web app"));
        assert_eq!(keys.encode(&key), "/encamp/jobs/default/team%2Fweb%20app");
        assert_eq!(keys.decode(b"/encamp/jobs/default/team%2Fweb%20app"), Some(key));
    }

    #[test]
    fn a_second_spelling_is_not_a_key() {
        let keys = Keyspace::new("/encamp/");
        for raw in [
            "/encamp/jobs/default/%61",
            "/encamp/jobs/default/",
            "/encamp/jobs/a/b/c",
            "/other/cluster",
            "/encamp/evals/x",
        ] {
            assert_eq!(keys.decode(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn the_node_range_ends_before_the_next_folder() {
        let keys = Keyspace::new("/encamp/");
        let node = NodeId::from_bits(7);
        let (start, end) = keys.node_range(node);
        let alloc = keys.encode(&Key::Alloc(node, AllocId::from_bits(9)));
        assert!(start < alloc && alloc < end);
        assert!(
            !(start..end).contains(&keys.encode(&Key::Alloc(NodeId::from_bits(8), AllocId::from_bits(9))))
        );
    }

    proptest! {
        #[test]
        fn every_job_id_comes_back(ns in "\\PC{1,20}", name in "\\PC{1,40}", prefix in "/[a-z]{1,8}") {
            let keys = Keyspace::new(&prefix);
            for key in [Key::Job(JobId::new(&*ns, &*name)), Key::JobState(JobId::new(&*ns, &*name)), Key::Leader(Name::from(&*name))] {
                let raw = keys.encode(&key);
                prop_assert_eq!(keys.decode(raw.as_bytes()), Some(key));
            }
        }

        #[test]
        fn garbage_never_panics(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let keys = Keyspace::new("/encamp/");
            let mut key = b"/encamp/jobs/default/".to_vec();
            key.extend_from_slice(&raw);
            let _ = keys.decode(&key);
            let _ = keys.decode(&raw);
        }
    }
}
