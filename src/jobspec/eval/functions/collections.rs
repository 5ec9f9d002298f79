//! Functions on lists and objects.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{super::operators::equal, Called, Function, integer, items, take, take_text, to_text, truth};

/// Most items a function makes.
const MAX_ITEMS: usize = 10_000;

/// Name, least and most arguments, function.
pub(super) const TABLE: &[(&str, usize, usize, Function)] = &[
    ("length", 1, 1, length),
    ("concat", 1, usize::MAX, |a| {
        Ok(a.into_iter().map(items).collect::<Result<Vec<_>, _>>()?.concat().into())
    }),
    ("contains", 2, 2, |mut a| {
        let wanted = take(&mut a, 1);
        Ok(items(take(&mut a, 0))?.iter().any(|v| equal(v, &wanted)).into())
    }),
    ("keys", 1, 1, |mut a| Ok(object(take(&mut a, 0))?.into_iter().map(|(k, _)| Value::String(k)).collect())),
    ("values", 1, 1, |mut a| Ok(object(take(&mut a, 0))?.into_iter().map(|(_, v)| v).collect())),
    ("lookup", 2, 3, lookup),
    ("merge", 0, usize::MAX, |a| {
        let mut out = Map::new();
        for map in a.into_iter().filter(|v| !v.is_null()) {
            out.extend(object(map)?);
        }
        Ok(out.into())
    }),
    ("element", 2, 2, element),
    ("index", 2, 2, |mut a| {
        let wanted = take(&mut a, 1);
        let at = items(take(&mut a, 0))?.iter().position(|v| equal(v, &wanted));
        at.map(Value::from).ok_or_else(|| "the list has no such item".to_owned())
    }),
    ("slice", 3, 3, slice),
    ("range", 1, 3, range),
    ("reverse", 1, 1, |mut a| Ok(items(take(&mut a, 0))?.into_iter().rev().collect())),
    ("sort", 1, 1, sort),
    ("distinct", 1, 1, |mut a| distinct(items(take(&mut a, 0))?)),
    ("toset", 1, 1, |mut a| distinct(items(take(&mut a, 0))?)),
    ("setunion", 1, usize::MAX, |a| {
        distinct(a.into_iter().map(items).collect::<Result<Vec<_>, _>>()?.concat())
    }),
    ("tolist", 1, 1, |mut a| items(take(&mut a, 0)).map(Value::Array)),
    ("tomap", 1, 1, |mut a| object(take(&mut a, 0)).map(Value::Object)),
    ("flatten", 1, 1, |mut a| {
        let mut out = Vec::new();
        flatten(items(take(&mut a, 0))?, &mut out);
        Ok(out.into())
    }),
    ("compact", 1, 1, |mut a| {
        Ok(items(take(&mut a, 0))?.into_iter().filter(|v| !v.is_null() && v.as_str() != Some("")).collect())
    }),
    ("coalesce", 1, usize::MAX, |a| {
        let found = a.into_iter().find(|v| !v.is_null() && v.as_str() != Some(""));
        found.ok_or_else(|| "every value is empty".to_owned())
    }),
    ("coalescelist", 1, usize::MAX, |a| {
        let found = a.into_iter().find(|v| v.as_array().is_some_and(|items| !items.is_empty()));
        found.ok_or_else(|| "every list is empty".to_owned())
    }),
    ("chunklist", 2, 2, |mut a| {
        let size =
            usize::try_from(integer(&a[1])?).ok().filter(|n| *n > 0).ok_or("the size has to be above 0")?;
        Ok(items(take(&mut a, 0))?.chunks(size).map(|c| Value::Array(c.to_vec())).collect())
    }),
    ("zipmap", 2, 2, zipmap),
    ("alltrue", 1, 1, |mut a| all(items(take(&mut a, 0))?, true)),
    ("anytrue", 1, 1, |mut a| all(items(take(&mut a, 0))?, false)),
    ("sum", 1, 1, sum),
];

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err("this has to be an object".to_owned()),
    }
}

fn length(args: Vec<Value>) -> Called {
    Ok(match &args[0] {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        Value::String(text) => text.chars().count(),
        _ => return Err("only lists, objects and texts have a length".to_owned()),
    }
    .into())
}

