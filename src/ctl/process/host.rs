//! A process as parts that run side by side: the first that fails ends all, a signal ends all, and the end is bounded.

use std::{future::Future, sync::Arc, time::Duration};

use encamp_agent::{Agent, AgentHandle};
use encamp_api::{ApiConfig, LocalAgent};
use encamp_drivers::{Driver, RawExec, Supervisor};
use encamp_model::Keyspace;
use encamp_runtime::{Options, Process, run_controller, task};
use encamp_store::Store;
use encamp_world::control::Controller;
use futures::StreamExt as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{controllers::Loop, flags::CommonArgs, local::Local};
use crate::{
    error::{Error, Result},
    exit::Exit,
    screen::Screen,
};

/// How long all parts together may take to end.
const END: Duration = Duration::from_millis(3500);
/// What requests under way get of it.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the session may take to give its lease back, so that others need not wait until it runs out.
const GIVE_BACK: Duration = Duration::from_secs(1);

/// A process under way.
pub(super) struct Host<'a> {
    /// Where to print.
    pub(super) screen: &'a mut Screen,
    /// Cancelled when all is to end.
    pub(super) shutdown: CancellationToken,
    parts: JoinSet<Result<()>>,
    region: String,
    process: Option<Process>,
    ended: bool,
}

/// Runs a process on this thread, with others beside it, until `body` returns.
pub(super) fn host(
    common: &CommonArgs,
    screen: &mut Screen,
    body: impl AsyncFnOnce(&mut Host<'_>) -> Result<()>,
) -> Result<Exit> {
    encamp_runtime::telemetry::init(&common.log_level)
        .map_err(|reason| Error::usage(reason, "--log-level or CTL_LOG_LEVEL sets it."))?;
    // A second installation fails, which is what "once" means.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shutdown = CancellationToken::new();
    let ended = runtime.block_on(async {
        task::spawn("signals", signals(shutdown.clone()));
        let mut host = Host {
            screen,
            shutdown,
            parts: JoinSet::new(),
            region: common.region.clone(),
            process: None,
            ended: false,
        };
        let outcome = body(&mut host).await;
        host.end().await;
        outcome
    });
    // Whoever still reads a log or a disk is not waited for.
    runtime.shutdown_background();
    ended.map(|()| Exit::Ok)
}

/// Cancels at the first SIGINT or SIGTERM, and ends the process at the second.
async fn signals(shutdown: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("cannot listen for signals; SIGKILL ends this process");
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if shutdown.is_cancelled() {
            std::process::exit(1);
        }
        tracing::info!("shutting down");
        shutdown.cancel();
    }
}

