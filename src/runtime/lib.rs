//! encamp-runtime.
