//! What a process says of itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{config::ApiConfig, gate::host_of, local::LocalAgent, status::server_address};

/// Everything that clients decode of Nomad's configuration, empty: ours is configured otherwise, and what means the
/// same is filled in.
const CONFIG: &str = include_str!("agent_config.json");

/// How an api process stands.
pub(crate) struct ServerStats {
    pub(crate) leader: String,
    pub(crate) revision: i64,
    pub(crate) peers: usize,
    pub(crate) known_leader: bool,
    /// Keys whose values cannot be read.
    pub(crate) opaque: usize,
}

/// `agent/self` of a process with an agent, an api server, or both.
pub(crate) fn agent_self(
    config: &ApiConfig,
    agent: Option<&dyn LocalAgent>,
    server: Option<&ServerStats>,
) -> Value {
    json!({
        "config": shown_config(config, agent.is_some(), server.is_some()),
        "member": member(config, server.is_some()),
        "stats": stats(config, agent, server),
    })
}

fn shown_config(config: &ApiConfig, client: bool, server: bool) -> Value {
    let mut shown: Value = serde_json::from_str(CONFIG).expect("the template is JSON");
    let host = host_of(&config.advertise).unwrap_or_default();
    let port = config.advertise.rsplit_once(':').and_then(|(_, p)| p.parse::<u16>().ok()).unwrap_or(4646);
    shown["Region"] = json!(config.region);
    shown["Datacenter"] = json!(config.datacenter);
    shown["NodeName"] = json!(config.name);
    shown["BindAddr"] = json!(host);
    shown["Addresses"]["HTTP"] = json!(host);
    shown["AdvertiseAddrs"]["HTTP"] = json!(config.advertise);
    shown["Ports"]["HTTP"] = json!(port);
    shown["Client"]["Enabled"] = json!(client);
    shown["Server"]["Enabled"] = json!(server);
    shown["TLSConfig"]["EnableHTTP"] = json!(config.tls.is_some());
    shown["Version"]["Version"] = json!(env!("CARGO_PKG_VERSION"));
    shown
}

fn member(config: &ApiConfig, server: bool) -> Value {
    json!({
        "Name": format!("{}.{}", config.name, config.region),
        "Addr": host_of(&config.advertise).unwrap_or_default(),
        "Port": 4648,
        "Tags": {
            "role": if server { "encamp" } else { "agent" },
            "region": config.region,
            "dc": config.datacenter,
            "build": env!("CARGO_PKG_VERSION"),
            "rpc_addr": server_address(&config.advertise),
        },
        "Status": "alive",
        "ProtocolMin": 1, "ProtocolMax": 5, "ProtocolCur": 2, "DelegateMin": 2, "DelegateMax": 5, "DelegateCur": 4,
    })
}

/// All of it text, as clients expect.
fn stats(config: &ApiConfig, agent: Option<&dyn LocalAgent>, server: Option<&ServerStats>) -> Value {
    let mut stats = Map::new();
    stats.insert("runtime".into(), runtime_stats());
    if let Some(agent) = agent {
        let mut client: BTreeMap<String, String> = agent.stats();
        client.insert("node_id".into(), agent.node_id().to_string());
        for (key, value) in
            [("known_servers", agent.api_servers().join(",")), ("num_allocations", "0".into())]
        {
            client.entry(key.into()).or_insert(value);
        }
        for key in ["heartbeat_ttl", "last_heartbeat"] {
            client.entry(key.into()).or_default();
        }
        stats.insert("client".into(), json!(client));
    }
    if let Some(server) = server {
        stats.extend(server_stats(config, server));
    }
    Value::Object(stats)
}

fn runtime_stats() -> Value {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    json!({
        "arch": std::env::consts::ARCH, "kernel.name": std::env::consts::OS, "cpu_count": cpus, "max_procs": cpus,
        "goroutines": "0", "version": env!("CARGO_PKG_VERSION"),
    })
}

/// etcd keeps our state: what clients know as raft's indexes are its revision.
fn server_stats(config: &ApiConfig, server: &ServerStats) -> Map<String, Value> {
    let revision = server.revision.to_string();
    let leads = server.leader == server_address(&config.advertise);
    let peers = server.peers.max(1);
    let stats = json!({
        "encamp": { "opaque_entries": server.opaque.to_string() },
        "nomad": {
            "server": "true", "leader": leads.to_string(), "leader_addr": server.leader, "bootstrap": "false",
            "known_regions": "1",
        },
        "raft": {
            "applied_index": revision, "commit_index": revision, "last_log_index": revision, "last_log_term": "0",
            "last_snapshot_index": "0", "last_snapshot_term": "0", "fsm_pending": "0", "term": "0",
            "last_contact": if server.known_leader { "0" } else { "never" },
            "state": if leads { "Leader" } else { "Follower" }, "num_peers": (peers - 1).to_string(),
            "latest_configuration": "", "latest_configuration_index": "0", "logstore_backend": "etcd",
            "protocol_version": "3", "protocol_version_max": "3", "protocol_version_min": "0",
            "snapshot_version_max": "1", "snapshot_version_min": "0",
        },
        "serf": {
            "coordinate_resets": "0", "encrypted": "false", "event_queue": "0", "event_time": "1", "failed": "0",
            "health_score": "0", "intent_queue": "0", "left": "0", "member_time": "1", "members": peers.to_string(),
            "query_queue": "0", "query_time": "1",
        },
    });
    stats.as_object().cloned().unwrap_or_default()
}

/// How the parts of a process are: `None` for a part that it doesn't have, else what is wrong, if anything.
pub(crate) struct Health {
    pub(crate) server: Option<Option<String>>,
    pub(crate) client: Option<Option<String>>,
}

impl Health {
    pub(crate) fn is_well(&self) -> bool {
        [&self.server, &self.client].into_iter().flatten().all(Option::is_none)
    }

    pub(crate) fn shown(&self) -> Value {
        let part = |problem: &Option<String>| json!({ "ok": problem.is_none(), "message": problem.clone().unwrap_or_else(|| "ok".to_owned()) });
        let mut shown = Map::new();
        for (name, state) in [("server", &self.server), ("client", &self.client)] {
            if let Some(problem) = state {
                shown.insert(name.to_owned(), part(problem));
            }
        }
        Value::Object(shown)
    }
}