impl Host<'_> {
    /// Joins the installation: one World for everything in this process.
    pub(super) async fn join(
        &mut self,
        store: Arc<dyn Store>,
        keys: Keyspace,
        address: String,
    ) -> Result<Option<Process>> {
        // Who has an address of its own serves the API there.
        let serves_api = !address.is_empty();
        let options = Options { region: self.region.clone(), address, serves_api, ..Options::default() };
        match Process::start(store, keys, options, self.shutdown.clone()).await {
            Ok(process) => {
                self.process = Some(process.clone());
                let (failed, shutdown) = (process.clone(), self.shutdown.clone());
                self.part(async move {
                    tokio::select! {
                        why = failed.failed() => Err(Error::process(why, "Start it anew.")),
                        () = shutdown.cancelled() => Ok(()),
                    }
                });
                Ok(Some(process))
            }
            Err(_) if self.shutdown.is_cancelled() => Ok(None),
            Err(error) => Err(Error::process(error.to_string(), "")),
        }
    }

    /// As [`Host::join`], for a process that serves the API: until it has joined, whoever asks is told what it
    /// waits for.
    pub(super) async fn join_beside(
        &mut self,
        listener: &TcpListener,
        config: &ApiConfig,
        store: Arc<dyn Store>,
        keys: Keyspace,
    ) -> Result<Option<Process>> {
        let joined = self.join(store, keys, config.advertise.clone());
        let joined = encamp_api::serve_while(listener, config.clone(), joined).await;
        joined.map_err(|exposed| Error::usage(exposed.to_string(), ""))?
    }

    /// Runs loops, each led by whichever process is elected for it.
    pub(super) fn loops(&mut self, process: &Process, loops: &[Loop]) {
        for one in loops {
            match one {
                Loop::Evaluator => self.controller(process, encamp_evaluator::Evaluator::new()),
                Loop::Planner => self.controller(process, encamp_planner::Planner::new()),
                Loop::Heartbeat => self.controller(process, encamp_heartbeat::Heartbeat::default()),
                Loop::Gc => self.controller(process, encamp_gc::Gc::default()),
            }
        }
    }

    fn controller<C>(&mut self, process: &Process, controller: C)
    where
        C: Controller + Send + 'static,
        C::Key: std::fmt::Debug + Send,
    {
        let mut ran = run_controller(controller, process, self.shutdown.clone());
        self.part(async move {
            while let Some(run) = ran.next().await {
                tracing::debug!(name = C::NAME, key = ?run.key, units = run.units, placed = run.placed, "ran");
            }
            Ok(())
        });
    }

    /// Serves the API of an api process.
    pub(super) fn api(
        &mut self,
        listener: TcpListener,
        process: Process,
        mut config: ApiConfig,
        agent: Option<AgentHandle>,
    ) {
        config.limits.drain = DRAIN;
        config.region.clone_from(&self.region);
        let agent = agent.map(|handle| Arc::new(Local::new(handle)) as Arc<dyn LocalAgent>);
        let shutdown = self.shutdown.clone();
        self.part(async move {
            let served = encamp_api::serve(listener, process, config, agent, shutdown).await;
            served.map_err(|exposed| Error::usage(exposed.to_string(), ""))
        });
    }

    /// Serves the API of an agent that has no api beside it.
    pub(super) fn agent_api(&mut self, listener: TcpListener, mut config: ApiConfig, agent: AgentHandle) {
        config.limits.drain = DRAIN;
        config.region.clone_from(&self.region);
        let (agent, shutdown) = (Arc::new(Local::new(agent)), self.shutdown.clone());
        self.part(async move {
            let served = encamp_api::serve_agent(listener, config, agent, shutdown).await;
            served.map_err(|exposed| Error::usage(exposed.to_string(), ""))
        });
    }

    /// Runs an agent. `raw_exec` may be asked for beside what the flags enable.
    pub(super) fn agent(
        &mut self,
        config: encamp_agent::Config,
        raw_exec: bool,
        store: Arc<dyn Store>,
        keys: Keyspace,
    ) -> Result<AgentHandle> {
        let mut drivers: Vec<Arc<dyn Driver>> = Vec::new();
        if raw_exec {
            drivers.push(Arc::new(RawExec::new(Supervisor::current_exe())));
        }
        let failed = |error: encamp_agent::Error| Error::process(format!("agent: {error}"), "");
        let agent = Agent::open(config, drivers, encamp_agent::Clock::System).map_err(failed)?;
        let handle = agent.handle();
        let shutdown = self.shutdown.clone();
        self.part(async move { agent.run(store, keys, shutdown).await.map_err(failed) });
        Ok(handle)
    }

    /// Waits until the agent is registered, for a while: whoever reads "ready" wants to run something.
    ///
    /// # Errors
    /// If a part failed meanwhile, such as the agent itself.
    pub(super) async fn registered(&mut self, agent: &AgentHandle, within: Duration) -> Result<()> {
        let registered = async {
            while agent.problem().is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let shutdown = self.shutdown.clone();
        tokio::select! {
            failed = first_failure(&mut self.parts, &shutdown) => failed,
            _ = tokio::time::timeout(within, registered) => Ok(()),
            () = shutdown.cancelled() => Ok(()),
        }
    }

    /// Runs one part beside the others.
    fn part(&mut self, part: impl Future<Output = Result<()>> + Send + 'static) {
        self.parts.spawn(part);
    }

    /// Until a signal comes, a part fails, or `other` does.
    pub(super) async fn until_the_end(&mut self, other: impl Future<Output = Error>) -> Result<()> {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            failed = first_failure(&mut self.parts, &shutdown) => failed,
            error = other => Err(error),
            () = shutdown.cancelled() => Ok(()),
        }
    }

    /// Ends all parts. Twice is as once.
    pub(super) async fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.shutdown.cancel();
        let ended = async { while self.parts.join_next().await.is_some() {} };
        if tokio::time::timeout(END, ended).await.is_err() {
            tracing::warn!("a part did not end in time");
        }
        if let Some(process) = &self.process {
            // etcd may be away: then the lease runs out by itself.
            let _ = tokio::time::timeout(GIVE_BACK, process.given_back()).await;
        }
    }
}

/// The first part that fails, or that ends though nobody asked it to.
async fn first_failure(parts: &mut JoinSet<Result<()>>, shutdown: &CancellationToken) -> Result<()> {
    match parts.join_next().await {
        None => {
            shutdown.cancelled().await;
            Ok(())
        }
        Some(Err(panic)) => Err(Error::process(format!("a part of this process panicked: {panic}"), "")),
        Some(Ok(Err(error))) => Err(error),
        Some(Ok(Ok(()))) if shutdown.is_cancelled() => Ok(()),
        Some(Ok(Ok(()))) => {
            Err(Error::process("a part of this process ended (see the log)", "Start it anew."))
        }
    }
}

/// Never: for a process without anything else to watch.
pub(super) async fn nothing_else() -> Error {
    std::future::pending().await
}
