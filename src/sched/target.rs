//! The two sides of a constraint: fixed text, or something that a node says of itself.

use std::borrow::Cow;

use encamp_model::records::NodeInfo;

/// One side of a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Text as it stands.
    Text(String),
    /// `${attr.<name>}`.
    Attribute(String),
    /// `${meta.<name>}`.
    Meta(String),
    /// `${node.datacenter}`.
    Datacenter,
    /// `${node.class}`.
    Class,
    /// `${node.region}`.
    Region,
    /// `${node.unique.id}`.
    Id,
    /// `${node.unique.name}`.
    Name,
    /// Something in braces that no node has.
    Unknown,
}

impl Target {
    /// Reads one side. `$attr.x`, `$node.x` and `$meta.x` of 2016 mean the braced form.
    pub(crate) fn parse(text: &str) -> Target {
        let trimmed = text.trim();
        if let Some(inner) = trimmed.strip_prefix("${").and_then(|t| t.strip_suffix('}')) {
            return Self::variable(inner.trim()).unwrap_or(Target::Unknown);
        }
        let bare = trimmed.strip_prefix('$').and_then(Self::variable);
        bare.unwrap_or_else(|| Target::Text(text.to_owned()))
    }

    fn variable(path: &str) -> Option<Target> {
        if let Some(name) = path.strip_prefix("attr.") {
            return Some(Target::Attribute(name.to_owned()));
        }
        if let Some(name) = path.strip_prefix("meta.") {
            return Some(Target::Meta(name.to_owned()));
        }
        Some(match path {
            "node.datacenter" => Target::Datacenter,
            "node.class" => Target::Class,
            "node.region" => Target::Region,
            "node.unique.id" | "node.id" => Target::Id,
            "node.unique.name" | "node.name" => Target::Name,
            _ => return None,
        })
    }

    /// What it is on a node; `None` if the node has no such thing.
    pub(crate) fn on<'a>(&'a self, node: &'a NodeInfo) -> Option<Cow<'a, str>> {
        Some(match self {
            Target::Text(text) => Cow::Borrowed(text),
            Target::Attribute(name) => Cow::Borrowed(node.attributes.get(name)?),
            Target::Meta(name) => Cow::Borrowed(node.meta.get(name)?),
            Target::Datacenter => Cow::Borrowed(&node.datacenter),
            Target::Class => Cow::Borrowed(&node.class),
            Target::Region => Cow::Borrowed(&node.region),
            Target::Id => Cow::Owned(node.id.to_string()),
            Target::Name => Cow::Borrowed(&node.name),
            Target::Unknown => return None,
        })
    }

    /// May it differ between two nodes of one class?
    pub(crate) fn is_unique(&self) -> bool {
        match self {
            Target::Attribute(name) | Target::Meta(name) => is_unique(name),
            Target::Id | Target::Name => true,
            _ => false,
        }
    }
}

/// Attributes and metadata of this form tell one node from another; the others make its class.
pub(crate) fn is_unique(name: &str) -> bool {
    name.starts_with("unique.")
}
