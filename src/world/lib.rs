//! encamp-world.
