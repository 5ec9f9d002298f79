//! Versions and lists of version constraints (`>= 1.2, < 2.0`), with any number of segments.

use std::cmp::Ordering;

/// A version: numbers, and what follows `-` (a pre-release). What follows `+` does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The numbers, as written: `1.2` has two.
    segments: Vec<u64>,
    pre: String,
}

impl Version {
    /// Reads `1`, `1.2`, `v1.2.3-rc.1+build`; `None` for what is no version.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next()?;
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, pre) = text.split_at(end);
        let segments: Option<Vec<u64>> = numbers.split('.').map(|s| s.parse().ok()).collect();
        let pre = match pre.strip_prefix('-') {
            Some("") => return None,
            Some(pre) => pre,
            // `1.2beta` is written, too; `1.2 3` isn't a version.
            None if pre.chars().all(|c| c.is_ascii_alphanumeric() || "-.~".contains(c)) => pre,
            None => return None,
        };
        let known = |c: char| c.is_ascii_alphanumeric() || "-.~".contains(c);
        pre.chars().all(known).then_some(())?;
        Some(Version { segments: segments?, pre: pre.to_owned() })
    }

    fn segment(&self, at: usize) -> u64 {
        self.segments.get(at).copied().unwrap_or(0)
    }

    fn same_segments(&self, other: &Version) -> bool {
        self.compare_segments(other) == Ordering::Equal
    }

    fn compare_segments(&self, other: &Version) -> Ordering {
        let len = self.segments.len().max(other.segments.len());
        (0..len)
            .map(|i| self.segment(i).cmp(&other.segment(i)))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.compare(other))
    }
}

impl Version {
    /// The order of versions: missing segments are 0, a pre-release comes before its release.
    fn compare(&self, other: &Version) -> Ordering {
        self.compare_segments(other).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }
}

/// Part by part: numbers by value and before words, and a longer list after its beginning.
fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Pessimistic,
}

/// A list of conditions, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement(Vec<(Operator, Version)>);

impl Requirement {
    /// Reads `>= 1.2, < 2.0`, `~> 1.4`, `1.0`; `None` for what is no such list.
    pub fn parse(text: &str) -> Option<Requirement> {
        text.split(',').map(one).collect::<Option<Vec<_>>>().map(Requirement)
    }

    /// Do all conditions hold for this version?
    pub fn holds(&self, version: &Version) -> bool {
        self.0.iter().all(|(operator, wanted)| holds(*operator, version, wanted))
    }
}

fn one(text: &str) -> Option<(Operator, Version)> {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual, Pessimistic};
    let text = text.trim();
    // Longer spellings first: `>=` starts with `>`.
    let spellings = [
        (">=", GreaterOrEqual),
        ("<=", LessOrEqual),
        ("!=", NotEqual),
        ("~>", Pessimistic),
        (">", Greater),
        ("<", Less),
        ("=", Equal),
    ];
    let found = spellings.iter().find_map(|(spelling, op)| Some((*op, text.strip_prefix(spelling)?)));
    let (operator, rest) = found.unwrap_or((Equal, text));
    Some((operator, Version::parse(rest)?))
}

fn holds(operator: Operator, seen: &Version, wanted: &Version) -> bool {
    let order = seen.compare(wanted);
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Greater => pre_release_may(seen, wanted) && order.is_gt(),
        Operator::Less => pre_release_may(seen, wanted) && order.is_lt(),
        Operator::GreaterOrEqual => pre_release_may(seen, wanted) && order.is_ge(),
        Operator::LessOrEqual => pre_release_may(seen, wanted) && order.is_le(),
        Operator::Pessimistic => {
            // `~> 1.2.3` fixes all segments but the last that is written: at least 1.2.3, and still 1.2.
            let fixed = wanted.segments.len().saturating_sub(1);
            let pre_ok = pre_release_may(seen, wanted) && (wanted.pre.is_empty() || !seen.pre.is_empty());
            pre_ok && order.is_ge() && (0..fixed).all(|i| seen.segment(i) == wanted.segment(i))
        }
    }
}

/// A pre-release satisfies a range only if the range itself names a pre-release of the same segments.
fn pre_release_may(seen: &Version, wanted: &Version) -> bool {
    seen.pre.is_empty() || (!wanted.pre.is_empty() && seen.same_segments(wanted))
}
