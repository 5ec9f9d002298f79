//! From what a person typed to what clap parses: one table of aliases, Go's one-dash flags, and the name `nomad`.
//!
//! Nothing here guesses: `-word` becomes `--word` where `word` is exactly a long flag of the verb, so that bundled
//! short flags keep their meaning; and where it can't be short flags either, so that the complaint names it.

use clap::{ArgAction, Command};

/// Nomad's spelling → the verb that answers it. The only place where a verb gets a second name.
pub(crate) const ALIASES: &[(&str, &str)] = &[
    ("job run", "run"),
    ("job stop", "stop"),
    ("job status", "status --kind job"),
    ("job init", "init"),
    ("job validate", "validate"),
    ("node status", "node-status"),
    ("alloc status", "alloc-status"),
    ("alloc logs", "logs"),
    ("eval status", "eval-status"),
];

/// The table above as `--help` shows it.
pub(crate) fn help() -> String {
    let mut text = String::from("Nomad's spellings:\n");
    for (alias, target) in ALIASES {
        text.push_str(&format!("  {alias:13} = ctl {target}\n"));
    }
    text.push_str("\nExit: 0 done, 1 wrong use or error, 2 something waits for room, 3 failed");
    text
}

/// Verbs that a link named `nomad` knows, beside the nouns of [`ALIASES`].
const NOMAD_VERBS: &[&str] = &[
    "agent",
    "alloc-status",
    "eval-status",
    "help",
    "init",
    "logs",
    "node-status",
    "run",
    "status",
    "stop",
    "validate",
    "version",
];

/// True when the program was called through a link named `nomad`.
pub(crate) fn is_nomad(argv0: &str) -> bool {
    std::path::Path::new(argv0).file_name().is_some_and(|name| name == "nomad")
}

/// Rewrites the words after the program's name for clap.
///
/// # Errors
/// With the sentence to show, when a link named `nomad` is asked for a verb that isn't Nomad's.
pub(crate) fn rewrite(words: Vec<String>, cli: &Command, nomad: bool) -> Result<Vec<String>, String> {
    let (leading, rest) = split_leading(words, cli);
    let mut rest = expand(helped(rest));
    noun_alone(&rest, cli)?;
    if nomad {
        rest = as_nomad(rest)?;
    }
    let Some(verb) = rest.first().and_then(|name| cli.find_subcommand(name)) else {
        let words = leading.into_iter().chain(rest);
        let ours = words.map(|word| match word.as_str() {
            "-version" | "-v" => "--version".to_owned(),
            "-help" => "--help".to_owned(),
            _ => word,
        });
        return Ok(ours.collect());
    };
    // Flags of the client may stand before the verb; clap knows them as the verb's own.
    let mut out = vec![rest.remove(0)];
    out.extend(flags(leading, verb));
    out.extend(flags(rest, verb));
    Ok(out)
}

/// `help VERB` is `VERB --help`.
fn helped(mut words: Vec<String>) -> Vec<String> {
    if words.first().is_some_and(|word| word == "help") {
        words.remove(0);
        words.push("--help".into());
    }
    words
}

/// A noun of Nomad's without a verb that is known here.
fn noun_alone(words: &[String], cli: &Command) -> Result<(), String> {
    let Some(noun) = words.first().filter(|noun| cli.find_subcommand(noun).is_none()) else { return Ok(()) };
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    let known: Vec<&str> = aliases.filter(|alias| alias.split(' ').next() == Some(noun)).collect();
    if known.is_empty() {
        return Ok(());
    }
    let what = match words.get(1).filter(|word| !word.starts_with('-')) {
        Some(verb) => format!("{:?} is not known here.", format!("{noun} {verb}")),
        None => format!("{noun:?} alone says not what to do."),
    };
    Err(format!("{what}\n  There is: {}.", known.join(", ")))
}

/// Words before the verb that are flags (with their values), and the rest.
fn split_leading(words: Vec<String>, cli: &Command) -> (Vec<String>, Vec<String>) {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { break };
        let takes_value = !name.contains('=') && CLIENT_FLAGS.contains(&name);
        if cli.get_arguments().any(|arg| arg.get_long() == Some(name) && !arg.get_action().takes_values()) {
            break;
        }
        at += 1 + usize::from(takes_value);
    }
    let at = at.min(words.len());
    let mut leading = words;
    let rest = leading.split_off(at);
    (leading, rest)
}

/// Flags with a value that every client verb has.
const CLIENT_FLAGS: &[&str] = &["address", "ca-cert", "namespace", "region", "token"];

fn expand(words: Vec<String>) -> Vec<String> {
    for (alias, target) in ALIASES {
        let alias: Vec<&str> = alias.split(' ').collect();
        if words.len() >= alias.len() && words.iter().zip(&alias).all(|(word, part)| word == part) {
            let rest = words.into_iter().skip(alias.len());
            return target.split(' ').map(String::from).chain(rest).collect();
        }
    }
    words
}

/// `agent -dev` is `dev`; what isn't Nomad's is refused.
fn as_nomad(mut words: Vec<String>) -> Result<Vec<String>, String> {
    let Some(verb) = words.first() else { return Ok(words) };
    if verb == "agent" {
        if let Some(at) = words.iter().position(|word| word == "-dev" || word == "--dev") {
            words.remove(at);
            words[0] = "dev".into();
        }
        return Ok(words);
    }
    if verb.starts_with('-') || NOMAD_VERBS.contains(&verb.as_str()) {
        return Ok(words);
    }
    Err(format!(
        "{verb:?} is no verb of Nomad's that is known here.\n  Called as `nomad`, only Nomad's way is spoken; `ctl {verb}` may know it."
    ))
}

/// Go's flags as clap's: `-word` and `-word=value` for the verb's own long flags, `--switch=true` and `=false`.
fn flags(words: Vec<String>, verb: &Command) -> Vec<String> {
    let mut out = Vec::with_capacity(words.len());
    let mut literal = false;
    for word in words {
        literal |= word == "--";
        if literal || !word.starts_with('-') {
            out.push(word);
            continue;
        }
        let body = word.strip_prefix("--").unwrap_or(&word[1..]);
        let (name, value) = body.split_once('=').map_or((body, None), |(n, v)| (n, Some(v)));
        let known = verb.get_arguments().find(|arg| arg.get_long() == Some(name) && name.len() > 1);
        match (known, value) {
            // clap would read `-verbose` as `-v -e …` and complain of what nobody typed.
            (None, _) if !word.starts_with("--") && is_long_word(name, verb) => out.push(format!("-{word}")),
            (None, _) => out.push(word),
            (Some(arg), Some("true")) if is_switch(arg) => out.push(format!("--{name}")),
            (Some(arg), Some("false")) if is_switch(arg) => {}
            (Some(_), _) => out.push(format!("--{body}")),
        }
    }
    out
}

/// A word of several letters that begins with none of the verb's short flags.
fn is_long_word(name: &str, verb: &Command) -> bool {
    let shorts: Vec<char> = verb.get_arguments().filter_map(clap::Arg::get_short).chain(['h']).collect();
    name.len() > 1 && name.starts_with(|first: char| first.is_alphabetic() && !shorts.contains(&first))
}

fn is_switch(arg: &clap::Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}
