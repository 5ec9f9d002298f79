//! The words of the command line.

use clap::{Args, Parser, Subcommand};

use crate::{
    apply::ApplyArgs,
    cx::ServerArgs,
    get::GetArgs,
    init::InitArgs,
    logs::LogsArgs,
    node_status::NodeStatusArgs,
    process,
    run::RunArgs,
    status::{AllocStatusArgs, EvalStatusArgs, StatusArgs},
    stop::StopArgs,
    validate::ValidateArgs,
};

/// Runs declared workloads on a fleet of machines, with all state in etcd
#[derive(Parser, Debug)]
#[command(name = "ctl", bin_name = "ctl", version, disable_help_subcommand = true, after_help = crate::words::help())]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// A verb of the client, with the flags that say whom it asks.
#[derive(Args, Clone, Debug)]
pub(crate) struct Ask<T: Args> {
    /// The verb's own.
    #[command(flatten)]
    pub(crate) args: T,
    /// Whom to ask.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Every verb.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "each verb's text stands on its arguments, once")]
pub(crate) enum Verb {
    /// Make the stored job equal to a file; an equal one is left alone
    Apply(Ask<ApplyArgs>),
    /// Register a job and follow it until all that can be placed is placed
    Run(Ask<RunArgs>),
    /// Stop a job and follow it until all of its instances were told to
    Stop(Ask<StopArgs>),
    /// List the jobs, or show what a name or id names
    Status(Ask<StatusArgs>),
    /// List jobs, nodes, allocs or evals, or print one as data
    Get(Ask<GetArgs>),
    /// Print what a task wrote
    Logs(Ask<LogsArgs>),
    /// List the nodes, or show one and what is free on it
    NodeStatus(Ask<NodeStatusArgs>),
    /// Show an allocation
    AllocStatus(Ask<AllocStatusArgs>),
    /// Show an evaluation
    EvalStatus(Ask<EvalStatusArgs>),
    Init(InitArgs),
    Validate(ValidateArgs),
    Dev(process::dev::DevArgs),
    Server(process::server::ServerProcessArgs),
    Api(process::api::ApiArgs),
    Controllers(process::controllers::ControllersArgs),
    Agent(process::agent::AgentProcessArgs),
    /// Print this binary's version
    Version,
    #[command(hide = true, name = process::etcd::LAUNCHER)]
    EtcdLauncher(process::etcd::LauncherArgs),
}
