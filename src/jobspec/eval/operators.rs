//! Operators: arithmetic that never overflows into nonsense, comparisons, logic.

use hcl_edit::{
    Span as _,
    expr::{BinaryOp, BinaryOperator, Expression, UnaryOp, UnaryOperator},
};
use serde_json::{Number, Value};

use super::{Binds, Evaluated, Evaluator, Fault};
use crate::scalar::whole;

pub(super) fn unary(evaluator: &Evaluator<'_>, op: &UnaryOp, binds: &Binds<'_>) -> Evaluated {
    let value = evaluator.eval(&op.expr, binds)?;
    match *op.operator {
        UnaryOperator::Not => truth(value, &op.expr).map(|b| Value::Bool(!b)),
        UnaryOperator::Neg => {
            let zero = Number::from(0);
            arithmetic(BinaryOperator::Minus, &zero, &number(&value, &op.expr)?)
                .map_err(|message| Fault::new(op.expr.span(), message))
        }
    }
}

pub(super) fn binary(
    evaluator: &Evaluator<'_>,
    op: &BinaryOp,
    at: &Expression,
    binds: &Binds<'_>,
) -> Evaluated {
    let operator = *op.operator;
    let left = evaluator.eval(&op.lhs_expr, binds)?;
    // As in HCL, both sides of && and || have to make sense, so both are looked at.
    let right = evaluator.eval(&op.rhs_expr, binds)?;
    match operator {
        BinaryOperator::And => Ok(Value::Bool(truth(left, &op.lhs_expr)? & truth(right, &op.rhs_expr)?)),
        BinaryOperator::Or => Ok(Value::Bool(truth(left, &op.lhs_expr)? | truth(right, &op.rhs_expr)?)),
        BinaryOperator::Eq | BinaryOperator::NotEq => {
            known_here(&left, &op.lhs_expr)?;
            known_here(&right, &op.rhs_expr)?;
            Ok(Value::Bool(equal(&left, &right) == (operator == BinaryOperator::Eq)))
        }
        BinaryOperator::Less
        | BinaryOperator::LessEq
        | BinaryOperator::Greater
        | BinaryOperator::GreaterEq => {
            let left = float(&number(&left, &op.lhs_expr)?);
            let right = float(&number(&right, &op.rhs_expr)?);
            Ok(Value::Bool(match operator {
                BinaryOperator::Less => left < right,
                BinaryOperator::LessEq => left <= right,
                BinaryOperator::Greater => left > right,
                _ => left >= right,
            }))
        }
        _ => {
            let left = number(&left, &op.lhs_expr)?;
            let right = number(&right, &op.rhs_expr)?;
            arithmetic(operator, &left, &right).map_err(|message| Fault::new(at.span(), message))
        }
    }
}

/// `+ - * / %` on whole numbers where they stay whole, else on floats that stay finite.
pub(super) fn arithmetic(operator: BinaryOperator, left: &Number, right: &Number) -> Result<Value, String> {
    let divides = matches!(operator, BinaryOperator::Div | BinaryOperator::Mod);
    if divides && float(right) == 0.0 {
        return Err("division by zero".to_owned());
    }
    if let (Some(l), Some(r)) = (whole(left), whole(right)) {
        let result = match operator {
            BinaryOperator::Plus => l.checked_add(r),
            BinaryOperator::Minus => l.checked_sub(r),
            BinaryOperator::Mul => l.checked_mul(r),
            BinaryOperator::Div => l.checked_rem(r).filter(|rest| *rest == 0).and_then(|_| l.checked_div(r)),
            _ => l.checked_rem(r),
        };
        if let Some(result) = result {
            return Ok(Value::from(result));
        }
    }
    let (l, r) = (float(left), float(right));
    let result = match operator {
        BinaryOperator::Plus => l + r,
        BinaryOperator::Minus => l - r,
        BinaryOperator::Mul => l * r,
        BinaryOperator::Div => l / r,
        _ => l % r,
    };
    Number::from_f64(result)
        .map(Value::Number)
        .ok_or_else(|| "the result is too large for a number".to_owned())
}

/// A truth value, or "true" and "false" as text.
pub(super) fn truth(value: Value, at: &Expression) -> Result<bool, Fault> {
    known_here(&value, at)?;
    match value {
        Value::Bool(value) => Ok(value),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err(Fault::new(at.span(), "this has to be true or false")),
    }
}

/// A number, or a text that is one.
fn number(value: &Value, at: &Expression) -> Result<Number, Fault> {
    known_here(value, at)?;
    super::functions::to_number(value).map_err(|message| Fault::new(at.span(), message))
}

/// What only a node knows can't decide anything while the job is being read.
fn known_here(value: &Value, at: &Expression) -> Result<(), Fault> {
    match value {
        Value::String(text) if text.contains("${") => {
            Err(Fault::new(at.span(), "this is only known on the node, so nothing can be decided by it here"))
        }
        _ => Ok(()),
    }
}

/// Equality in which 1 is 1.0.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => l == r || float(l) == float(r),
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| equal(l, r)),
        (l, r) => l == r,
    }
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}
