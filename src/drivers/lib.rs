//! encamp-drivers.
