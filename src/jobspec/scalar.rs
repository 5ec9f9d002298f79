//! Durations in Go's text form, whole numbers, and the bare `$attr.…` of 2016.

use serde_json::Number;

/// Nanoseconds of a duration text such as "1h30m", "250ms" or "-1.5s".
///
/// # Errors
/// What is wrong with it, as a sentence part ("has no unit").
pub fn parse_duration(text: &str) -> Result<i64, &'static str> {
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err("is empty");
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (nanos, left) = one_part(rest)?;
        total = total.checked_add(nanos).filter(|t| *t <= i128::from(i64::MAX)).ok_or("is too long")?;
        rest = left;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| "is too long")
}

/// One number with its unit, and what follows it.
fn one_part(text: &str) -> Result<(i128, &str), &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err("is not a number with a unit");
    }
    let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_len);
    let scale: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err("has no unit"),
        _ => return Err("has an unknown unit"),
    };
    if whole.len() > 19 {
        return Err("is too long");
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| "is too long")? };
    let (mut part, mut weight) = (0, scale);
    // Digits beyond a nanosecond say nothing.
    for digit in fraction.bytes().take(20) {
        weight /= 10;
        part += i128::from(digit - b'0') * weight;
    }
    Ok((whole * scale + part, rest))
}

/// The whole number that a JSON number is, if it is one.
pub(crate) fn whole(number: &Number) -> Option<i64> {
    if let Some(n) = number.as_i64() {
        return Some(n);
    }
    let float = number.as_f64()?;
    // Beyond 2^53 a float no longer names one whole number.
    (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
}

/// A number as text: whole ones without a decimal point.
pub(crate) fn number_text(number: &Number) -> String {
    whole(number).map_or_else(|| number.to_string(), |n| n.to_string())
}

/// Prefixes that mean something without braces: the nodes' attributes, their own fields, their meta.
const BARE_ROOTS: [&str; 3] = ["attr.", "node.", "meta."];

/// `$attr.x`, `$node.x`, `$meta.x` in their braced form; all else as it is.
pub(crate) fn brace_bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = bare_name(&rest[1..]);
        if name.is_empty() || out.ends_with('$') {
            out.push('$');
            rest = &rest[1..];
        } else {
            out.push_str("${");
            out.push_str(name);
            out.push('}');
            rest = &rest[1 + name.len()..];
        }
    }
    out.push_str(rest);
    out
}

/// The `attr.kernel.name` at the start of the text, or nothing.
fn bare_name(text: &str) -> &str {
    let Some(root) = BARE_ROOTS.iter().find(|root| text.starts_with(**root)) else { return "" };
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')))
        .unwrap_or(text.len());
    let name = text[..end].trim_end_matches(['.', '-']);
    if name.len() < root.len() { "" } else { name }
}
