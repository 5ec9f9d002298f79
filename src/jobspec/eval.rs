//! Values of HCL expressions: what can be known when a job is submitted.
//!
//! What only a node knows (`${attr.…}`, `${NOMAD_…}`) stays text. Nothing here panics, recurses without bound, or
//! makes more than [`BUDGET`] of values: the input is anyone's.

mod functions;
mod operators;
mod template;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use hcl_edit::{
    Number as HclNumber, Span as _,
    expr::{
        Array, Conditional, Expression, ForExpr, FuncCall, Object, ObjectKey, Traversal, TraversalOperator,
    },
};
use serde_json::{Map, Number, Value};

use crate::{
    diag::{did_you_mean, quoted},
    tree::{Span, too_deep},
};

/// Values made and copied while one job is read, in items and bytes of text.
const BUDGET: usize = 4 << 20;

/// Deepest nesting of evaluations, across locals and templates.
const MAX_NESTING: usize = 160;

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) span: Span,
}

impl Fault {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Fault { message: message.into(), help: None, span }
    }

    fn help(self, help: Option<String>) -> Self {
        Fault { help, ..self }
    }
}

type Evaluated = Result<Value, Fault>;

/// Names bound by `for` and `dynamic`, innermost first.
pub(crate) enum Binds<'b> {
    /// None.
    Empty,
    /// One more.
    With(&'b str, Value, &'b Binds<'b>),
}

impl Binds<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Binds::Empty => None,
            Binds::With(bound, value, _) if *bound == name => Some(value),
            Binds::With(_, _, outer) => outer.get(name),
        }
    }
}

enum Local<'a> {
    Waiting(&'a Expression),
    Busy,
    Done(Value),
}

/// Everything that expressions of one file may refer to.
pub(crate) struct Evaluator<'a> {
    text: &'a str,
    vars: BTreeMap<String, Value>,
    locals: RefCell<BTreeMap<String, Local<'a>>>,
    left: Cell<usize>,
    nesting: Cell<usize>,
}

impl<'a> Evaluator<'a> {
    /// `text` is what the spans of the expressions point into.
    pub(crate) fn new(text: &'a str) -> Self {
        Evaluator {
            text,
            vars: BTreeMap::new(),
            locals: RefCell::default(),
            left: Cell::new(BUDGET),
            nesting: Cell::new(0),
        }
    }

    /// Gives `var.name` its value.
    pub(crate) fn set_var(&mut self, name: &str, value: Value) {
        self.vars.insert(name.to_owned(), value);
    }

    /// Declares `local.name`; false if it was already.
    pub(crate) fn add_local(&mut self, name: &str, expr: &'a Expression) -> bool {
        self.locals.get_mut().insert(name.to_owned(), Local::Waiting(expr)).is_none()
    }

    /// The value of an expression.
    pub(crate) fn eval(&self, expr: &Expression, binds: &Binds<'_>) -> Evaluated {
        if self.nesting.get() >= MAX_NESTING {
            return Err(Fault::new(expr.span(), "this expression is nested too deep"));
        }
        self.nesting.set(self.nesting.get() + 1);
        let value = self.eval_inner(expr, binds);
        self.nesting.set(self.nesting.get() - 1);
        value
    }

    fn eval_inner(&self, expr: &Expression, binds: &Binds<'_>) -> Evaluated {
        self.charge(1, expr)?;
        match expr {
            Expression::Null(_) => Ok(Value::Null),
            Expression::Bool(value) => Ok(Value::Bool(**value)),
            Expression::Number(number) => Ok(Value::Number(number_of(number))),
            Expression::String(text) => self.text_value(text.to_string(), expr),
            Expression::Array(array) => self.array(array, binds),
            Expression::Object(object) => self.object(object, binds),
            Expression::StringTemplate(template) => self.template(template.iter(), true, binds),
            Expression::HeredocTemplate(heredoc) => self.template(heredoc.template.iter(), false, binds),
            Expression::Parenthesis(inner) => self.eval(inner.inner(), binds),
            Expression::Variable(name) => self.variable(name.as_str(), expr, binds),
            Expression::Conditional(cond) => self.conditional(cond, binds),
            Expression::FuncCall(call) => self.call(call, expr, binds),
            Expression::Traversal(traversal) => self.traversal(traversal, expr, binds),
            Expression::UnaryOp(op) => operators::unary(self, op, binds),
            Expression::BinaryOp(op) => operators::binary(self, op, expr, binds),
            Expression::ForExpr(each) => self.for_expr(each, binds),
        }
    }

