//! Functions on texts and numbers.

use serde_json::Value;

use super::{
    super::template::piece, Called, Function, float, from_float, integer, items, take_text, to_number,
    to_text, truth,
};

/// Longest text a function makes.
const MAX_TEXT: usize = 1 << 20;

/// Name, least and most arguments, function.
pub(super) const TABLE: &[(&str, usize, usize, Function)] = &[
    ("abs", 1, 1, |a| from_float(float(&a[0])?.abs())),
    ("ceil", 1, 1, |a| from_float(float(&a[0])?.ceil())),
    ("floor", 1, 1, |a| from_float(float(&a[0])?.floor())),
    ("max", 1, usize::MAX, |a| extreme(&a, f64::max)),
    ("min", 1, usize::MAX, |a| extreme(&a, f64::min)),
    ("pow", 2, 2, |a| from_float(float(&a[0])?.powf(float(&a[1])?))),
    ("signum", 1, 1, |a| Ok(Value::from(integer(&a[0])?.signum()))),
    ("parseint", 2, 2, parse_int),
    ("tonumber", 1, 1, |a| Ok(Value::Number(to_number(&a[0])?))),
    ("tostring", 1, 1, |mut a| take_text(&mut a, 0).map(Value::String)),
    ("tobool", 1, 1, |a| truth(&a[0])),
    ("upper", 1, 1, |mut a| Ok(take_text(&mut a, 0)?.to_uppercase().into())),
    ("lower", 1, 1, |mut a| Ok(take_text(&mut a, 0)?.to_lowercase().into())),
    ("title", 1, 1, |mut a| Ok(title(&take_text(&mut a, 0)?).into())),
    ("chomp", 1, 1, |mut a| Ok(take_text(&mut a, 0)?.trim_end_matches(['\n', '\r']).into())),
    ("trimspace", 1, 1, |mut a| Ok(take_text(&mut a, 0)?.trim().into())),
    ("trim", 2, 2, |mut a| {
        let set = take_text(&mut a, 1)?;
        Ok(take_text(&mut a, 0)?.trim_matches(|c| set.contains(c)).into())
    }),
    ("trimprefix", 2, 2, |mut a| {
        let (text, prefix) = (take_text(&mut a, 0)?, take_text(&mut a, 1)?);
        Ok(text.strip_prefix(&prefix).unwrap_or(&text).into())
    }),
    ("trimsuffix", 2, 2, |mut a| {
        let (text, suffix) = (take_text(&mut a, 0)?, take_text(&mut a, 1)?);
        Ok(text.strip_suffix(&suffix).unwrap_or(&text).into())
    }),
    ("startswith", 2, 2, |mut a| Ok(take_text(&mut a, 0)?.starts_with(&take_text(&mut a, 1)?).into())),
    ("endswith", 2, 2, |mut a| Ok(take_text(&mut a, 0)?.ends_with(&take_text(&mut a, 1)?).into())),
    ("strlen", 1, 1, |mut a| Ok(take_text(&mut a, 0)?.chars().count().into())),
    ("strrev", 1, 1, |mut a| Ok(take_text(&mut a, 0)?.chars().rev().collect::<String>().into())),
    ("substr", 3, 3, substr),
    ("replace", 3, 3, replace),
    ("split", 2, 2, split),
    ("join", 2, usize::MAX, join),
    ("indent", 2, 2, indent),
    ("format", 1, usize::MAX, |mut a| {
        let rest = a.split_off(1);
        format(&take_text(&mut a, 0)?, &rest).map(Value::String)
    }),
    ("formatlist", 1, usize::MAX, format_list),
    ("jsonencode", 1, 1, |a| bounded(a[0].to_string())),
    ("jsondecode", 1, 1, |mut a| {
        let text = take_text(&mut a, 0)?;
        serde_json::from_str(&text).map_err(|_| "the text is no JSON".to_owned())
    }),
    ("base64encode", 1, 1, |mut a| Ok(base64(take_text(&mut a, 0)?.as_bytes()).into())),
];

fn bounded(text: String) -> Called {
    if text.len() > MAX_TEXT { Err("the text grows too large".to_owned()) } else { Ok(Value::String(text)) }
}

fn extreme(args: &[Value], choose: fn(f64, f64) -> f64) -> Called {
    let numbers = args.iter().map(float).collect::<Result<Vec<_>, _>>()?;
    from_float(numbers.into_iter().reduce(choose).unwrap_or(0.0))
}

fn parse_int(mut args: Vec<Value>) -> Called {
    let base = u32::try_from(integer(&args[1])?).ok().filter(|b| (2..=36).contains(b));
    let base = base.ok_or("the base has to be between 2 and 36")?;
    let text = take_text(&mut args, 0)?;
    i64::from_str_radix(&text, base)
        .map(Value::from)
        .map_err(|_| format!("not a whole number to base {base}"))
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = c.is_whitespace();
    }
    out
}

