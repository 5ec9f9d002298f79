//! encamp-evaluator.
