//! encamp-ctl.
