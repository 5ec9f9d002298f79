//! `ctl api`: the HTTP API, without loops and agent.

use clap::Args;

use super::{
    flags::{CommonArgs, ListenArgs, StoreArgs},
    server,
};
use crate::{error::Result, exit::Exit, screen::Screen};

/// Serve the HTTP API; stateless, any number may run
#[derive(Args, Clone, Debug)]
pub(crate) struct ApiArgs {
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
pub(crate) fn run(args: &ApiArgs, screen: &mut Screen) -> Result<Exit> {
    server::serve("api", &args.listen, &args.store, &args.common, &[], screen)
}
