//! Blocks and attributes to a tree in the API's names, guided by the schema table.

use std::collections::BTreeMap;

use hcl_edit::structure::{Attribute, Block, Body, Structure};
use serde_json::Value;

use super::{Reader, sugar};
use crate::{
    diag::{did_you_mean, quoted},
    eval::{Binds, Evaluator, pairs},
    schema::{self, Field, JOB, Kind, Label},
    tree::{Entry, Node, Span, Tree},
};

/// Blocks of a file beside the job, which `variables` reads.
const FILE_BLOCKS: [&str; 4] = ["job", "variable", "variables", "locals"];

/// Instances that one `dynamic` block may make.
const MAX_DYNAMIC: usize = 1_000;

/// The job of a file, which has to hold exactly one.
pub(super) fn file(reader: &mut Reader<'_>, evaluator: &Evaluator<'_>, body: &Body) -> Option<Tree> {
    let mut job = None;
    for structure in body {
        match structure {
            Structure::Block(block) if block.ident.as_str() == "job" => {
                if job.is_some() {
                    let span = reader.span(&block.ident);
                    reader.error(span, "there is a second job: a file holds exactly one", None);
                    continue;
                }
                let mut walk = Walk { reader, evaluator };
                job = Some(walk.labelled(&JOB, block, &Binds::Empty));
            }
            Structure::Block(block) if FILE_BLOCKS.contains(&block.ident.as_str()) => {}
            Structure::Block(block) => {
                let name = reader.key(block.ident.as_str());
                let span = reader.span(&block.ident);
                let message = format!("a job file has no block {}", quoted(&name));
                reader.error(span, message, did_you_mean(&name, FILE_BLOCKS));
            }
            Structure::Attribute(attribute) => {
                let name = reader.key(attribute.key.as_str());
                let span = reader.span(&attribute.key);
                let help = Some("settings of a job stand within job \"name\" { … }".to_owned());
                reader.error(span, format!("{} stands outside of a job", quoted(&name)), help);
            }
        }
    }
    if job.is_none() {
        let help = Some("a job file holds one block: job \"name\" { … }".to_owned());
        reader.error(Some(0..0), "there is no job in this file", help);
    }
    job
}

struct Walk<'w, 'r, 'e> {
    reader: &'w mut Reader<'r>,
    evaluator: &'w Evaluator<'e>,
}

/// Members of a block as they are collected: by API name, repeated blocks together.
#[derive(Default)]
struct Members {
    entries: Vec<Entry>,
    at: BTreeMap<String, usize>,
}

impl Members {
    fn get(&mut self, key: &str) -> Option<&mut Entry> {
        self.at.get(key).map(|i| &mut self.entries[*i])
    }

    fn insert(&mut self, key: String, key_span: Span, value: Tree) {
        self.at.insert(key.clone(), self.entries.len());
        self.entries.push(Entry { key, key_span, value });
    }
}

/// The key of a member: the API's name, or the job file's own behind an `@` where the API has none.
fn member_key(field: &Field) -> String {
    if field.api.is_empty() { format!("@{}", field.hcl) } else { field.api.to_owned() }
}

