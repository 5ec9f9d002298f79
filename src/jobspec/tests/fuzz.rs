//! Mutated job files, as HCL and as JSON, for as long as `ENCAMP_FUZZ_SECONDS` says (5 unless set): no panic, bounded
//! time for each, and what is admitted is admitted again unchanged.
//!
//! The seed is printed and can be given as `ENCAMP_FUZZ_SEED`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use encamp_jobspec::{EXAMPLE, admit, parse, to_api_json};

/// A small generator of our own, so that a seed means the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }
}

const OWN: &[&str] = &[
    EXAMPLE,
    include_str!("corpus/everything.hcl"),
    include_str!("corpus/expressions.hcl"),
    include_str!("corpus/old.nomad"),
    include_str!("corpus/filled.json"),
];

const SNIPPETS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "\"${",
    "}\"",
    "${",
    "%{ if true }",
    "%{ endif }",
    "<<EOF\n",
    "\nEOF\n",
    "<<-X\n",
    "=",
    ",",
    ":",
    ".",
    "...",
    "?",
    "*",
    "/",
    "%",
    "-",
    "!",
    "&&",
    "||",
    "==",
    "1e308",
    "1/0",
    "9223372036854775808",
    "-1",
    "0",
    "null",
    "true",
    "#",
    "//",
    "/*",
    "*/",
    "\n",
    "\r\n",
    "\\",
    "\\u00",
    "é",
    "\u{feff}",
    "for x in [1] :",
    "dynamic \"port\" {\n",
    "content {\n",
    "job \"x\" {",
    "group \"g\" {",
    "task \"t\" {",
    "network {",
    "port \"p\" {}",
    "local.a",
    "var.a",
    "attr.x",
    "$attr.x",
    "$$",
    "try(",
    "range(0, 10000)",
    "format(\"%d\", 1)",
    "\"Job\":",
    "\"TaskGroups\":",
    "1.5",
    "\"30s\"",
    "[[[[[[[[",
    "{a={a={a=",
];

fn corpus() -> Vec<String> {
    let mut corpus: Vec<String> = OWN.iter().map(|text| (*text).to_owned()).collect();
    let deck = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/deck/jobs");
    match fs::read_dir(&deck) {
        Ok(entries) => {
            let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            files.sort();
            corpus.extend(files.iter().filter_map(|path| fs::read_to_string(path).ok()));
        }
        Err(_) => eprintln!("there is no deck at {}: the corpus is ours alone", deck.display()),
    }
    corpus
}

fn mutate(random: &mut Random, corpus: &[String]) -> String {
    let mut bytes = corpus[random.below(corpus.len())].clone().into_bytes();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(7) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            2 | 3 => {
                let snippet = SNIPPETS[random.below(SNIPPETS.len())];
                bytes.splice(at..at, snippet.bytes());
            }
            4 => {
                let other = corpus[random.below(corpus.len())].as_bytes();
                let from = random.below(other.len() + 1);
                let to = (from + random.below(200)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            5 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next().to_le_bytes()[0];
                }
            }
            _ => {
                let times = random.below(100);
                let snippet = SNIPPETS[random.below(SNIPPETS.len())].repeat(times);
                bytes.splice(at..at, snippet.into_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// True if the text was admitted; panics if admitting again changes anything.
fn check(text: &str) -> bool {
    let Ok(first) = parse(text, "fuzz", &BTreeMap::new()) else { return false };
    let stored = to_api_json(&first.job);
    let again = admit(stored.clone()).unwrap_or_else(|errors| panic!("admitted once only: {errors}\n{text}"));
    assert_eq!(to_api_json(&again.job), stored, "{text}");
    true
}

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn mutated_job_files_never_panic_and_stay_as_admitted() {
    let seconds = number("ENCAMP_FUZZ_SECONDS", 5);
    let seed = number("ENCAMP_FUZZ_SEED", 1);
    let (to_worker, texts) = mpsc::sync_channel::<String>(1);
    let (answers, from_worker) = mpsc::channel();
    // The worker has the small stack of a server's thread, and is the one that may hang or panic.
    let worker = thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for text in texts {
            if answers.send(check(&text)).is_err() {
                return;
            }
        }
    });
    let worker = worker.expect("a thread");
    let corpus = corpus();
    let (stop, stopped) = mpsc::channel::<()>();
    let clock = thread::spawn(move || {
        let _ = stopped.recv_timeout(Duration::from_secs(seconds));
    });
    let (mut tried, mut admitted) = (0u64, 0u64);
    while !clock.is_finished() {
        let mut random = Random(seed.wrapping_add(tried));
        let text = mutate(&mut random, &corpus);
        to_worker
            .send(text.clone())
            .unwrap_or_else(|_| panic!("seed {seed}, run {tried}: panicked before:\n{text}"));
        match from_worker.recv_timeout(Duration::from_secs(20)) {
            Ok(was_admitted) => admitted += u64::from(was_admitted),
            Err(RecvTimeoutError::Timeout) => panic!("seed {seed}, run {tried} took more than 20 s:\n{text}"),
            Err(RecvTimeoutError::Disconnected) => panic!("seed {seed}, run {tried} panicked:\n{text}"),
        }
        tried += 1;
    }
    drop((to_worker, stop));
    worker.join().expect("the worker ends well");
    clock.join().expect("the clock ends well");
    println!("seed {seed}: {tried} texts, {admitted} admitted");
    assert!(admitted > 0, "of {tried} texts none was admitted: the corpus is broken");
}
