//! Typed identifiers, so that no signature takes a bare `String` or `Uuid`.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A shared, immutable string: job, group, task and loop names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Name {
    fn default() -> Self {
        Name(Arc::from(""))
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name(Arc::from(text))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Name(Arc::from(text))
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A job's namespace and name: what users and keys address it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// The namespace, most often `default`.
    pub namespace: Name,
    /// The job's id within it; may hold `/`.
    pub name: Name,
}

impl JobId {
    /// From two texts.
    pub fn new(namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        JobId { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.namespace)
    }
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A random id. Only for the shell: pure code receives ids.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// Sorts before every id.
            pub const MIN: Self = Self(Uuid::nil());

            /// The id these 128 bits make, in v4 form.
            pub fn from_bits(bits: u128) -> Self {
                Self(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid())
            }

            /// The first eight characters, as shown in tables.
            pub fn short(&self) -> String {
                self.0.to_string()[..8].to_owned()
            }

            /// The 128 bits.
            pub fn as_u128(&self) -> u128 {
                self.0.as_u128()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // Only the hyphenated form is an id here: one id has one key.
                match Uuid::try_parse(text) {
                    Ok(id) if text.len() == 36 => Ok(Self(id)),
                    _ => Err(InvalidId { text: text.chars().take(64).collect() }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )+};
}

uuid_ids! {
    /// One installation: made once for a prefix in one etcd.
    ClusterUid,
    /// One registration of a job name: new after a purge.
    JobUid,
    /// One evaluation.
    EvalId,
    /// One allocation.
    AllocId,
    /// One machine's agent, kept in its data folder.
    NodeId,
    /// One thing a person asked of an allocation.
    IntentId,
    /// One process of ours, new at each start.
    InstanceId,
}

/// A text that is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an id: 36 characters like 3d823c52-929a-fa8b-c50d-1ac4d00cf6b7 are expected")]
pub struct InvalidId {
    /// The text, cut at 64 characters.
    pub text: String,
}
