//! `ctl controllers`: the loops.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{
    flags::{CommonArgs, StoreArgs},
    host::{host, nothing_else},
};
use crate::{error::Result, exit::Exit, screen::Screen};

/// A loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Loop {
    /// Asks for a look at every job that needs one
    Evaluator,
    /// Looks, and writes down what must run where
    Planner,
    /// Judges which nodes are there
    Heartbeat,
    /// Deletes what nobody needs any more
    Gc,
}

impl Loop {
    /// All of them.
    pub(crate) const ALL: [Loop; 4] = [Loop::Evaluator, Loop::Planner, Loop::Heartbeat, Loop::Gc];
}

/// Run the loops; each is led by one of the processes that run it
#[derive(Args, Clone, Debug)]
pub(crate) struct ControllersArgs {
    /// Only these
    #[arg(long, env = "CTL_ONLY", value_enum, value_name = "LOOP[,LOOP]", value_delimiter = ',')]
    only: Vec<Loop>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs until a signal.
///
/// # Errors
/// If the flags, etcd or the installation do not allow it.
pub(crate) fn run(args: &ControllersArgs, screen: &mut Screen) -> Result<Exit> {
    host(&args.common, screen, async |host| {
        let (store, keys) = (Arc::new(args.store.store()?), args.store.keyspace()?);
        let Some(process) = host.join(store, keys, String::new()).await? else { return Ok(()) };
        host.loops(&process, if args.only.is_empty() { &Loop::ALL } else { &args.only });
        host.screen.note(format!("==> Encamp controllers are ready (etcd {})", args.store.etcd.join(",")));
        host.until_the_end(nothing_else()).await
    })
}
