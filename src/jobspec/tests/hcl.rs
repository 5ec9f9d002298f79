//! Job files: expressions, variables, and the form of 2016.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{hcl, hcl_json, job_with, plain};
use crate::{parse_duration, parse_hcl, to_api_json};

/// The value that an expression has in a driver's config.
fn value(expr: &str) -> Value {
    let job = hcl_json(&job_with("", "", &format!("config {{\nx = {expr}\n}}")));
    job["TaskGroups"][0]["Tasks"][0]["Config"]["x"].clone()
}

/// The error that an expression gives.
fn fault(expr: &str) -> String {
    let source = job_with("", "", &format!("config {{\nx = {expr}\n}}"));
    let text = plain(hcl(&source));
    text.rsplit("> config: ").next().unwrap_or_default().to_owned()
}

#[test]
fn expressions_are_evaluated() {
    for (expr, expected) in [
        ("1", json!(1)),
        ("-1.5", json!(-1.5)),
        ("7 / 2", json!(3.5)),
        ("6 / 2", json!(3)),
        ("7 % 4 + 2 * 3", json!(9)),
        ("true ? \"a\" : \"b\"", json!("a")),
        ("1 == 1.0 && !(2 < 1)", json!(true)),
        ("[1, \"two\", [3]]", json!([1, "two", [3]])),
        ("{ a = 1, \"b\" : 2 }", json!({"a": 1, "b": 2})),
        ("\"${1 + 1}\"", json!(2)),
        ("\"n=${1 + 1}\"", json!("n=2")),
        ("[for i in [1, 2, 3] : i * 2 if i != 2]", json!([2, 6])),
        ("{for k, v in {a = 1} : upper(k) => v}", json!({"A": 1})),
        ("[{a = 1}, {a = 2}][*].a", json!([1, 2])),
        ("\"%{ if true }yes%{ else }no%{ endif }\"", json!("yes")),
        ("\"%{ for x in [1, 2] }<${x}>%{ endfor }\"", json!("<1><2>")),
        ("\"a  ${~ \"b\" ~}  c\"", json!("abc")),
        ("<<EOF\nline\nEOF", json!("line\n")),
        ("<<-EOF\n    a\n      b\n    EOF", json!("a\n  b\n")),
        ("\"$${not.ours}\"", json!("${not.ours}")),
        ("try(var.nope, 3)", json!(3)),
        ("can(1 / 0)", json!(false)),
    ] {
        assert_eq!(value(expr), expected, "{expr}");
    }
}

#[test]
fn functions_of_everyday_use_are_there() {
    for (expr, expected) in [
        ("format(\"%s-%03d-%v\", \"a\", 7, true)", json!("a-007-true")),
        ("join(\",\", [\"a\", \"b\"])", json!("a,b")),
        ("split(\",\", \"a,b\")", json!(["a", "b"])),
        ("replace(\"a.b\", \".\", \"-\")", json!("a-b")),
        ("trimprefix(\"v1\", \"v\")", json!("1")),
        ("substr(\"hello\", 1, 3)", json!("ell")),
        ("max(1, 5, 3)", json!(5)),
        ("concat([1], [2])", json!([1, 2])),
        ("lookup({a = 1}, \"b\", 9)", json!(9)),
        ("merge({a = 1}, {b = 2})", json!({"a": 1, "b": 2})),
        ("range(1, 4)", json!([1, 2, 3])),
        ("length(\"héé\")", json!(3)),
        ("jsonencode({a = [1]})", json!("{\"a\":[1]}")),
        ("jsondecode(\"[1]\")", json!([1])),
        ("base64encode(\"hello\")", json!("aGVsbG8=")),
        ("element([\"a\", \"b\"], 3)", json!("b")),
        ("distinct([1, 2, 1])", json!([1, 2])),
        ("max([1, 2]...)", json!(2)),
        ("zipmap([\"a\"], [1])", json!({"a": 1})),
        ("coalesce(\"\", \"x\")", json!("x")),
        ("tonumber(\"8\") + 1", json!(9)),
        ("flatten([[1], [2, [3]]])", json!([1, 2, 3])),
    ] {
        assert_eq!(value(expr), expected, "{expr}");
    }
}

