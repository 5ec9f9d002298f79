//! Errors as a person meets them: what failed, where, why, and what to do next.

use std::io;

/// Why a verb ended with 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing answered at the address, or the connection broke.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// Where we asked.
        address: String,
        /// Where that address came from: a flag, a variable, or nothing.
        origin: &'static str,
        /// The innermost cause.
        reason: String,
    },
    /// The address isn't one.
    #[error("{address:?} is no address: {reason}")]
    Address {
        /// As given.
        address: String,
        /// Where it came from.
        origin: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The server answered, but not with what was asked for.
    #[error("{method} {path}: {status}: {text}")]
    Refused {
        /// Of the request.
        method: String,
        /// Of the request, with its query.
        path: String,
        /// HTTP status code.
        status: u16,
        /// The server's own words.
        text: String,
    },
    /// The answer isn't what this version of `ctl` understands.
    #[error("{path}: cannot read the answer: {reason}")]
    Answer {
        /// What was asked for.
        path: String,
        /// Where it differs.
        reason: String,
    },
    /// Nothing has this name or id.
    #[error("no {kind} with the name, id or id prefix {given:?}")]
    Unknown {
        /// What was looked for.
        kind: String,
        /// As typed.
        given: String,
    },
    /// More than one thing has an id that begins so.
    #[error("{given:?} fits more than one {kind}:\n{}", matches.iter().map(|m| format!("    {m}")).collect::<Vec<_>>().join("\n"))]
    Ambiguous {
        /// What was looked for.
        kind: String,
        /// As typed.
        given: String,
        /// What it fits, bounded.
        matches: Vec<String>,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Its path as given.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A job file with mistakes; the text holds every one with its place.
    #[error("{0}")]
    Jobspec(String),
    /// Words that fit no verb, or that contradict each other.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to type instead.
        next: String,
    },
    /// A process of ours could not start or ended badly.
    #[error("{message}")]
    Process {
        /// What failed, where and why.
        message: String,
        /// What to do about it.
        next: String,
    },
    /// Whoever read our output went away.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// A wrong use, with what to type instead.
    pub(crate) fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Error::Usage { message: message.into(), next: next.into() }
    }

    /// A process that could not start, with what to do about it.
    pub(crate) fn process(message: impl Into<String>, next: impl Into<String>) -> Self {
        Error::Process { message: message.into(), next: next.into() }
    }

    /// True when the output's reader has gone (`ctl logs … | head`): nothing to say, and nobody to say it to.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Error::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What to do next; empty when the message says it all.
    pub(crate) fn next(&self) -> String {
        match self {
            Error::Unreachable { reason, .. } if reason.contains("certificate") => {
                "Name the authority's certificate with --ca-cert FILE, or CTL_CACERT or NOMAD_CACERT.".into()
            }
            Error::Unreachable { reason, origin, .. } if reason.contains("InvalidContentType") => {
                format!(
                    "Whoever listens there does not speak TLS. The address comes from {origin}: http:// instead of https://?"
                )
            }
            Error::Unreachable { origin, .. } => format!(
                "The address comes from {origin}. Is a server there? `ctl dev` starts one on this machine;\n\
                 --address URL, or CTL_ADDR or NOMAD_ADDR in the environment, names another."
            ),
            Error::Address { origin, .. } => {
                format!("It comes from {origin}; an address looks like http://127.0.0.1:4646.")
            }
            Error::Refused { status: 401 | 403, .. } => {
                "Give a token with --token, or CTL_TOKEN or NOMAD_TOKEN in the environment.".into()
            }
            Error::Refused { status: 507, .. } => {
                "etcd is out of space: compact and defragment it, then `etcdctl alarm disarm`.".into()
            }
            Error::Refused { status: 502, .. } => {
                "The agent of the node that has it does not answer: `ctl node-status` lists the nodes.".into()
            }
            Error::Answer { .. } => {
                "Is it an Encamp server, and of about this version? See `ctl version`.".into()
            }
            Error::Unknown { kind, .. } => match kind.as_str() {
                "job" => "`ctl status` lists the jobs; --namespace names another namespace.".into(),
                "node" => "`ctl node-status` lists the nodes.".into(),
                "allocation" => "`ctl get allocs` lists them.".into(),
                "evaluation" => "`ctl get evals` lists them.".into(),
                _ => "`ctl status` lists the jobs, `ctl get nodes|allocs|evals` the rest.".into(),
            },
            Error::Ambiguous { .. } => "Type more of it.".into(),
            Error::Usage { next, .. } | Error::Process { next, .. } => next.clone(),
            Error::Refused { .. } | Error::File { .. } | Error::Jobspec(_) | Error::Output(_) => {
                String::new()
            }
        }
    }

    /// The whole text for stderr: the message, and indented below it what to do next.
    pub(crate) fn render(&self, program: &str) -> String {
        let mut text = match self {
            // Diagnostics carry their own heading, place and source line.
            Error::Jobspec(text) => text.trim_end().to_owned(),
            other => format!("{program}: {other}"),
        };
        for line in self.next().lines() {
            text.push_str("\n  ");
            text.push_str(line);
        }
        text.push('\n');
        text
    }
}

/// What verbs answer.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
