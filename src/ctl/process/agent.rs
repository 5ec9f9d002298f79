//! `ctl agent`: the process on a node.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use super::{
    flags::{CommonArgs, ListenArgs, NodeArgs, StoreArgs},
    host::{host, nothing_else},
};
use crate::{error::Result, exit::Exit, screen::Screen};

/// How long "ready" waits for the registration.
const REGISTER: Duration = Duration::from_secs(5);

/// Make this machine a node
#[derive(Args, Clone, Debug)]
pub(crate) struct AgentProcessArgs {
    /// Folder of the node's id, its allocations and caches; one agent at a time
    #[arg(long, env = "CTL_DATA_DIR", value_name = "FOLDER", default_value = "/var/lib/encamp")]
    data_dir: PathBuf,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs until a signal; tasks stay.
///
/// # Errors
/// If the flags, the port, the data folder, etcd or the installation do not allow it.
pub(crate) fn run(args: &AgentProcessArgs, screen: &mut Screen) -> Result<Exit> {
    host(&args.common, screen, async |host| {
        let (store, keys) = (Arc::new(args.store.store()?), args.store.keyspace()?);
        let listener = args.listen.listener().await?;
        let config = args.listen.config(listener.local_addr()?)?;
        let url = ListenArgs::url(&config);
        let node = args.node.config(&args.data_dir, &args.common.region, &config.advertise)?;
        let agent = host.agent(node, args.node.raw_exec()?, store, keys)?;
        host.agent_api(listener, config, agent.clone());
        host.registered(&agent, REGISTER).await?;
        let (id, etcd) = (agent.node_id(), args.store.etcd.join(","));
        match agent.problem() {
            None => host.screen.note(format!("==> Encamp agent is ready: node {id}, {url} (etcd {etcd})")),
            Some(why) => {
                host.screen.note(format!("==> Encamp agent runs, but: {why} (node {id}, etcd {etcd})"))
            }
        }
        host.until_the_end(nothing_else()).await
    })
}