#[test]
fn what_only_a_node_knows_stays_text() {
    for (expr, expected) in [
        ("\"${attr.kernel.name}\"", "${attr.kernel.name}"),
        ("\"${NOMAD_PORT_http}\"", "${NOMAD_PORT_http}"),
        ("\"a-${TASKGROUP}-b\"", "a-${TASKGROUP}-b"),
        ("\"${network.ip-address}\"", "${network.ip-address}"),
        ("\"${env[\"HOME\"]}\"", "${env[\"HOME\"]}"),
        ("\"${meta.some-key}\"", "${meta.some-key}"),
        ("\"${who.knows.this}\"", "${who.knows.this}"),
        ("attr.cpu.arch", "${attr.cpu.arch}"),
        ("\"$attr.kernel.name\"", "${attr.kernel.name}"),
        ("\"x:$node.datacenter,y:$meta.a-b.\"", "x:${node.datacenter},y:${meta.a-b}."),
        ("\"$GREETING $HOME $attribute $attr $$attr.x\"", "$GREETING $HOME $attribute $attr $$attr.x"),
    ] {
        assert_eq!(value(expr), json!(expected), "{expr}");
    }
}

#[test]
fn what_has_no_value_is_an_error_and_nothing_else() {
    for (expr, expected) in [
        ("1 / 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("1e308 * 10", "the result is too large for a number"),
        ("-(-9223372036854775807 - 1)", ""),
        ("nosuch(1)", "nosuch: there is no such function"),
        ("uper(\"a\")", "uper: there is no such function (did you mean \"upper\"?)"),
        ("file(\"/etc/passwd\")", "file: this function is not available in Encamp's job files"),
        ("local.x", "the local \"x\" is not declared"),
        ("service", "there is nothing called \"service\" (a text is written in quotes: \"service\")"),
        ("[1][3]", "the list has 1 items: there is none at this index"),
        ("{a = 1}.b", "there is no member \"b\""),
        ("attr.x == \"y\" ? 1 : 2", "this is only known on the node, so nothing can be decided by it here"),
        ("range(1e9)", "range: makes more than 10000 items"),
        ("\"${[1]}x\"", "a list is no text"),
        ("join(\",\", \"a\")", "join: this has to be a list"),
        ("upper()", "upper: takes 1 arguments, not 0"),
    ] {
        if expected.is_empty() {
            // Overflows a whole number, so it becomes the nearest float.
            assert_eq!(value(expr), json!(9_223_372_036_854_775_808.0_f64), "{expr}");
        } else {
            assert_eq!(fault(expr), expected, "{expr}");
        }
    }
}

#[test]
fn values_that_explode_are_stopped() {
    let mut locals = String::from("locals {\na0 = [\"0123456789\"]\n");
    for i in 1..40 {
        locals.push_str(&format!("a{i} = [local.a{}, local.a{}]\n", i - 1, i - 1));
    }
    locals.push_str("}\n");
    let text = plain(hcl(&format!("{locals}{}", job_with("", "", "config {\nx = local.a39\n}"))));
    assert!(text.contains("grow too large") || text.contains("nested"), "{text}");

    let mut chain = String::from("locals {\na0 = [1]\n");
    let mut uses = String::new();
    for i in 1..500 {
        chain.push_str(&format!("a{i} = [local.a{}]\n", i - 1));
        uses.push_str(&format!("x{i} = local.a{i}\n"));
    }
    chain.push_str("}\n");
    let text = plain(hcl(&format!("{chain}{}", job_with("", "", &format!("config {{\n{uses}\n}}")))));
    assert!(text.contains("nested deeper than 64 levels"), "{text}");

    let text = plain(hcl(&format!(
        "locals {{\na = local.b\nb = local.a\n}}\n{}",
        job_with("", "", "user = local.a")
    )));
    assert!(text.contains("the local \"a\" refers to itself"), "{text}");
}

#[test]
fn depth_is_bounded_everywhere() {
    for (open, close) in
        [("[", "]"), ("(", ")"), ("{a=", "}"), ("upper(", ")"), ("\"${", "}\""), ("-", ""), ("!", "")]
    {
        let bomb = format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
        let text = plain(hcl(&job_with("", "", &format!("config {{\nx = {bomb}\n}}"))));
        assert!(!text.is_empty(), "{open}");
    }
    let blocks = format!("{}{}", "a {\n".repeat(20_000), "}\n".repeat(20_000));
    assert!(plain(hcl(&blocks)).contains("64"), "blocks");
    let chain = format!("x = 1{}", " + 1".repeat(5_000));
    assert!(!plain(hcl(&job_with("", "", &format!("config {{\n{chain}\n}}")))).is_empty());
    let longest = format!("x = 1{}", " + 1".repeat(120));
    assert_eq!(hcl_json(&job_with("", "", &format!("config {{\n{longest}\n}}")))["ID"], "j");
    let big = job_with("", "", &format!("user = \"{}\"", "x".repeat(300_000)));
    assert!(plain(hcl(&big)).contains("bytes are too many"), "size");
}

#[test]
fn variables_and_locals_are_filled_in() {
    let source = format!(
        "variable \"count\" {{\ntype = number\ndefault = 2\n}}\nvariable \"image\" {{}}\n\
         variable \"dcs\" {{\ntype = list(string)\ndefault = [\"a\"]\n}}\n\
         locals {{\nname = \"${{var.image}}:latest\"\n}}\n{}",
        job_with("datacenters = var.dcs", "count = var.count + 1", "config {\nimage = local.name\n}")
    );
    let vars = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let given = vars(&[("image", "redis"), ("count", "4"), ("dcs", "[\"x\", \"y\"]")]);
    let job = to_api_json(&parse_hcl(&source, "v.hcl", &given).unwrap_or_else(|e| panic!("{e}")).job);
    assert_eq!(job["Datacenters"], json!(["x", "y"]));
    assert_eq!(job["TaskGroups"][0]["Count"], 5);
    assert_eq!(job["TaskGroups"][0]["Tasks"][0]["Config"]["image"], "redis:latest");

    let wrong = plain(parse_hcl(&source, "v.hcl", &vars(&[("count", "many"), ("imag", "x")])));
    assert!(wrong.contains("-var: the value of the variable \"count\" has to be a number"), "{wrong}");
    assert!(
        wrong.contains("-var: the job file declares no variable \"imag\" (did you mean \"image\"?)"),
        "{wrong}"
    );
    assert!(wrong.contains("v.hcl:5:10: the variable \"image\" has no value"), "{wrong}");

    let names: Vec<String> = crate::variables(&source).into_iter().collect();
    assert_eq!(names, ["count", "dcs", "image"]);
    assert!(crate::variables("variables {\na = 1\n}").contains("a"));
    assert!(crate::variables("{}").is_empty() && crate::variables("variable {").is_empty());
}

#[test]
fn validations_of_variables_hold() {
    let source = format!(
        "variable \"n\" {{\ndefault = 3\nvalidation {{\ncondition = var.n > 5\nerror_message = \"n is too small\"\n}}\n}}\n{}",
        job_with("", "", "")
    );
    assert_eq!(plain(hcl(&source)), "job.hcl:4:13: n is too small");
}

#[test]
fn dynamic_blocks_are_written_out() {
    let group = "network {\ndynamic \"port\" {\nfor_each = {http = 80, https = 443}\nlabels = [port.key]\n\
                 content {\nstatic = port.value\n}\n}\n}";
    let job = hcl_json(&job_with("", group, ""));
    let expected = json!([{"Label": "http", "Value": 80}, {"Label": "https", "Value": 443}]);
    assert_eq!(job["TaskGroups"][0]["Networks"][0]["ReservedPorts"], expected);
}

#[test]
fn conditions_have_short_forms() {
    for (written, expected) in [
        ("attribute = \"${attr.a}\"\nvalue = \"b\"", json!([{"LTarget": "${attr.a}", "RTarget": "b"}])),
        (
            "attribute = \"${attr.a}\"\noperator = \">=\"\nvalue = 3",
            json!([{"LTarget": "${attr.a}", "Operand": ">=", "RTarget": "3"}]),
        ),
        (
            "attribute = \"${attr.a}\"\nversion = \">= 1.2, < 2\"",
            json!([{"LTarget": "${attr.a}", "Operand": "version", "RTarget": ">= 1.2, < 2"}]),
        ),
        ("distinct_hosts = true", json!([{"Operand": "distinct_hosts"}])),
        (
            "operator = \"distinct_hosts\"\nvalue = \"true\"",
            json!([{"Operand": "distinct_hosts", "RTarget": "true"}]),
        ),
        ("distinct_hosts = false", Value::Null),
    ] {
        let job = hcl_json(&job_with(&format!("constraint {{\n{written}\n}}"), "", ""));
        assert_eq!(job["Constraints"], expected, "{written}");
    }
}

#[test]
fn a_task_without_a_group_is_a_group_of_its_own() {
    let job = hcl_json("job \"j\" {\ntask \"t\" {\ndriver = \"docker\"\n}\n}");
    assert_eq!(job["TaskGroups"], json!([{"Name": "t", "Tasks": [{"Name": "t", "Driver": "docker"}]}]));
}

#[test]
fn driver_settings_keep_their_form() {
    let config = "config {\nimage = \"x\"\nport_map {\nhttp = 80\n}\nmount {\ntype = \"bind\"\n}\nmount {\ntype = \"tmpfs\"\n}\n\
                  logging \"fluentd\" {\ntag = \"t\"\n}\nlabels = {\n\"a.b\" = 1\n}\nnothing = null\n}";
    let job = hcl_json(&job_with("", "", config));
    let expected = json!({
        "image": "x", "port_map": [{"http": 80}], "mount": [{"type": "bind"}, {"type": "tmpfs"}],
        "logging": [{"fluentd": [{"tag": "t"}]}], "labels": {"a.b": 1},
    });
    assert_eq!(job["TaskGroups"][0]["Tasks"][0]["Config"], expected);
}

#[test]
fn files_of_2016_mean_what_todays_form_means() {
    let today = "job \"j\" {\n  datacenters = [\"dc1\"]\n  group \"g\" {\n    count = 2\n    task \"t\" {\n      driver = \"docker\"\n      \
                 config {\n        image = \"x\"\n        port_map {\n          http = 8080\n        }\n      }\n      env {\n        A = \"1\"\n        \
                 B = \"2\"\n      }\n      resources {\n        cpu = 100\n        network {\n          mbits = 1\n          port \"http\" {}\n          \
                 port \"ssh\" {\n            static = \"22\"\n          }\n        }\n      }\n    }\n  }\n}\n";
    let one_line = "job \"j\" { datacenters = [\"dc1\"] group \"g\" { count = 2 task \"t\" { driver = \"docker\" config { image = \"x\" \
                    port_map { http = 8080 } } env { A = \"1\" B = \"2\" } resources { cpu = 100 network { mbits = 1 port \"http\" {} \
                    port \"ssh\" { static = \"22\" } } } } } }";
    let commas = "job \"j\" {\n datacenters = [\"dc1\"],\n group \"g\" {\n count = \"2\",\n task \"t\" { driver = \"docker\",\n config { image = \"x\", \
                  port_map { http = 8080 } }\n env { A = \"1\", B = \"2\" }\n resources {\n cpu = \"100\", network { mbits = 1, port \"http\" {}, \
                  port \"ssh\" { static = 22 } }\n}\n}\n}\n}";
    let quoted = "\"job\" \"j\" {\n \"datacenters\" = [\"dc1\"]\n \"group\" \"g\" {\n \"count\" = 2\n \"task\" \"t\" {\n \"driver\" = \"docker\"\n \
                  \"config\" {\n \"image\" = \"x\"\n \"port_map\" {\n \"http\" = 8080\n}\n}\n \"env\" {\n \"A\" = \"1\"\n \"B\" = \"2\"\n}\n \"resources\" {\n \
                  \"cpu\" = 100\n \"network\" {\n \"mbits\" = 1\n \"port\" \"http\" {}\n \"port\" \"ssh\" {\n \"static\" = 22\n}\n}\n}\n}\n}\n}\n";
    let expected = hcl(today).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(expected.notes, Vec::<String>::new());
    for old in [one_line, commas, quoted, &one_line.replace('\n', "\r\n")] {
        let parsed = hcl(old).unwrap_or_else(|errors| panic!("{errors}\n{old}"));
        assert_eq!(parsed.notes.len(), 1, "{old}");
        assert_eq!(parsed.job, expected.job, "{old}");
    }
}

#[test]
fn keys_that_are_no_identifiers_survive_the_form_of_2016() {
    let job =
        hcl_json(&job_with("meta { \"a.b/c\" = \"1\" }", "", "env { \"X Y\" = 2, Z = \"a, b { c }\" }"));
    assert_eq!(job["Meta"], json!({"a.b/c": "1"}));
    assert_eq!(job["TaskGroups"][0]["Tasks"][0]["Env"], json!({"X Y": "2", "Z": "a, b { c }"}));
}

#[test]
fn other_habits_of_2016_are_understood() {
    let config = "config { mounts = [ { target = \"/x\" \n bind { propagation = \"shared\" } } ]\n \
                  args = [\"${SECS:-2} ${1} ${NOMAD_PORT_x}\", \"%{http_code}\"] }";
    let job = hcl_json(&job_with("", "", &format!("{config}\nenv {{ registry.consul.addr = \"a\" }}")));
    let task = &job["TaskGroups"][0]["Tasks"][0];
    let mounts = json!([{"target": "/x", "bind": [{"propagation": "shared"}]}]);
    assert_eq!(task["Config"]["mounts"], mounts);
    assert_eq!(task["Config"]["args"], json!(["${SECS:-2} ${1} ${NOMAD_PORT_x}", "%{http_code}"]));
    assert_eq!(task["Env"], json!({"registry.consul.addr": "a"}));
}

#[test]
fn line_endings_marks_and_comments_make_no_difference() {
    let plain_text = job_with("# one\npriority = 60 // two", "/* three\n */ count = 2", "");
    let expected = hcl_json(&plain_text);
    assert_eq!(hcl_json(&plain_text.replace('\n', "\r\n")), expected);
    assert_eq!(hcl_json(&format!("\u{feff}{plain_text}")), expected);
    assert_eq!(hcl_json(plain_text.trim_end()), expected);
}

#[test]
fn durations_are_gos() {
    for (text, expected) in [
        ("0", Ok(0)),
        ("30s", Ok(30_000_000_000)),
        ("1h30m", Ok(5_400_000_000_000)),
        ("1.5s", Ok(1_500_000_000)),
        ("-2ms", Ok(-2_000_000)),
        ("100us", Ok(100_000)),
        ("100µs", Ok(100_000)),
        (".5m", Ok(30_000_000_000)),
        ("", Err("is empty")),
        ("30", Err("has no unit")),
        ("30 s", Err("has an unknown unit")),
        ("5d", Err("has an unknown unit")),
        ("s", Err("is not a number with a unit")),
        ("9999999999h", Err("is too long")),
        ("é", Err("is not a number with a unit")),
    ] {
        assert_eq!(parse_duration(text), expected, "{text}");
    }
}

#[test]
fn large_and_odd_files_take_no_odd_time() {
    let full = 250_000;
    for (unit, frame) in [
        (" ", "job"),
        ("a", "job \"j\" {"),
        ("x = 1\n", "job \"j\" {\n"),
        ("<<A\n", "job \"j\" { x = "),
        ("\"${", "job \"j\" { x = "),
        ("\"a.b\" = 1, ", "job \"j\" { meta { "),
        ("a {} ", "job \"j\" { "),
        ("/*", "x { y {} }"),
        ("[", "x = "),
        ("%{ if true }", "x = \""),
        ("${a}", "x = \""),
        ("{\"a\":", ""),
        ("\"a\",", "["),
        ("\\", "x = \""),
        ("a.b.", "x = "),
        ("1 + ", "x = "),
        ("!", "x = "),
    ] {
        let text = format!("{frame}{}", unit.repeat(full / unit.len()));
        assert!(crate::parse(&text, "x", &BTreeMap::new()).is_err(), "{unit}");
    }
    let distinct: String = (0..18_000).map(|i| format!("a{i} = {i}\n")).collect();
    let job = hcl_json(&job_with("", "", &format!("config {{\n{distinct}\n}}")));
    assert_eq!(job["TaskGroups"][0]["Tasks"][0]["Config"]["a17999"], 17_999);
}

#[test]
fn what_was_admitted_can_be_sent_again_however_deep_it_is() {
    for depth in 20..64 {
        let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let blocks = format!("{}x = 1\n{}", "a {\n".repeat(depth / 2), "}\n".repeat(depth / 2));
        let source = job_with("", "", &format!("config {{\n{blocks}\ny = {nested}\n}}"));
        let Ok(parsed) = hcl(&source) else { continue };
        let sent = json!({"Job": to_api_json(&parsed.job)}).to_string();
        let again = crate::parse_json(&sent, "x").unwrap_or_else(|e| panic!("{depth}: {e}"));
        assert_eq!(again.job, parsed.job);
    }
}
