//! The schema table: every block and attribute of the job language, once.
//!
//! HCL and JSON are both read through it, so that they can't come to mean different things, and it says for each
//! field whether this version acts on it, only keeps it, or refuses it.

mod admin;
mod connect;
mod group;
mod job;
mod service;
mod task;

pub use job::JOB;

/// What a field holds and, for the scalars, its unit.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A text in which `${attr.…}` and the like are filled in on the node.
    RuntimeText,
    /// `true` or `false`.
    Bool,
    /// A whole number, in `Field::unit`.
    Int,
    /// A time span: nanoseconds as a number, or Go's text form ("1h30m").
    Duration,
    /// A list of texts.
    TextList,
    /// A list of whole numbers.
    IntList,
    /// Free keys, text values.
    TextMap,
    /// Free keys, text values, filled in on the node.
    RuntimeMap,
    /// Free keys, lists of texts.
    ListMap,
    /// Whatever a driver wants: free keys, any values.
    Config,
    /// Any value at all.
    Any,
    /// One block, an object.
    One(&'static Block),
    /// A block that may repeat, a list of objects.
    Many(&'static Block),
    /// A block that may repeat under different labels, an object by label.
    ByLabel(&'static Block),
}

impl Kind {
    /// The block this field holds, if it is one.
    pub fn block(self) -> Option<&'static Block> {
        match self {
            Kind::One(block) | Kind::Many(block) | Kind::ByLabel(block) => Some(block),
            _ => None,
        }
    }

    /// As error messages and `ctl explain` name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text | Kind::RuntimeText => "text",
            Kind::Bool => "true or false",
            Kind::Int => "whole number",
            Kind::Duration => "duration",
            Kind::TextList => "list of texts",
            Kind::IntList => "list of whole numbers",
            Kind::TextMap | Kind::RuntimeMap => "map of texts",
            Kind::ListMap => "map of lists of texts",
            Kind::Config => "driver settings",
            Kind::Any => "any value",
            Kind::One(_) | Kind::Many(_) | Kind::ByLabel(_) => "block",
        }
    }
}

/// What this version does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Acted on.
    Served,
    /// Stored and returned unchanged, named in the warnings. The text says what is not acted on.
    Carried(&'static str),
    /// Refused unless absent, zero or what clients fill in. The text says what would go wrong.
    Refused(&'static str),
    /// Belongs to the server (indexes, status) or must not be stored (tokens): dropped in silence.
    Dropped,
}

/// One attribute or nested block.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name in a job file; empty if only the API has it.
    pub hcl: &'static str,
    /// Name in the API's JSON; empty if it is only a way of writing in job files.
    pub api: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Unit of a number, as in "MHz"; empty if it has none.
    pub unit: &'static str,
    /// What an absent value means, for documentation only: it is never written into a job.
    pub default: &'static str,
    /// What is done with it.
    pub class: Class,
    /// JSON texts of values that clients fill in on their own, which therefore say nothing.
    pub fillers: &'static [&'static str],
    /// True for a block that says something even when it is empty, as `sidecar_service {}` does.
    pub bare: bool,
}

/// A block: its label and what it may contain.
#[derive(Debug)]
pub struct Block {
    /// Name in a job file.
    pub name: &'static str,
    /// The label it takes.
    pub label: Label,
    /// What it may contain.
    pub fields: &'static [Field],
}

/// Whether a block has a label, and where the API keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// None.
    None,
    /// Exactly one, kept in this API field.
    Into(&'static str),
    /// At most one, kept in this API field.
    Optional(&'static str),
    /// Exactly one, which is the key of the map that holds the block.
    Key,
}

impl Block {
    /// The field that a job file calls `name`.
    pub fn by_hcl(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| !f.hcl.is_empty() && f.hcl == name)
    }

    /// The field that the API calls `name`, in any case.
    pub fn by_api(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| !f.api.is_empty() && f.api.eq_ignore_ascii_case(name))
    }
}

/// A served field.
const fn field(hcl: &'static str, api: &'static str, kind: Kind) -> Field {
    Field { hcl, api, kind, unit: "", default: "", class: Class::Served, fillers: &[], bare: false }
}

/// A field that only the API has and that the server owns.
const fn owned(api: &'static str, kind: Kind) -> Field {
    Field { class: Class::Dropped, ..field("", api, kind) }
}

impl Field {
    const fn carried(self, why: &'static str) -> Field {
        Field { class: Class::Carried(why), ..self }
    }

    const fn refused(self, why: &'static str) -> Field {
        Field { class: Class::Refused(why), ..self }
    }

    const fn dropped(self) -> Field {
        Field { class: Class::Dropped, ..self }
    }

    const fn unit(self, unit: &'static str) -> Field {
        Field { unit, ..self }
    }

    const fn default(self, default: &'static str) -> Field {
        Field { default, ..self }
    }

    const fn bare(self) -> Field {
        Field { bare: true, ..self }
    }

    const fn fillers(self, fillers: &'static [&'static str]) -> Field {
        Field { fillers, ..self }
    }
}

/// Inside blocks that are carried or refused as a whole, members need no verdict of their own.
const WHOLE: &str = "part of a block that is kept as it is";