fn substr(mut args: Vec<Value>) -> Called {
    let chars: Vec<char> = take_text(&mut args, 0)?.chars().collect();
    let (offset, length) = (integer(&args[1])?, integer(&args[2])?);
    let len = i64::try_from(chars.len()).unwrap_or(i64::MAX);
    let start = if offset < 0 { (len.saturating_add(offset)).max(0) } else { offset.min(len) };
    let end = if length < 0 { len } else { start.saturating_add(length).min(len) };
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    Ok(chars.get(range).unwrap_or_default().iter().collect::<String>().into())
}

fn replace(mut args: Vec<Value>) -> Called {
    let (text, from, to) = (take_text(&mut args, 0)?, take_text(&mut args, 1)?, take_text(&mut args, 2)?);
    if from.len() > 1 && from.starts_with('/') && from.ends_with('/') {
        return Err("replacing by a pattern is not available: give the text to replace".to_owned());
    }
    let grows = to.len().saturating_sub(from.len()).saturating_mul(text.matches(&from).count());
    if text.len().saturating_add(grows) > MAX_TEXT {
        return Err("the text grows too large".to_owned());
    }
    Ok(text.replace(&from, &to).into())
}

fn split(mut args: Vec<Value>) -> Called {
    let (separator, text) = (take_text(&mut args, 0)?, take_text(&mut args, 1)?);
    if separator.is_empty() {
        return Ok(text.chars().map(|c| Value::String(c.to_string())).collect());
    }
    Ok(text.split(&separator).map(Value::from).collect())
}

fn join(mut args: Vec<Value>) -> Called {
    let separator = take_text(&mut args, 0)?;
    let mut texts = Vec::new();
    for list in args.into_iter().skip(1) {
        for item in items(list)? {
            texts.push(to_text(item)?);
        }
    }
    if texts.len().saturating_mul(separator.len()) > MAX_TEXT {
        return Err("the text grows too large".to_owned());
    }
    bounded(texts.join(&separator))
}

fn indent(mut args: Vec<Value>) -> Called {
    let blanks = usize::try_from(integer(&args[0])?).ok().filter(|n| *n <= 256);
    let blanks = " ".repeat(blanks.ok_or("indents by 0 to 256 blanks")?);
    let text = take_text(&mut args, 1)?;
    if text.matches('\n').count().saturating_mul(blanks.len()) > MAX_TEXT {
        return Err("the text grows too large".to_owned());
    }
    bounded(text.replace('\n', &format!("\n{blanks}")))
}

/// `%s %v %d %q %f %t %%`, with zero padding and width for numbers.
fn format(pattern: &str, args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == '.') {
            spec.push(c);
        }
        let verb = chars.next().ok_or("the pattern ends after %")?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let arg = args.next().ok_or("there are fewer values than the pattern asks for")?;
        out.push_str(&one_verb(verb, &spec, arg)?);
        if out.len() > MAX_TEXT {
            return Err("the text grows too large".to_owned());
        }
    }
    match args.next() {
        Some(_) => Err("there are more values than the pattern asks for".to_owned()),
        None => Ok(out),
    }
}

fn one_verb(verb: char, spec: &str, arg: &Value) -> Result<String, String> {
    let (width, precision) = spec.split_once('.').unwrap_or((spec, "6"));
    let width_of = |text: &str| text.parse::<usize>().unwrap_or(0).min(256);
    let text = match verb {
        's' => piece(arg)?,
        'v' => match arg {
            Value::Array(_) | Value::Object(_) | Value::Null => arg.to_string(),
            _ => piece(arg)?,
        },
        'd' => integer(arg)?.to_string(),
        'f' => format!("{:.*}", width_of(precision), float(arg)?),
        't' => truth(arg)?.to_string(),
        'q' => Value::String(piece(arg)?).to_string(),
        _ => return Err(format!("%{verb} is not available: use %s, %d, %f, %t, %q or %v")),
    };
    let fill = if width.starts_with('0') && matches!(verb, 'd' | 'f') { '0' } else { ' ' };
    let missing = width_of(width).saturating_sub(text.chars().count());
    let pad: String = std::iter::repeat_n(fill, missing).collect();
    Ok(match text.strip_prefix('-') {
        Some(digits) if fill == '0' => format!("-{pad}{digits}"),
        _ => format!("{pad}{text}"),
    })
}

fn format_list(mut args: Vec<Value>) -> Called {
    let lists = args.split_off(1);
    let pattern = take_text(&mut args, 0)?;
    let lengths: Vec<usize> = lists.iter().filter_map(|v| v.as_array().map(Vec::len)).collect();
    let length = lengths.first().copied().unwrap_or(1);
    if lengths.iter().any(|l| *l != length) {
        return Err("the lists have different lengths".to_owned());
    }
    (0..length)
        .map(|i| {
            let row: Vec<Value> =
                lists.iter().map(|v| v.as_array().map_or(v, |items| &items[i]).clone()).collect();
            format(&pattern, &row).map(Value::String)
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Value::Array)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0u32, |bits, (i, b)| bits | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
