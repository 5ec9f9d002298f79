//! Tests of the scheduler: scripts, tables, random clusters, and mutations for the judges.

mod judges;
mod random;
mod scenarios;
mod tables;
