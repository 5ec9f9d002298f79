//! `ctl server`: api and loops in one process.

use std::sync::Arc;

use clap::Args;

use super::{
    controllers::Loop,
    flags::{CommonArgs, ListenArgs, StoreArgs},
    host::{host, nothing_else},
};
use crate::{error::Result, exit::Exit, screen::Screen};

/// Serve the HTTP API and run the loops, for small installations
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerProcessArgs {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs until a signal.
///
/// # Errors
/// If the flags, the port, etcd or the installation do not allow it.
pub(crate) fn run(args: &ServerProcessArgs, screen: &mut Screen) -> Result<Exit> {
    serve("server", &args.listen, &args.store, &args.common, &Loop::ALL, screen)
}

/// Serves the API, with these loops beside it, until a signal.
pub(super) fn serve(
    what: &str,
    listen: &ListenArgs,
    store: &StoreArgs,
    common: &CommonArgs,
    loops: &[Loop],
    screen: &mut Screen,
) -> Result<Exit> {
    host(common, screen, async |host| {
        let (etcd, keys) = (Arc::new(store.store()?), store.keyspace()?);
        let listener = listen.listener().await?;
        let config = listen.config(listener.local_addr()?)?;
        let url = ListenArgs::url(&config);
        let joined = host.join_beside(&listener, &config, etcd, keys);
        let Some(process) = joined.await? else { return Ok(()) };
        host.loops(&process, loops);
        host.api(listener, process, config, None);
        host.screen.note(format!("==> Encamp {what} is ready: {url} (etcd {})", store.etcd.join(",")));
        host.until_the_end(nothing_else()).await
    })
}
