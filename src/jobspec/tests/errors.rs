//! What is said about wrong jobs, word for word.

use super::{hcl, job_with, plain};
use crate::MAX_DIAGNOSTICS;

/// Golden texts: a wrong job file and all that is said about it.
#[test]
fn everything_is_said_at_once_with_its_place() {
    let source = include_str!("golden/wrong.hcl");
    let expected = include_str!("golden/wrong.txt");
    let errors = hcl(source).expect_err("a wrong job");
    assert_eq!(format!("{errors}\n"), expected);
}

#[test]
fn places_in_files_of_2016_are_the_users_own() {
    let source = "job \"j\" { group \"g\" { task \"t\" { driver = \"docker\", coutn = 1 } count = \"x\" } }";
    let text = plain(hcl(source));
    assert_eq!(
        text,
        "job.hcl:1:53: job \"j\" > group \"g\" > task \"t\": task has no attribute \"coutn\"\n\
         job.hcl:1:73: job \"j\" > group \"g\": count has to be a whole number, not \"x\""
    );
    let errors = hcl(source).expect_err("a wrong job");
    assert_eq!(&errors.items()[0].line_text[errors.items()[0].mark.clone()], "coutn");
}

/// Parts of a job, a group and a task, and the end of a line that is said about them.
const RULES: &[(&str, &str, &str, &str)] = &[
    ("type = \"servce\"", "", "", "there is no job type \"servce\" (did you mean \"service\"?)"),
    (
        "type = \"system\"",
        "",
        "",
        "jobs of type \"system\" are not served yet: this version runs service and batch",
    ),
    ("namespace = \"a b\"", "", "", "the namespace can't hold ' '"),
    ("datacenters = [\"\"]", "", "", "datacenter 1 has no name"),
    (
        "update = 3",
        "",
        "",
        "update is a block, not an attribute (write update { … }, without an equals sign)",
    ),
    ("priority {\n}", "", "", "priority is an attribute, not a block (write priority = …)"),
    ("Priority = 5", "", "", "job has no attribute \"Priority\" (did you mean \"priority\"?)"),
    ("update {\nstagger = \"-1s\"\n}", "", "", "stagger can't be negative"),
    ("update {\n}\nupdate {\n}", "", "", "update is given twice"),
    ("group {\n}", "", "", "the block group needs a name (write group \"name\" { … })"),
    ("update \"x\" {\n}", "", "", "the block update has no label (write update { … })"),
    ("constraint {\nattribute = \"${attr.a}\"\n}", "", "", "a constraint needs a value to compare with"),
    ("constraint {\nvalue = \"x\"\n}", "", "", "a constraint needs an attribute to look at"),
    (
        "constraint {\nattribute = \"a\"\nregexp = \"(\"\n}",
        "",
        "",
        "\"(\" is no regular expression: unclosed group",
    ),
    (
        "constraint {\nattribute = \"a\"\nversion = \"x1\"\n}",
        "",
        "",
        "\"x1\" is no version condition (write it like \">= 1.2, < 2.0\")",
    ),
    (
        "constraint {\nattribute = \"a\"\noperator = \"=~\"\nvalue = \"x\"\n}",
        "",
        "",
        "there is no operator \"=~\" (did you mean \"==\"?)",
    ),
    ("", "count = 1.5", "", "count has to be a whole number, not 1.5"),
    ("", "count = 100001", "", "count can't be 100001 (between 0 and 100000)"),
    ("", "restart {\nmode = \"dely\"\n}", "", "there is no restart mode \"dely\" (did you mean \"delay\"?)"),
    (
        "",
        "ephemeral_disk {\nsize = -1\n}",
        "",
        "the size of ephemeral_disk can't be -1 (between 0 and 16777216)",
    ),
    (
        "",
        "network {\nmode = \"bridge\"\n}",
        "",
        "network mode \"bridge\" is not served yet: tasks share the host's network for now",
    ),
    (
        "",
        "network {\nport \"a\" {\nstatic = 80\n}\nport \"b\" {\nstatic = 80\n}\n}",
        "",
        "port 80 is already taken in this group, by \"a\"",
    ),
    ("", "network {\nport \"a\" {}\nport \"a\" {}\n}", "", "there are two ports called \"a\""),
    ("", "", "kill_signal = \"term\"", "there is no signal \"term\" (did you mean \"SIGTERM\"?)"),
    (
        "",
        "",
        "kill_timeout = true",
        "kill_timeout has to be a duration, not a truth value (write it like \"30s\", \"5m\" or \"1h30m\")",
    ),
    ("", "", "resources {\nmemory = 5\n}", "memory can't be 5 (between 10 and 16777216)"),
    ("", "", "resources {\ncpu = -5\n}", "cpu can't be -5 (between 0 and 10000000)"),
    ("", "", "logs {\nmax_files = -1\n}", "max_files can't be -1 (between 0 and 1000)"),
    ("", "", "env {\nA = [1]\n}", "env \"A\" has to be a text, not a list"),
    ("", "", "env {\nfoo {\n}\n}", "there are no blocks here: \"foo\" is one (write foo = …)"),
    ("", "", "config = [1]", "config has to be an object, not a list"),
    (
        "",
        "",
        "template {\ndata = \"x\"\n}",
        "template is not served yet: templates are not rendered yet: the task would start without its files",
    ),
    ("", "", "leader = \"maybe\"", "leader has to be true or false, not a text"),
];

