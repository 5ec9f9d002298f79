//! From words to verbs: one-dash flags, aliases, the name `nomad`.

use clap::CommandFactory as _;

use super::server::{ctl, named};
use crate::{Exit, cli::Cli, words};

fn rewritten(line: &str) -> String {
    let words = line.split(' ').map(String::from).collect();
    words::rewrite(words, &Cli::command(), false).unwrap().join(" ")
}

#[test]
fn one_dash_is_two_only_where_the_verb_has_exactly_that_flag() {
    assert_eq!(rewritten("run -detach web.nomad"), "run --detach web.nomad");
    assert_eq!(rewritten("stop -purge=true -detach=false web"), "stop --purge web");
    assert_eq!(rewritten("run -purge web.nomad"), "run --purge web.nomad");
    assert_eq!(rewritten("run -hx -1 - -v web.nomad"), "run -hx -1 - -v web.nomad");
    assert_eq!(rewritten("node-status -self"), "node-status --self");
    assert_eq!(rewritten("logs -ft web 1f"), "logs -ft web 1f");
    assert_eq!(rewritten("status -address=http://h:1 web"), "status --address=http://h:1 web");
    assert_eq!(rewritten("logs -- -stderr"), "logs -- -stderr");
}

#[test]
fn flags_of_the_server_may_stand_before_the_verb() {
    assert_eq!(
        rewritten("-address http://h:1 --token=t status web"),
        "status --address http://h:1 --token=t web"
    );
    assert_eq!(rewritten("--version"), "--version");
    assert_eq!(rewritten("-version"), "--version");
}

#[test]
fn every_alias_leads_to_a_verb_that_exists_and_stands_in_the_help() {
    let command = Cli::command();
    let help = Cli::command().render_help().to_string();
    for (alias, target) in words::ALIASES {
        let verb = target.split(' ').next().unwrap();
        assert!(command.find_subcommand(verb).is_some(), "{alias} → {target}");
        assert!(command.find_subcommand(alias.split(' ').next().unwrap()).is_none(), "{alias} hides a verb");
        assert!(help.contains(alias), "{alias} is not in --help");
        assert_eq!(rewritten(&format!("{alias} X")), format!("{target} X"));
    }
}

#[test]
fn every_verb_says_what_it_does_in_its_own_words() {
    let command = Cli::command();
    let mut texts = std::collections::BTreeSet::new();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let about = verb.get_about().unwrap_or_default().to_string();
        assert!(about.len() > 10 && texts.insert(about.clone()), "{}: {about:?}", verb.get_name());
    }
}

#[test]
fn clap_finds_nothing_wrong_with_the_verbs() {
    Cli::command().debug_assert();
}

#[test]
fn a_link_named_nomad_speaks_nomads_way_only() {
    let refused = named("/usr/local/bin/nomad", &["apply", "-f", "x"]);
    assert_eq!(refused.exit, Exit::Error);
    assert!(refused.err.starts_with("nomad: \"apply\" is no verb of Nomad's"), "{}", refused.err);
    assert_eq!(named("nomad", &["version"]).out, ctl(&["version"]).out);
    let help = named("nomad", &["status", "--help"]);
    assert!(help.out.contains("Usage: nomad status"), "{}", help.out);
}

#[test]
fn help_may_stand_before_the_verb_and_a_noun_wants_a_verb() {
    assert_eq!(rewritten("help"), "--help");
    assert_eq!(rewritten("-help"), "--help");
    assert_eq!(rewritten("help run"), "run --help");
    assert_eq!(rewritten("help job status"), "status --kind job --help");
    ctl(&["job"]).fails(&["\"job\" alone says not what to do", "job run, job stop, job status"]);
    ctl(&["alloc", "exec", "1f"]).fails(&["\"alloc exec\" is not known here", "alloc status, alloc logs"]);
    assert_eq!(named("nomad", &["help", "run"]).exit, Exit::Ok);
}

#[test]
fn wrong_words_end_with_one_and_help_with_zero() {
    ctl(&["stauts"]).fails(&["unrecognized subcommand 'stauts'", "status"]);
    ctl(&["run"]).fails(&["<FILE>"]);
    ctl(&["run", "--bogus", "web.hcl"]).fails(&["unexpected argument '--bogus'"]);
    ctl(&["run", "-purge", "web.hcl"]).fails(&["unexpected argument '--purge'"]);
    assert_eq!(ctl(&["--help"]).exit, Exit::Ok);
    ctl(&["version"]).shows(Exit::Ok, &[concat!("Encamp v", env!("CARGO_PKG_VERSION"))]);
}