fn lookup(mut args: Vec<Value>) -> Called {
    let key = take_text(&mut args, 1)?;
    match object(take(&mut args, 0))?.remove(&key) {
        Some(value) => Ok(value),
        None if args.len() == 3 => Ok(take(&mut args, 2)),
        None => Err("there is no such key and no value to take instead".to_owned()),
    }
}

fn element(mut args: Vec<Value>) -> Called {
    let index = integer(&args[1])?;
    let mut list = items(take(&mut args, 0))?;
    let len = i64::try_from(list.len()).unwrap_or(i64::MAX);
    if len == 0 {
        return Err("the list is empty".to_owned());
    }
    Ok(list.swap_remove(usize::try_from(index.rem_euclid(len)).unwrap_or(0)))
}

fn slice(mut args: Vec<Value>) -> Called {
    let (start, end) = (usize::try_from(integer(&args[1])?), usize::try_from(integer(&args[2])?));
    let list = items(take(&mut args, 0))?;
    match (start, end) {
        (Ok(start), Ok(end)) if start <= end && end <= list.len() => Ok(list[start..end].to_vec().into()),
        _ => Err(format!("the list has {} items: these bounds do not fit", list.len())),
    }
}

fn range(args: Vec<Value>) -> Called {
    let numbers = args.iter().map(integer).collect::<Result<Vec<_>, _>>()?;
    let (start, end, step) = match numbers.as_slice() {
        [end] => (0, *end, if *end < 0 { -1 } else { 1 }),
        [start, end] => (*start, *end, if end < start { -1 } else { 1 }),
        [start, end, step, ..] => (*start, *end, *step),
        [] => return Err("takes 1 to 3 arguments".to_owned()),
    };
    if step == 0 {
        return Err("the step can't be 0".to_owned());
    }
    let mut out = Vec::new();
    let mut at = start;
    while (step > 0 && at < end) || (step < 0 && at > end) {
        if out.len() == MAX_ITEMS {
            return Err(format!("makes more than {MAX_ITEMS} items"));
        }
        out.push(Value::from(at));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(out.into())
}

fn sort(mut args: Vec<Value>) -> Called {
    let mut texts = items(take(&mut args, 0))?.into_iter().map(to_text).collect::<Result<Vec<_>, _>>()?;
    texts.sort_unstable();
    Ok(texts.into())
}

fn distinct(list: Vec<Value>) -> Called {
    if list.len() > MAX_ITEMS {
        return Err(format!("looks at more than {MAX_ITEMS} items"));
    }
    let mut keyed: Vec<(String, usize)> = list.iter().enumerate().map(|(i, v)| (v.to_string(), i)).collect();
    keyed.sort_unstable();
    keyed.dedup_by(|later, earlier| later.0.cmp(&earlier.0) == Ordering::Equal);
    let mut kept: Vec<usize> = keyed.into_iter().map(|(_, i)| i).collect();
    kept.sort_unstable();
    Ok(kept.into_iter().map(|i| list[i].clone()).collect())
}

/// Recursion is bounded by the depth of values, which evaluation bounds.
fn flatten(list: Vec<Value>, out: &mut Vec<Value>) {
    for item in list {
        match item {
            Value::Array(inner) => flatten(inner, out),
            other => out.push(other),
        }
    }
}

fn zipmap(mut args: Vec<Value>) -> Called {
    let (keys, values) = (items(take(&mut args, 0))?, items(take(&mut args, 1))?);
    if keys.len() != values.len() {
        return Err("the lists have different lengths".to_owned());
    }
    let pairs = keys.into_iter().zip(values).map(|(k, v)| Ok((to_text(k)?, v)));
    pairs.collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

fn all(list: Vec<Value>, wanted: bool) -> Called {
    let values = list.iter().map(truth).collect::<Result<Vec<_>, _>>()?;
    let matches = |value: &Value| *value == Value::Bool(true);
    Ok(if wanted { values.iter().all(matches) } else { values.iter().any(matches) }.into())
}

fn sum(mut args: Vec<Value>) -> Called {
    let mut total = serde_json::Number::from(0);
    for item in items(take(&mut args, 0))? {
        let item = super::to_number(&item)?;
        match super::super::operators::arithmetic(hcl_edit::expr::BinaryOperator::Plus, &total, &item)? {
            Value::Number(number) => total = number,
            _ => return Err("the result is no number".to_owned()),
        }
    }
    Ok(Value::Number(total))
}
