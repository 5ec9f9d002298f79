//! The kinds of thing that verbs name: `get allocs`, `logs job/web`.

/// What `get` lists and `status` searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A declared job.
    Job,
    /// A machine.
    Node,
    /// An instance of a group on a node.
    Alloc,
    /// A look at a job.
    Eval,
}

/// Every spelling, the first of each being its short name and the second its plural.
const NAMES: [(Kind, &[&str]); 4] = [
    (Kind::Job, &["job", "jobs", "j"]),
    (Kind::Node, &["node", "nodes", "no"]),
    (Kind::Alloc, &["alloc", "allocs", "allocation", "allocations", "al"]),
    (Kind::Eval, &["eval", "evals", "evaluation", "evaluations", "ev"]),
];

impl Kind {
    /// All of them, in the order in which `status` searches.
    pub(crate) const ALL: [Kind; 4] = [Kind::Job, Kind::Node, Kind::Alloc, Kind::Eval];

    /// From any of its spellings.
    ///
    /// # Errors
    /// With the spellings there are.
    pub(crate) fn parse(word: &str) -> Result<Kind, String> {
        let found = NAMES.iter().find(|(_, names)| names.contains(&word.to_lowercase().as_str()));
        found.map(|(kind, _)| *kind).ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|(_, names)| names[1]).collect();
            format!("no kind {word:?}; there are {}", known.join(", "))
        })
    }

    /// As in `job/web`.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Kind::Job => "job",
            Kind::Node => "node",
            Kind::Alloc => "alloc",
            Kind::Eval => "eval",
        }
    }

    /// As in a sentence.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Job => "job",
            Kind::Node => "node",
            Kind::Alloc => "allocation",
            Kind::Eval => "evaluation",
        }
    }

    /// Splits `alloc/1f2e` into its kind and the rest; anything else is no such reference.
    pub(crate) fn split(reference: &str) -> Option<(Kind, &str)> {
        let (kind, rest) = reference.split_once('/')?;
        Some((Kind::parse(kind).ok()?, rest)).filter(|(_, rest)| !rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_kind_a_slash_and_a_name_that_may_hold_slashes() {
        assert_eq!(Kind::split("job/team/web"), Some((Kind::Job, "team/web")));
        assert_eq!(Kind::split("Allocs/1f"), Some((Kind::Alloc, "1f")));
        assert_eq!(Kind::split("team/web"), None);
        assert_eq!(Kind::split("job/"), None);
    }

    #[test]
    fn an_unknown_kind_names_the_known_ones() {
        assert_eq!(
            Kind::parse("pods").unwrap_err(),
            "no kind \"pods\"; there are jobs, nodes, allocs, evals"
        );
    }
}