impl Walk<'_, '_, '_> {
    /// A block with its label, as an object.
    fn labelled(&mut self, schema: &'static schema::Block, block: &Block, binds: &Binds<'_>) -> Tree {
        let labels: Vec<(String, Span)> =
            block.labels.iter().map(|l| (l.as_str().to_owned(), self.reader.span(l))).collect();
        let span = self.reader.span(&block.ident);
        self.block(schema, &labels, &block.body, span, binds)
    }

    fn block(
        &mut self,
        schema: &'static schema::Block,
        labels: &[(String, Span)],
        body: &Body,
        span: Span,
        binds: &Binds<'_>,
    ) -> Tree {
        let title =
            labels.iter().fold(schema.name.to_owned(), |title, (l, _)| format!("{title} {}", quoted(l)));
        self.reader.context.push(title);
        let mut members = Members::default();
        self.label(schema, labels, &span, &mut members);
        self.body(schema, body, binds, &mut members);
        let entries = sugar::expand(self.reader, schema.name, members.entries, &span);
        self.reader.context.pop();
        Tree::map(span, entries)
    }

    fn label(
        &mut self,
        schema: &schema::Block,
        labels: &[(String, Span)],
        span: &Span,
        members: &mut Members,
    ) {
        let name = schema.name;
        let (wanted, key) = match schema.label {
            Label::None => (0..=0, None),
            Label::Optional(key) => (0..=1, Some(key)),
            Label::Into(key) => (1..=1, Some(key)),
            Label::Key => (1..=1, None),
        };
        if !wanted.contains(&labels.len()) {
            let (message, help) = match (labels.len(), *wanted.end()) {
                (_, 0) => (format!("the block {name} has no label"), format!("write {name} {{ … }}")),
                (0, _) => {
                    (format!("the block {name} needs a name"), format!("write {name} \"name\" {{ … }}"))
                }
                _ => (format!("the block {name} has one label"), format!("write {name} \"name\" {{ … }}")),
            };
            self.reader.error(span.clone(), message, Some(help));
        }
        if let (Some(key), Some((label, span))) = (key, labels.first()) {
            members.insert(key.to_owned(), span.clone(), Tree::text(span.clone(), label));
        }
    }

    fn body(
        &mut self,
        schema: &'static schema::Block,
        body: &Body,
        binds: &Binds<'_>,
        members: &mut Members,
    ) {
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => self.attribute(schema, attribute, binds, members),
                Structure::Block(block) if block.ident.as_str() == "dynamic" => {
                    self.dynamic(schema, block, binds, members);
                }
                Structure::Block(block) => {
                    let labels: Vec<(String, Span)> =
                        block.labels.iter().map(|l| (l.as_str().to_owned(), self.reader.span(l))).collect();
                    let name = self.reader.key(block.ident.as_str());
                    let span = self.reader.span(&block.ident);
                    self.member_block(schema, &name, &span, &labels, &block.body, binds, members);
                }
            }
        }
    }

    fn unknown(&mut self, schema: &schema::Block, name: &str, span: Span, what: &str) {
        let known = schema.fields.iter().map(|f| f.hcl).filter(|n| !n.is_empty());
        let help = did_you_mean(name, known).or_else(|| {
            // The API's spelling in a job file.
            schema.by_api(name).filter(|f| !f.hcl.is_empty()).map(|f| format!("did you mean \"{}\"?", f.hcl))
        });
        self.reader.error(span, format!("{} has no {what} {}", schema.name, quoted(name)), help);
    }

    fn attribute(
        &mut self,
        schema: &'static schema::Block,
        attribute: &Attribute,
        binds: &Binds<'_>,
        members: &mut Members,
    ) {
        let name = self.reader.key(attribute.key.as_str());
        let key_span = self.reader.span(&attribute.key);
        let Some(field) = schema.by_hcl(&name) else {
            return self.unknown(schema, &name, key_span, "attribute");
        };
        if field.kind.block().is_some() {
            let help = Some(format!("write {name} {{ … }}, without an equals sign"));
            return self.reader.error(key_span, format!("{name} is a block, not an attribute"), help);
        }
        let Some(value) = self.reader.value(self.evaluator, &attribute.value, binds) else { return };
        if matches!(value.node, Node::Null) {
            return;
        }
        let key = member_key(field);
        match members.get(&key) {
            // The label of a job is its id, unless the file gives another.
            Some(entry) if schema.name == "job" && field.api == "ID" => entry.value = value,
            Some(_) => self.reader.error(key_span, format!("{name} is given twice"), None),
            None => members.insert(key, key_span, value),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a block is its name, place, labels and body, and goes somewhere"
    )]
    fn member_block(
        &mut self,
        schema: &'static schema::Block,
        name: &str,
        span: &Span,
        labels: &[(String, Span)],
        body: &Body,
        binds: &Binds<'_>,
        members: &mut Members,
    ) {
        let Some(field) = schema.by_hcl(name) else {
            return self.unknown(schema, name, span.clone(), "block");
        };
        let key = member_key(field);
        let repeats = matches!(field.kind, Kind::Many(_) | Kind::ByLabel(_));
        if !repeats && members.get(&key).is_some() {
            return self.reader.error(span.clone(), format!("{name} is given twice"), None);
        }
        match field.kind {
            Kind::One(inner) => {
                let value = self.block(inner, labels, body, span.clone(), binds);
                members.insert(key, span.clone(), value);
            }
            Kind::Many(inner) => {
                let value = self.block(inner, labels, body, span.clone(), binds);
                match members.get(&key).map(|e| &mut e.value.node) {
                    Some(Node::List(items)) => items.push(value),
                    _ => members.insert(
                        key,
                        span.clone(),
                        Tree { span: span.clone(), node: Node::List(vec![value]) },
                    ),
                }
            }
            Kind::ByLabel(inner) => {
                let value = self.block(inner, labels, body, span.clone(), binds);
                let Some((label, label_span)) = labels.first() else { return };
                let entry = Entry { key: label.clone(), key_span: label_span.clone(), value };
                match members.get(&key).map(|e| &mut e.value.node) {
                    Some(Node::Map(entries)) if entries.iter().any(|e| e.key == *label) => {
                        self.reader.error(
                            span.clone(),
                            format!("{name} {} is given twice", quoted(label)),
                            None,
                        );
                    }
                    Some(Node::Map(entries)) => entries.push(entry),
                    _ => members.insert(key, span.clone(), Tree::map(span.clone(), vec![entry])),
                }
            }
            Kind::Config | Kind::Any | Kind::TextMap | Kind::RuntimeMap | Kind::ListMap => {
                if !labels.is_empty() {
                    self.reader.error(span.clone(), format!("the block {name} has no label"), None);
                }
                self.reader.context.push(name.to_owned());
                let nests = matches!(field.kind, Kind::Config | Kind::Any);
                let entries = self.free_body(body, nests, binds);
                self.reader.context.pop();
                members.insert(key, span.clone(), Tree::map(span.clone(), entries));
            }
            _ => {
                let help = Some(format!("write {name} = …"));
                self.reader.error(span.clone(), format!("{name} is an attribute, not a block"), help);
            }
        }
    }

    /// A body whose keys are the user's. A block within it becomes a list of objects, as the API's JSON has it
    /// (`port_map { http = 8080 }` is `"port_map": [{"http": 8080}]`); a label wraps the object.
    fn free_body(&mut self, body: &Body, nests: bool, binds: &Binds<'_>) -> Vec<Entry> {
        let mut members = Members::default();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let key = self.reader.key(attribute.key.as_str());
                    let key_span = self.reader.span(&attribute.key);
                    let Some(value) = self.reader.value(self.evaluator, &attribute.value, binds) else {
                        continue;
                    };
                    if members.get(&key).is_some() {
                        self.reader.error(key_span, format!("{} is given twice", quoted(&key)), None);
                    } else if !matches!(value.node, Node::Null) {
                        members.insert(key, key_span, value);
                    }
                }
                Structure::Block(block) if nests => self.free_block(block, binds, &mut members),
                Structure::Block(block) => {
                    let name = self.reader.key(block.ident.as_str());
                    let span = self.reader.span(&block.ident);
                    let help = Some(format!("write {name} = …"));
                    self.reader.error(
                        span,
                        format!("there are no blocks here: {} is one", quoted(&name)),
                        help,
                    );
                }
            }
        }
        members.entries
    }

    fn free_block(&mut self, block: &Block, binds: &Binds<'_>, members: &mut Members) {
        let key = self.reader.key(block.ident.as_str());
        let span = self.reader.span(&block.ident);
        let mut value = Tree::map(span.clone(), self.free_body(&block.body, true, binds));
        for label in block.labels.iter().rev() {
            let label_span = self.reader.span(label);
            let list = Tree { span: span.clone(), node: Node::List(vec![value]) };
            let entry = Entry { key: label.as_str().to_owned(), key_span: label_span, value: list };
            value = Tree::map(span.clone(), vec![entry]);
        }
        match members.get(&key).map(|e| &mut e.value.node) {
            None => members.insert(key, span.clone(), Tree { span, node: Node::List(vec![value]) }),
            Some(Node::List(items)) if items.iter().all(|i| matches!(i.node, Node::Map(_))) => {
                items.push(value)
            }
            Some(_) => self.reader.error(span, format!("{} is given twice", quoted(&key)), None),
        }
    }

    /// `dynamic "port" { for_each = …, labels = […], content { … } }`: one block for each item.
    fn dynamic(
        &mut self,
        schema: &'static schema::Block,
        block: &Block,
        binds: &Binds<'_>,
        members: &mut Members,
    ) {
        let span = self.reader.span(&block.ident);
        let [label] = block.labels.as_slice() else {
            let help = Some("write dynamic \"port\" { for_each = … content { … } }".to_owned());
            return self.reader.error(span, "dynamic has one label: the block that it makes", help);
        };
        let each = block.body.get_attribute("for_each").map(|a| &a.value);
        let content = block.body.get_blocks("content").next();
        let (Some(each), Some(content)) = (each, content) else {
            return self.reader.error(span, "dynamic needs for_each and a content block", None);
        };
        let name = label.as_str();
        let iterator = match block.body.get_attribute("iterator").map(|a| &a.value) {
            Some(hcl_edit::expr::Expression::Variable(name)) => name.as_str(),
            _ => name,
        };
        let items = self.evaluator.eval(each, binds).and_then(|value| pairs(value, each));
        let items = match items {
            Ok(items) if items.len() <= MAX_DYNAMIC => items,
            Ok(_) => return self.reader.error(span, format!("makes more than {MAX_DYNAMIC} blocks"), None),
            Err(fault) => return self.reader.fault(fault, span),
        };
        for (key, value) in items {
            let item = Value::from_iter([("key".to_owned(), key), ("value".to_owned(), value)]);
            let inner = Binds::With(iterator, item, binds);
            let Some(labels) = self.dynamic_labels(block, &inner) else { return };
            self.member_block(schema, name, &span, &labels, &content.body, &inner, members);
        }
    }

    fn dynamic_labels(&mut self, block: &Block, binds: &Binds<'_>) -> Option<Vec<(String, Span)>> {
        let Some(attribute) = block.body.get_attribute("labels") else { return Some(Vec::new()) };
        let value = self.reader.value(self.evaluator, &attribute.value, binds)?;
        let span = value.span.clone();
        let labels = match value.node {
            Node::List(items) => items.into_iter().map(|item| match item.node {
                Node::Text(label) => Some((label, item.span)),
                _ => None,
            }),
            _ => {
                self.reader.error(span, "labels is a list of texts", None);
                return None;
            }
        };
        let labels = labels.collect::<Option<Vec<_>>>();
        if labels.is_none() {
            self.reader.error(span, "labels is a list of texts", None);
        }
        labels
    }
}
