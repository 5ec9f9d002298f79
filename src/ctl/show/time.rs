//! Instants and spans for people. Now comes in.

use jiff::{Timestamp, Unit};

const UNITS: [(i64, &str); 5] = [(31_536_000, "y"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];

/// A span as its two largest units: `1m30s`, `3d4h`; `<1s` below a second.
pub(crate) fn span(nanoseconds: i64) -> String {
    let mut seconds = nanoseconds.max(0) / 1_000_000_000;
    let mut out = String::new();
    for (at, (unit, name)) in UNITS.iter().enumerate() {
        let count = seconds / unit;
        if count == 0 {
            continue;
        }
        out.push_str(&format!("{count}{name}"));
        seconds -= count * unit;
        if let Some((next, name)) = UNITS.get(at + 1)
            && seconds / next > 0
        {
            out.push_str(&format!("{}{name}", seconds / next));
        }
        return out;
    }
    "<1s".into()
}

/// How long ago an instant was (both in nanoseconds since 1970); empty for none.
pub(crate) fn age(now: i64, then: i64) -> String {
    if then == 0 { String::new() } else { span(now.saturating_sub(then)) }
}

/// As [`age`], with the word.
pub(crate) fn ago(now: i64, then: i64) -> String {
    if then == 0 { String::new() } else { format!("{} ago", age(now, then)) }
}

/// An instant (nanoseconds since 1970) as RFC 3339 in UTC, to the second; empty for none.
pub(crate) fn date(then: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(then)) {
        Ok(at) if then != 0 => at.round(Unit::Second).unwrap_or(at).to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_their_two_largest_units() {
        let seconds = |s: i64| span(s * 1_000_000_000);
        assert_eq!(span(999_999_999), "<1s");
        assert_eq!(seconds(59), "59s");
        assert_eq!(seconds(60), "1m");
        assert_eq!(seconds(90), "1m30s");
        assert_eq!(seconds(3_605), "1h");
        assert_eq!(seconds(86_400 * 3 + 4 * 3_600 + 59), "3d4h");
        assert_eq!(seconds(400 * 86_400), "1y35d");
    }

    #[test]
    fn no_instant_shows_as_nothing() {
        assert_eq!(ago(5, 0), "");
        assert_eq!(date(0), "");
        assert_eq!(date(1_700_000_000_000_000_000), "2023-11-14T22:13:20Z");
    }
}
