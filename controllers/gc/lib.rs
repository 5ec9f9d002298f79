//! encamp-gc.
