//! `Name = value` lines with the equal signs below each other.

use std::fmt;

/// Named values, shown in the order they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// None yet.
    pub(crate) fn new() -> Self {
        Fields::default()
    }

    /// Adds one; an empty value shows as `<none>`.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        self.0.push((name, if value.is_empty() { "<none>".into() } else { value }));
        self
    }

    /// Adds one unless it is empty.
    #[must_use]
    pub(crate) fn with_some(self, name: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        if value.is_empty() { self } else { self.with(name, value) }
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (at, (name, value)) in self.0.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{name:width$} = {value}")?;
        }
        Ok(())
    }
}
