//! encamp-planner.
