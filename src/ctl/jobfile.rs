//! A job file as given on the command line: read, parsed, its notes and warnings shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

use clap::Args;
use encamp_model::Job;
use serde_json::{Value, json};

use crate::{
    cx::Cx,
    error::{Error, Result},
    screen::Screen,
};

/// More than any admissible job: longer input is refused before it is parsed.
const MAX_BYTES: u64 = 1 << 20;

/// Flags of every verb that reads a job file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct VarArgs {
    /// Value of a variable of the file; NOMAD_VAR_NAME in the environment does the same
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub(crate) vars: Vec<String>,
}

impl VarArgs {
    /// By name; flags win over the environment, of which a file takes what it declares: the rest is for others.
    fn values(
        &self,
        declared: &BTreeSet<String>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<BTreeMap<String, String>> {
        let mut values: BTreeMap<String, String> = env
            .filter_map(|(name, value)| Some((name.strip_prefix("NOMAD_VAR_")?.to_owned(), value)))
            .filter(|(name, _)| declared.contains(name))
            .collect();
        for pair in &self.vars {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Error::usage(format!("--var {pair:?} has no value"), "Write it as --var NAME=VALUE.")
            })?;
            values.insert(name.to_owned(), value.to_owned());
        }
        Ok(values)
    }
}

/// A parsed job file.
#[derive(Debug)]
pub(crate) struct JobFile {
    /// The canonical job.
    pub(crate) job: Job,
    /// The same in the API's JSON, as it is sent.
    pub(crate) json: Value,
    /// The text as it was written, which the server keeps beside the job.
    pub(crate) source: String,
    /// What the parser warns of.
    pub(crate) warnings: Vec<String>,
}

impl JobFile {
    /// The body of a registration.
    pub(crate) fn submission(&self) -> Value {
        let format = if self.source.trim_start().starts_with('{') { "json" } else { "hcl" };
        json!({ "Job": self.json, "Submission": { "Source": self.source, "Format": format } })
    }
}

/// Reads and parses `path` (`-` is stdin). Notes go to the screen's stderr at once.
///
/// # Errors
/// If it cannot be read, or holds mistakes: all of them, with their places.
pub(crate) fn load(path: &str, vars: &VarArgs, screen: &mut Screen) -> Result<JobFile> {
    let (name, text) = read(path)?;
    // Variables of others may hold bytes that are no text: they are none of ours.
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let vars = vars.values(&encamp_jobspec::variables(&text), env)?;
    let parsed = encamp_jobspec::parse(&text, &name, &vars).map_err(|e| Error::Jobspec(e.to_string()))?;
    for note in &parsed.notes {
        screen.note(format!("Note: {note}"));
    }
    let json = encamp_jobspec::to_api_json(&parsed.job);
    let warnings = parsed.warnings.iter().map(ToString::to_string).collect();
    Ok(JobFile { job: parsed.job, json, source: text, warnings })
}

/// As [`load`], for a server: a namespace that was asked for holds where the file names none.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_for(cx: &mut Cx<'_>, path: &str, vars: &VarArgs) -> Result<JobFile> {
    let mut file = load(path, vars, cx.screen)?;
    let asked = cx.client.namespace();
    if &*file.job.namespace == "default" && asked != "*" {
        file.job.namespace = asked.into();
    }
    file.json = encamp_jobspec::to_api_json(&file.job);
    Ok(file)
}

fn read(path: &str) -> Result<(String, String)> {
    let fail = |source| Error::File { path: path.into(), source };
    let mut text = String::new();
    let length = if path == "-" {
        std::io::stdin().take(MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).map_err(fail)?.take(MAX_BYTES + 1).read_to_string(&mut text)
    };
    let length = length.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => {
            Error::usage(format!("{path}: this is no text in UTF-8"), "A job file is HCL or JSON.")
        }
        std::io::ErrorKind::IsADirectory => {
            Error::usage(format!("{path}: this is a folder"), "Name a job file, or several with -f each.")
        }
        _ => fail(error),
    })?;
    if length as u64 > MAX_BYTES {
        return Err(Error::usage(format!("{path}: longer than 1 MiB"), "A job is at most 256 KiB."));
    }
    Ok((if path == "-" { "<stdin>".into() } else { path.into() }, text))
}

/// Warnings on stderr as Nomad shows them, each once.
pub(crate) fn warn(screen: &mut Screen, server: &str, local: &[String]) {
    let mut all: Vec<String> =
        local.iter().filter(|warning| !server.contains(warning.as_str())).cloned().collect();
    let server = server.trim();
    if !server.is_empty() {
        all.insert(0, server.to_owned());
    }
    if !all.is_empty() {
        screen.note(format!("Job Warnings:\n{}\n", all.join("\n")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_said_so() {
        let folder = std::env::temp_dir();
        let message = read(&folder.to_string_lossy()).unwrap_err().to_string();
        assert!(message.ends_with("this is a folder"), "{message}");
        let binary = std::env::current_exe().unwrap();
        let message = read(&binary.to_string_lossy()).unwrap_err().to_string();
        assert!(message.ends_with("this is no text in UTF-8") || message.contains("1 MiB"), "{message}");
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_a_flag_without_value_is_refused() {
        let env =
            [("NOMAD_VAR_a", "env"), ("NOMAD_VAR_b", "env"), ("NOMAD_VAR_others", "env"), ("HOME", "/")];
        let declared = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let env = || env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let values = VarArgs { vars: vec!["a=flag=1".into()] }.values(&declared, env()).unwrap();
        assert_eq!(values, BTreeMap::from([("a".into(), "flag=1".into()), ("b".into(), "env".into())]));
        assert!(VarArgs { vars: vec!["a".into()] }.values(&declared, env()).is_err());
    }
}
