//! `ctl dev`: everything in one process, for a laptop.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;

use super::{
    controllers::Loop,
    etcd::{EtcdChild, Launch},
    flags::{CommonArgs, ListenArgs, NodeArgs, StoreArgs},
    host::{Host, host, nothing_else},
};
use crate::{
    cx::DEFAULT_ADDRESS,
    error::{Error, Result},
    exit::Exit,
    screen::Screen,
};

/// How long "ready" waits for the node's registration.
const REGISTER: Duration = Duration::from_secs(5);

/// Run everything in one process, on an etcd of its own unless --etcd names one
#[derive(Args, Clone, Debug)]
pub(crate) struct DevArgs {
    /// Port on loopback of the etcd that is started
    #[arg(long, env = "CTL_ETCD_PORT", value_name = "PORT", default_value_t = 2379)]
    etcd_port: u16,
    /// Folder of everything that is kept; ~/.local/share/encamp/dev unless given
    #[arg(long, env = "CTL_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs until a signal; tasks stay, and the next `ctl dev` on the folder goes on with them.
///
/// # Errors
/// If the flags, the ports, the data folder, etcd or the installation do not allow it.
pub(crate) fn run(args: &DevArgs, screen: &mut Screen) -> Result<Exit> {
    let data_dir = args.data_dir.clone().map_or_else(default_data_dir, Ok)?;
    host(&args.common, screen, async |host| {
        if !args.store.etcd.is_empty() {
            return everything(args, &args.store, &data_dir, host, nothing_else()).await;
        }
        let folder = data_dir.join("etcd");
        let mut etcd = tokio::select! {
            started = EtcdChild::start(Launch::new(args.etcd_port, &folder)?) => started?,
            () = host.shutdown.cancelled() => return Ok(()),
        };
        let store = StoreArgs { etcd: vec![etcd.endpoint().to_owned()], ..args.store.clone() };
        let ended = everything(args, &store, &data_dir, host, etcd.died()).await;
        // Whoever writes to it ends first.
        host.end().await;
        etcd.stop().await;
        ended
    })
}

async fn everything(
    args: &DevArgs,
    store: &StoreArgs,
    data_dir: &Path,
    host: &mut Host<'_>,
    died: impl Future<Output = Error>,
) -> Result<()> {
    let (etcd, keys) = (Arc::new(store.store()?), store.keyspace()?);
    let listener = args.listen.listener().await?;
    let config = args.listen.config(listener.local_addr()?)?;
    let url = ListenArgs::url(&config);
    let node = args.node.config(&data_dir.join("node"), &args.common.region, &config.advertise)?;
    args.node.raw_exec()?;
    let joined = host.join_beside(&listener, &config, etcd.clone(), keys.clone());
    let Some(process) = joined.await? else { return Ok(()) };
    host.loops(&process, &Loop::ALL);
    let agent = host.agent(node, true, etcd, keys)?;
    host.api(listener, process, config, Some(agent.clone()));
    host.registered(&agent, REGISTER).await?;
    host.screen.note(ready(&url, store, data_dir));
    if let Some(why) = agent.problem() {
        host.screen.note(format!("    But its node is not registered: {why}"));
    }
    host.until_the_end(died).await
}

/// What to type next.
fn ready(url: &str, store: &StoreArgs, data_dir: &Path) -> String {
    let elsewhere = match url {
        DEFAULT_ADDRESS => String::new(),
        _ => format!("\n      export CTL_ADDR={url}"),
    };
    let (etcd, prefix) = (store.etcd.join(","), &store.prefix);
    format!(
        "==> Encamp dev is ready: {url} (etcd {etcd}, data {})\n\
         \x20   Next, in another terminal:{elsewhere}\n\
         \x20     ctl init                            write an example job\n\
         \x20     ctl run example.nomad               run it\n\
         \x20     ctl logs -f job/example             read what it prints\n\
         \x20     etcdctl --endpoints {etcd} get --prefix {prefix} --keys-only",
        data_dir.display()
    )
}

fn default_data_dir() -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = var("XDG_DATA_HOME").or_else(|| var("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("encamp/dev")).ok_or_else(|| {
        Error::usage("neither HOME nor XDG_DATA_HOME is set", "Name a folder with --data-dir FOLDER.")
    })
}
