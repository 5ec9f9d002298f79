//! encamp-testkit.
