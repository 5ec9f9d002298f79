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
    Apply(Ask<ApplyArgs>),
    Run(Ask<RunArgs>),
    Stop(Ask<StopArgs>),
    Status(Ask<StatusArgs>),
    Get(Ask<GetArgs>),
    Logs(Ask<LogsArgs>),
    NodeStatus(Ask<NodeStatusArgs>),
    AllocStatus(Ask<AllocStatusArgs>),
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
