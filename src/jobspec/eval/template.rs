//! Templates: `"…${expr}…"`, heredocs and their `%{ if }`, `%{ for }`.

use hcl_edit::{
    Span as _,
    template::{Directive, Element, ForDirective, IfDirective, Strip, Template},
};
use serde_json::Value;

use super::{Binds, Evaluated, Evaluator, Fault, functions::to_text, operators::truth, pairs, text_of};

impl Evaluator<'_> {
    /// The value of a template. `unwrap`: a lone `"${expr}"` is the value itself, as HCL has it.
    pub(super) fn template<'e>(
        &self,
        elements: impl Iterator<Item = &'e Element>,
        unwrap: bool,
        binds: &Binds<'_>,
    ) -> Evaluated {
        let elements: Vec<&Element> = elements.collect();
        if let (true, [Element::Interpolation(only)]) = (unwrap, elements.as_slice()) {
            return if self.is_runtime(&only.expr, binds) {
                self.text_value(self.runtime_text(&only.expr), &only.expr)
            } else {
                self.eval(&only.expr, binds)
            };
        }
        self.pieces(&elements, false, false, binds).map(Value::String)
    }

    fn pieces(
        &self,
        elements: &[&Element],
        trim_start: bool,
        trim_end: bool,
        binds: &Binds<'_>,
    ) -> Result<String, Fault> {
        let mut out = String::new();
        for (i, element) in elements.iter().enumerate() {
            match element {
                Element::Literal(text) => {
                    let before = i.checked_sub(1).map_or(trim_start, |i| strips(elements[i]).strip_end());
                    let after = elements.get(i + 1).map_or(trim_end, |e| strips(e).strip_start());
                    let text = if before { text.trim_start() } else { text.as_str() };
                    out.push_str(if after { text.trim_end() } else { text });
                }
                Element::Interpolation(inner) if self.is_runtime(&inner.expr, binds) => {
                    out.push_str(&self.runtime_text(&inner.expr));
                }
                Element::Interpolation(inner) => {
                    out.push_str(&text_of(self.eval(&inner.expr, binds)?, &inner.expr)?);
                }
                Element::Directive(directive) => out.push_str(&self.directive(directive, binds)?),
            }
        }
        match self.left.get().checked_sub(out.len()) {
            Some(left) => self.left.set(left),
            None => {
                let span = elements.first().and_then(|e| e.span());
                return Err(Fault::new(span, "the texts of this job file grow too large"));
            }
        }
        Ok(out)
    }

    fn directive(&self, directive: &Directive, binds: &Binds<'_>) -> Result<String, Fault> {
        match directive {
            Directive::If(it) => self.if_directive(it, binds),
            Directive::For(it) => self.for_directive(it, binds),
        }
    }

    fn if_directive(&self, it: &IfDirective, binds: &Binds<'_>) -> Result<String, Fault> {
        let cond = &it.if_expr.cond_expr;
        let end = it.endif_expr.strip.strip_start();
        if truth(self.eval(cond, binds)?, cond)? {
            let end = it.else_expr.as_ref().map_or(end, |e| e.strip.strip_start());
            return self.inner(&it.if_expr.template, it.if_expr.strip.strip_end(), end, binds);
        }
        match &it.else_expr {
            Some(other) => self.inner(&other.template, other.strip.strip_end(), end, binds),
            None => Ok(String::new()),
        }
    }

    fn for_directive(&self, it: &ForDirective, binds: &Binds<'_>) -> Result<String, Fault> {
        let each = &it.for_expr;
        let collection = self.eval(&each.collection_expr, binds)?;
        let mut out = String::new();
        for (key, value) in pairs(collection, &each.collection_expr)? {
            let key_name = each.key_var.as_ref().map_or("", |name| name.as_str());
            let outer = Binds::With(key_name, key, binds);
            let inner = Binds::With(each.value_var.as_str(), value, &outer);
            let end = it.endfor_expr.strip.strip_start();
            out.push_str(&self.inner(&each.template, each.strip.strip_end(), end, &inner)?);
        }
        Ok(out)
    }

    fn inner(&self, template: &Template, start: bool, end: bool, binds: &Binds<'_>) -> Result<String, Fault> {
        let elements: Vec<&Element> = template.iter().collect();
        if self.nesting.get() >= super::MAX_NESTING {
            return Err(Fault::new(template.span(), "this template is nested too deep"));
        }
        self.nesting.set(self.nesting.get() + 1);
        let text = self.pieces(&elements, start, end, binds);
        self.nesting.set(self.nesting.get() - 1);
        text
    }
}

/// Which neighbours an element takes the blanks from: its own `~` marks.
fn strips(element: &Element) -> Strip {
    match element {
        Element::Literal(_) => Strip::None,
        Element::Interpolation(inner) => inner.strip,
        Element::Directive(directive) => {
            let (first, last) = match &**directive {
                Directive::If(it) => (it.if_expr.strip, it.endif_expr.strip),
                Directive::For(it) => (it.for_expr.strip, it.endfor_expr.strip),
            };
            Strip::from((first.strip_start(), last.strip_end()))
        }
    }
}

/// A piece of text from values, for `format`.
pub(super) fn piece(value: &Value) -> Result<String, String> {
    to_text(value.clone())
}