    /// Takes `cost` from the budget.
    fn charge(&self, cost: usize, at: &Expression) -> Result<(), Fault> {
        match self.left.get().checked_sub(cost) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(Fault::new(at.span(), "the values of this job file grow too large")),
        }
    }

    fn text_value(&self, text: String, at: &Expression) -> Evaluated {
        self.charge(text.len(), at)?;
        Ok(Value::String(text))
    }

    fn array(&self, array: &Array, binds: &Binds<'_>) -> Evaluated {
        array.iter().map(|item| self.eval(item, binds)).collect::<Result<Vec<_>, _>>().map(Value::Array)
    }

    fn object(&self, object: &Object, binds: &Binds<'_>) -> Evaluated {
        let mut out = Map::new();
        for (key, value) in object {
            let name = match key {
                ObjectKey::Ident(name) => name.to_string(),
                ObjectKey::Expression(expr) => text_of(self.eval(expr, binds)?, expr)?,
            };
            out.insert(name, self.eval(value.expr(), binds)?);
        }
        Ok(Value::Object(out))
    }

    fn conditional(&self, cond: &Conditional, binds: &Binds<'_>) -> Evaluated {
        let value = self.eval(&cond.cond_expr, binds)?;
        if operators::truth(value, &cond.cond_expr)? {
            self.eval(&cond.true_expr, binds)
        } else {
            self.eval(&cond.false_expr, binds)
        }
    }

    /// A name on its own: bound by `for`, or a node's (then it stays text).
    fn variable(&self, name: &str, expr: &Expression, binds: &Binds<'_>) -> Evaluated {
        if let Some(value) = binds.get(name) {
            return self.copy(value, expr);
        }
        if is_runtime_root(name) {
            return self.text_value(self.runtime_text(expr), expr);
        }
        let known = ["attr", "node", "meta", "env", "var", "local"];
        let help =
            did_you_mean(name, known).or_else(|| Some(format!("a text is written in quotes: \"{name}\"")));
        Err(Fault::new(expr.span(), format!("there is nothing called {}", quoted(name))).help(help))
    }

    /// `${` and the expression as it was written and `}`.
    fn runtime_text(&self, expr: &Expression) -> String {
        let written = expr.span().and_then(|span| self.text.get(span)).unwrap_or_default();
        format!("${{{}}}", written.trim())
    }

    /// True if only a node can say what this is.
    fn is_runtime(&self, expr: &Expression, binds: &Binds<'_>) -> bool {
        let root = match expr {
            Expression::Variable(name) => name.as_str(),
            Expression::Traversal(traversal) => match &traversal.expr {
                Expression::Variable(name) => name.as_str(),
                _ => return false,
            },
            _ => return false,
        };
        root != "var" && root != "local" && binds.get(root).is_none()
    }

    fn traversal(&self, traversal: &Traversal, expr: &Expression, binds: &Binds<'_>) -> Evaluated {
        let operators: Vec<&TraversalOperator> = traversal.operators.iter().map(|op| &**op).collect();
        if let Expression::Variable(root) = &traversal.expr
            && binds.get(root.as_str()).is_none()
        {
            return match (root.as_str(), operators.split_first()) {
                ("var", Some((TraversalOperator::GetAttr(name), rest))) => {
                    let value =
                        self.vars.get(name.as_str()).ok_or_else(|| self.no_var(name.as_str(), expr))?;
                    self.steps(self.copy(value, expr)?, rest, expr, binds)
                }
                ("local", Some((TraversalOperator::GetAttr(name), rest))) => {
                    self.steps(self.local(name.as_str(), expr)?, rest, expr, binds)
                }
                (root, _) if is_runtime_root(root) => self.text_value(self.runtime_text(expr), expr),
                _ => self.variable(root.as_str(), expr, binds),
            };
        }
        let base = self.eval(&traversal.expr, binds)?;
        self.steps(base, &operators, expr, binds)
    }

    fn no_var(&self, name: &str, expr: &Expression) -> Fault {
        Fault::new(expr.span(), format!("the variable {} is not declared", quoted(name)))
            .help(did_you_mean(name, self.vars.keys().map(String::as_str)))
    }

    fn local(&self, name: &str, at: &Expression) -> Evaluated {
        let waiting = {
            let mut locals = self.locals.borrow_mut();
            match locals.get_mut(name) {
                None => {
                    let help = did_you_mean(name, locals.keys().map(String::as_str));
                    let message = format!("the local {} is not declared", quoted(name));
                    return Err(Fault::new(at.span(), message).help(help));
                }
                Some(Local::Busy) => {
                    return Err(Fault::new(
                        at.span(),
                        format!("the local {} refers to itself", quoted(name)),
                    ));
                }
                Some(Local::Done(value)) => return self.copy(value, at),
                Some(state @ Local::Waiting(_)) => match std::mem::replace(state, Local::Busy) {
                    Local::Waiting(expr) => expr,
                    Local::Busy | Local::Done(_) => {
                        return Err(Fault::new(at.span(), "a local changed under us"));
                    }
                },
            }
        };
        let value = self.eval(waiting, &Binds::Empty).and_then(|value| {
            // Each local may hold others: without this, values could nest without bound.
            if too_deep(&value) {
                return Err(Fault::new(waiting.span(), "this value is nested deeper than 64 levels"));
            }
            Ok(value)
        });
        let state = match &value {
            Ok(value) => Local::Done(value.clone()),
            Err(_) => Local::Waiting(waiting),
        };
        self.locals.borrow_mut().insert(name.to_owned(), state);
        value
    }

    /// A copy, paid for.
    fn copy(&self, value: &Value, at: &Expression) -> Evaluated {
        self.charge(size(value), at)?;
        Ok(value.clone())
    }

    fn steps(
        &self,
        mut value: Value,
        operators: &[&TraversalOperator],
        at: &Expression,
        binds: &Binds<'_>,
    ) -> Evaluated {
        for (i, operator) in operators.iter().enumerate() {
            value = match operator {
                TraversalOperator::GetAttr(name) => member(value, name.as_str(), at)?,
                TraversalOperator::LegacyIndex(index) => item(value, Some(**index), at)?,
                TraversalOperator::Index(expr) => match self.eval(expr, binds)? {
                    Value::String(key) => member(value, &key, at)?,
                    Value::Number(index) => item(value, index.as_u64(), at)?,
                    _ => return Err(Fault::new(expr.span(), "an index is a number or a text")),
                },
                TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => {
                    let items = match value {
                        Value::Array(items) => items,
                        Value::Null => Vec::new(),
                        one => vec![one],
                    };
                    let rest = &operators[i + 1..];
                    let each = items.into_iter().map(|item| self.steps(item, rest, at, binds));
                    return each.collect::<Result<Vec<_>, _>>().map(Value::Array);
                }
            };
        }
        Ok(value)
    }

    fn call(&self, call: &FuncCall, expr: &Expression, binds: &Binds<'_>) -> Evaluated {
        let name = call.name.name.as_str();
        if call.name.is_namespaced() {
            return Err(Fault::new(expr.span(), "functions have no namespaces here"));
        }
        match name {
            "try" => {
                let mut last = Err(Fault::new(expr.span(), "try needs at least one argument"));
                for arg in call.args.iter() {
                    last = self.eval(arg, binds);
                    if last.is_ok() {
                        break;
                    }
                }
                return last;
            }
            "can" => return Ok(Value::Bool(call.args.iter().all(|arg| self.eval(arg, binds).is_ok()))),
            _ => {}
        }
        let mut args = call.args.iter().map(|arg| self.eval(arg, binds)).collect::<Result<Vec<_>, _>>()?;
        if call.args.expand_final() {
            match args.pop() {
                Some(Value::Array(items)) => args.extend(items),
                _ => return Err(Fault::new(expr.span(), "only a list can be expanded with `...`")),
            }
        }
        let value = functions::call(name, args).map_err(|fault| {
            Fault::new(expr.span(), format!("{name}: {}", fault.message)).help(fault.help)
        })?;
        self.charge(size(&value), expr)?;
        Ok(value)
    }

    fn for_expr(&self, each: &ForExpr, binds: &Binds<'_>) -> Evaluated {
        let collection = self.eval(&each.intro.collection_expr, binds)?;
        let mut list = Vec::new();
        let mut map = Map::new();
        for (key, value) in pairs(collection, &each.intro.collection_expr)? {
            let key_name = each.intro.key_var.as_ref().map_or("", |name| name.as_str());
            let outer = Binds::With(key_name, key, binds);
            let inner = Binds::With(each.intro.value_var.as_str(), value, &outer);
            if let Some(cond) = &each.cond
                && !operators::truth(self.eval(&cond.expr, &inner)?, &cond.expr)?
            {
                continue;
            }
            let value = self.eval(&each.value_expr, &inner)?;
            match &each.key_expr {
                None => list.push(value),
                Some(key) => {
                    let name = text_of(self.eval(key, &inner)?, key)?;
                    put(&mut map, name, value, each.grouping).map_err(|m| Fault::new(key.span(), m))?;
                }
            }
        }
        Ok(if each.key_expr.is_some() { Value::Object(map) } else { Value::Array(list) })
    }
}

