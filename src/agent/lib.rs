//! encamp-agent.