#[test]
fn each_rule_says_what_is_wrong() {
    for (job, group, task, expected) in RULES {
        let text = plain(hcl(&job_with(job, group, task)));
        let found =
            text.lines().any(|line| line.split_once(": ").is_some_and(|(_, rest)| rest.ends_with(expected)));
        assert!(found, "{job}{group}{task}:\nexpected {expected}\nfound    {text}");
    }
}

#[test]
fn names_are_bounded_and_printable() {
    for (name, expected) in [
        ("", "a job needs a name"),
        ("a b", "the job's name can't hold ' '"),
        ("a\\u0007", "the job's name can't hold '\\u{7}'"),
        (&"x".repeat(129), "the job's name is too long: 129 bytes, at most 128"),
    ] {
        let text = plain(hcl(&job_with("", "", "").replacen("\"j\"", &format!("\"{name}\""), 1)));
        assert!(text.contains(expected), "{name}: {text}");
    }
    let text = plain(hcl(&job_with("", "", "").replacen("\"t\"", "\"../up\"", 1)));
    assert!(text.contains("the task's name can't hold '/'"), "{text}");
}

#[test]
fn a_file_holds_exactly_one_job() {
    assert_eq!(
        plain(hcl("locals {}\n")),
        "job.hcl:1:1: there is no job in this file (a job file holds one block: job \"name\" { … })"
    );
    let two = format!("{}{}", job_with("", "", ""), job_with("", "", ""));
    assert!(plain(hcl(&two)).contains("there is a second job: a file holds exactly one"));
    assert!(
        plain(hcl("jbo \"x\" {\n}\n")).contains("a job file has no block \"jbo\" (did you mean \"job\"?)")
    );
    assert!(plain(hcl("type = \"x\"\n")).contains("\"type\" stands outside of a job"));
}

#[test]
fn what_is_not_hcl_is_shown() {
    let errors = hcl("job \"j\" {\n  group \"g\" {\n    count = = 2\n  }\n}\n").expect_err("broken text");
    let first = &errors.items()[0];
    assert_eq!((first.line, first.col), (3, 13), "{errors}");
    assert!(first.message.starts_with("this is not HCL: "), "{errors}");
    let errors = hcl("job \"j\" {\n  group \"g\" {\n").expect_err("unfinished text");
    assert!(errors.items()[0].line >= 2, "{errors}");
}

#[test]
fn errors_are_bounded() {
    let many: String = (0..200).map(|i| format!("x{i} = 1\n")).collect();
    let errors = hcl(&job_with(&many, "", "")).expect_err("a wrong job");
    assert_eq!((errors.items().len(), errors.more()), (MAX_DIAGNOSTICS, 200 - MAX_DIAGNOSTICS));
    assert!(errors.plain().ends_with("and 150 more"));
    let long = job_with(&format!("nope = \"{}\"", "x".repeat(10_000)), "", "");
    assert!(hcl(&long).expect_err("a wrong job").to_string().len() < 1_000);
}

#[test]
fn small_durations_without_a_unit_are_pointed_out() {
    let parsed = hcl(&job_with("", "", "kill_timeout = 30")).expect("30 nanoseconds");
    assert_eq!(
        parsed.warnings,
        ["job \"j\" > group \"g\" > task \"t\": kill_timeout is 30 nanoseconds: write \"30s\" for seconds"]
    );
}