/// Adds a member to the object that a `for` makes; with grouping, values of one key make a list.
fn put(map: &mut Map<String, Value>, name: String, value: Value, grouping: bool) -> Result<(), String> {
    match map.get_mut(&name) {
        Some(Value::Array(items)) if grouping => items.push(value),
        Some(_) => return Err(format!("the key {} comes up twice", quoted(&name))),
        None => {
            map.insert(name, if grouping { Value::Array(vec![value]) } else { value });
        }
    }
    Ok(())
}

/// Keys and values of a list (keys count from 0) or an object.
pub(crate) fn pairs(collection: Value, at: &Expression) -> Result<Vec<(Value, Value)>, Fault> {
    match collection {
        Value::Array(items) => Ok(items.into_iter().enumerate().map(|(i, v)| (Value::from(i), v)).collect()),
        Value::Object(map) => Ok(map.into_iter().map(|(k, v)| (Value::String(k), v)).collect()),
        _ => Err(Fault::new(at.span(), "only a list or an object has items")),
    }
}

fn member(value: Value, name: &str, at: &Expression) -> Evaluated {
    match value {
        Value::Object(mut map) => match map.remove(name) {
            Some(value) => Ok(value),
            None => Err(Fault::new(at.span(), format!("there is no member {}", quoted(name)))
                .help(did_you_mean(name, map.keys().map(String::as_str)))),
        },
        _ => Err(Fault::new(at.span(), format!("this has no member {}: it is no object", quoted(name)))),
    }
}

