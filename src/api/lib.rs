//! encamp-api.
