//! encamp-sched.