fn item(value: Value, index: Option<u64>, at: &Expression) -> Evaluated {
    let Value::Array(mut items) = value else {
        return Err(Fault::new(at.span(), "this has no items: it is no list"));
    };
    match index.and_then(|i| usize::try_from(i).ok()).filter(|i| *i < items.len()) {
        Some(index) => Ok(items.swap_remove(index)),
        None => Err(Fault::new(
            at.span(),
            format!("the list has {} items: there is none at this index", items.len()),
        )),
    }
}

/// A value where a text is needed.
pub(crate) fn text_of(value: Value, at: &Expression) -> Result<String, Fault> {
    functions::to_text(value).map_err(|message| Fault::new(at.span(), message))
}

fn number_of(number: &HclNumber) -> Number {
    let whole = number.as_i64().map(Number::from).or_else(|| number.as_u64().map(Number::from));
    whole.or_else(|| number.as_f64().and_then(Number::from_f64)).unwrap_or_else(|| Number::from(0))
}

/// Items and bytes of a value.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + text.len(),
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.iter().map(|(key, v)| key.len() + size(v)).sum::<usize>(),
    }
}

/// Names that stand for something on the node or in the allocation.
fn is_runtime_root(name: &str) -> bool {
    const ROOTS: [&str; 9] =
        ["attr", "node", "meta", "env", "device", "network", "secret", "unique", "TASKGROUP"];
    ROOTS.contains(&name) || name.starts_with("NOMAD_")
}
