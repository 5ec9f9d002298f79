//! Checks of a request before anything is applied: size, number of operations, keys named twice.

use std::collections::BTreeSet;

use crate::core::Config;
use crate::error::Error;
use crate::txn::{Op, Txn};
use crate::types::Range;

/// Everything about a transaction that can be judged without looking at the store.
pub(crate) fn txn(txn: &Txn, config: &Config) -> Result<(), Error> {
    let count = txn.compares.len().max(txn.success.len()).max(txn.failure.len());
    if count > config.txn_ops_max {
        return Err(Error::TooManyOps { count, limit: config.txn_ops_max });
    }
    if txn.compares.iter().any(|compare| compare.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    for branch in [&txn.success, &txn.failure] {
        branch.iter().try_for_each(operation)?;
        distinct(branch)?;
    }
    size(txn.size_bytes(), config)
}

/// The request's bytes against the limit.
pub(crate) fn size(bytes: usize, config: &Config) -> Result<(), Error> {
    if bytes > config.request_bytes_max {
        return Err(Error::TooLarge { bytes, limit: config.request_bytes_max });
    }
    Ok(())
}

/// A range that no key can be in is a mistake: on etcd's wire it would mean something else.
pub(crate) fn range(range: &Range) -> Result<(), Error> {
    if range.is_empty() { Err(Error::EmptyRange) } else { Ok(()) }
}

fn operation(op: &Op) -> Result<(), Error> {
    match op {
        Op::Put { key, .. } if key.is_empty() => Err(Error::EmptyKey),
        Op::Put { .. } => Ok(()),
        Op::Delete { range: span } | Op::Get { range: span } => range(span),
    }
}

/// Within one branch a key may be put once, and not lie in a deleted range (in whichever order); deletes may
/// overlap.
fn distinct(branch: &[Op]) -> Result<(), Error> {
    let mut puts = BTreeSet::new();
    for op in branch {
        if let Op::Put { key, .. } = op
            && !puts.insert(key)
        {
            return Err(Error::DuplicateKey);
        }
    }
    for op in branch {
        if let Op::Delete { range } = op
            && puts.range::<bytes::Bytes, _>(&range.start..).next().is_some_and(|key| range.contains(key))
        {
            return Err(Error::DuplicateKey);
        }
    }
    Ok(())
}
