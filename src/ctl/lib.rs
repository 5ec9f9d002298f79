//! The command line: one file a verb, thin over the HTTP API, and the processes that serve it.
//!
//! Invariants: data goes to stdout and everything for a person's eyes to stderr; nothing ever prompts; a verb ends
//! with the number that [`Exit`] documents; an error says what failed, where, why, and what to do next.

mod apply;
mod cli;
mod client;
mod cx;
mod error;
mod exit;
mod find;
mod get;
mod init;
mod jobfile;
mod kind;
mod logs;
mod monitor;
mod node_status;
mod process;
mod run;
mod screen;
mod show;
mod status;
mod stop;
#[cfg(test)]
mod tests;
mod validate;
mod version;
mod wire;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use encamp_runtime::Clock;

use self::{
    cli::{Ask, Cli, Verb},
    client::Client,
    cx::Cx,
    error::Result,
    exit::Exit,
    screen::Screen,
};

/// The whole program. To be called first thing, while there is one thread: this binary is also the supervisor of
/// tasks.
pub fn main() -> ExitCode {
    if let Some(code) = encamp_drivers::supervisor_main() {
        return code;
    }
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    run_at(words, Screen::standard(), Clock::System.now().0).into()
}

/// From words to the number that the program ends with, at an instant: ages count from it.
fn run_at(mut words: Vec<String>, mut screen: Screen, now: i64) -> Exit {
    let program = if words.is_empty() { String::new() } else { words.remove(0) };
    let nomad = words::is_nomad(&program);
    let program = if nomad { "nomad" } else { "ctl" };
    let cli = match parse(words, nomad, program) {
        Ok(cli) => cli,
        Err(stop) => return stop.show(program, &mut screen),
    };
    perform(cli.verb, &mut screen, now).unwrap_or_else(|error| {
        if error.is_closed_pipe() {
            return Exit::Ok;
        }
        screen.note(error.render(program).trim_end());
        Exit::Error
    })
}

enum Stop {
    Clap(clap::Error),
    Words(String),
}

impl Stop {
    fn show(self, program: &str, screen: &mut Screen) -> Exit {
        match self {
            // Help and version are data, and no mistake.
            Stop::Clap(text) if !text.use_stderr() => match screen.line(text.render().to_string().trim_end())
            {
                Ok(()) => return Exit::Ok,
                Err(error) if error.is_closed_pipe() => return Exit::Ok,
                Err(error) => screen.note(error),
            },
            Stop::Clap(text) => screen.note(text.render().to_string().trim_end()),
            Stop::Words(text) => screen.note(format!("{program}: {text}")),
        }
        Exit::Error
    }
}

fn parse(words: Vec<String>, nomad: bool, program: &'static str) -> Result<Cli, Stop> {
    let command = Cli::command().name(program).bin_name(program);
    let words = words::rewrite(words, &command, nomad).map_err(Stop::Words)?;
    let words = std::iter::once(program.to_owned()).chain(words);
    let matches = command.try_get_matches_from(words).map_err(Stop::Clap)?;
    Cli::from_arg_matches(&matches).map_err(Stop::Clap)
}

fn perform(verb: Verb, screen: &mut Screen, now: i64) -> Result<Exit> {
    match verb {
        Verb::Apply(a) => ask(&a, screen, now, apply::run),
        Verb::Run(a) => ask(&a, screen, now, run::run),
        Verb::Stop(a) => ask(&a, screen, now, stop::run),
        Verb::Status(a) => ask(&a, screen, now, status::run),
        Verb::Get(a) => ask(&a, screen, now, get::run),
        Verb::Logs(a) => ask(&a, screen, now, logs::run),
        Verb::NodeStatus(a) => ask(&a, screen, now, node_status::run),
        Verb::AllocStatus(a) => ask(&a, screen, now, status::run_alloc),
        Verb::EvalStatus(a) => ask(&a, screen, now, status::run_eval),
        Verb::Init(args) => init::run(&args, screen),
        Verb::Validate(args) => validate::run(&args, screen),
        Verb::Dev(args) => process::dev::run(&args, screen),
        Verb::Server(args) => process::server::run(&args, screen),
        Verb::Api(args) => process::api::run(&args, screen),
        Verb::Controllers(args) => process::controllers::run(&args, screen),
        Verb::Agent(args) => process::agent::run(&args, screen),
        Verb::EtcdLauncher(args) => process::etcd::launch(&args),
        Verb::Version => version::run(screen),
    }
}

/// Runs a verb of the client to its end, on one thread.
fn ask<T: clap::Args>(
    ask: &Ask<T>,
    screen: &mut Screen,
    now: i64,
    verb: impl AsyncFnOnce(&T, &mut Cx<'_>) -> Result<Exit>,
) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let target = ask.server.target(|name| std::env::var(name).ok());
    let mut cx = Cx { client: Client::new(target)?, screen, now };
    runtime.block_on(verb(&ask.args, &mut cx))
}
