//! encamp-heartbeat.
