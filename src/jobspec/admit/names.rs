//! What names may look like.

use std::collections::BTreeMap;

use super::Check;
use crate::diag::quoted;

/// Longest name, in bytes.
const MAX_NAME: usize = 128;

/// Characters that a kind of name can't hold beside control characters.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    banned: &'static [char],
    folder: bool,
}

/// Group names and display names.
pub(super) const PLAIN: Rule = Rule { banned: &[], folder: false };
/// Job ids and namespaces: one word, as they stand in keys and paths.
pub(super) const JOB_ID: Rule = Rule { banned: &[' '], folder: false };
/// Task names, which are names of folders on the node.
pub(super) const TASK: Rule = Rule { banned: &['/', '\\'], folder: true };
/// Port labels, which become parts of environment variables.
pub(super) const PORT: Rule = Rule { banned: &['/', '\\', ' ', '='], folder: false };

impl Check<'_> {
    /// Checks one name that is not empty.
    pub(super) fn name(&mut self, path: &str, what: &str, name: &str, rule: Rule) {
        if name.len() > MAX_NAME {
            let message = format!("{what} is too long: {} bytes, at most {MAX_NAME}", name.len());
            self.error(path, message, None);
        }
        if name.trim() != name {
            self.error(path, format!("{what} begins or ends with a blank"), None);
        }
        if let Some(bad) = name.chars().find(|c| c.is_control() || rule.banned.contains(c)) {
            self.error(path, format!("{what} can't hold {:?}", bad), None);
        }
        if rule.folder && matches!(name, "." | ".." | "alloc") {
            let message = format!("{what} can't be {}: it is the name of a folder", quoted(name));
            self.error(path, message, None);
        }
    }

    /// Checks the keys of `meta`.
    pub(super) fn meta(&mut self, path: &str, meta: &BTreeMap<String, String>) {
        for key in meta.keys() {
            if key.is_empty() || key.len() > MAX_NAME || key.chars().any(char::is_control) {
                let message = format!("meta has a key that is no name: {}", quoted(key));
                self.error(path, message, None);
            }
        }
    }

    /// Checks what has to fit into an environment.
    pub(super) fn env(&mut self, path: &str, env: &BTreeMap<String, String>) {
        for (key, value) in env {
            if key.is_empty() || key.contains(['=', '\0']) {
                let message = format!("env has a name that no environment can hold: {}", quoted(key));
                self.error(path, message, None);
            }
            if value.contains('\0') {
                let message = format!("the value of {} in env holds a zero byte", quoted(key));
                self.error(path, message, None);
            }
        }
    }
}
