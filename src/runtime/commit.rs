//! Units of the api: committed once, however often they must be sent.

use std::time::Duration;

use encamp_model::{EvalId, Guard, Key, Keyspace, Unit};
use encamp_store::{Error, Op, OpAnswer, Range, Store};

use crate::{pack::unit_txn, retry::Backoff};

/// Why a unit was not written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// Something that the unit compares has changed: decide anew on a fresh World.
    #[error("what this write rests on has changed meanwhile; try again")]
    Conflict,
    /// etcd is out of space. Nothing was written.
    #[error("{0}")]
    NoSpace(Error),
    /// The unit is larger than etcd takes. Nothing was written.
    #[error("the request is too large for etcd: {0}")]
    TooLarge(Error),
    /// etcd could not be reached, or did not answer; the write may or may not be there.
    #[error("{0}")]
    Unavailable(Error),
}

/// Tries before an ambiguous write is given up.
const TRIES: usize = 5;

/// Commits a unit that also creates `evals/<eval>`, and returns its revision.
///
/// The transaction compares that the evaluation is absent. After an ambiguous answer the same one is sent again: one
/// copy lands at most, and the failure branch reads the evaluation: if it is there, the unit was applied.
pub(crate) async fn commit(
    store: &dyn Store,
    keys: &Keyspace,
    unit: &Unit,
    eval: EvalId,
) -> Result<i64, CommitError> {
    let key = Key::Eval(eval);
    let mut unit = unit.clone();
    unit.guards.insert(Guard::Unchanged(key.clone(), 0));
    let mut txn = unit_txn(keys, unit);
    let range = Range::key(keys.encode(&key));
    txn.failure.push(Op::Get { range });
    let mut backoff = Backoff::jittered(Duration::from_millis(50), Duration::from_secs(1));
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match store.txn(txn.clone()).await {
            Ok(answer) if answer.succeeded => return Ok(answer.revision),
            Ok(answer) => return applied(answer.answers).ok_or(CommitError::Conflict),
            Err(error) => error,
        };
        match &error {
            // It may have been said after the write was applied; a read tells, since it can't land any more.
            Error::NoSpace { .. } if tries == 1 => return after_no_space(store, keys, &key, error).await,
            Error::TooLarge { .. } | Error::Invalid { .. } => return Err(CommitError::TooLarge(error)),
            _ if error.retryable() && tries < TRIES => tokio::time::sleep(backoff.next_delay()).await,
            _ => return Err(CommitError::Unavailable(error)),
        }
    }
}

fn applied(answers: Vec<OpAnswer>) -> Option<i64> {
    answers.into_iter().find_map(|answer| match answer {
        OpAnswer::Get { kvs } => kvs.first().map(|kv| kv.create_revision),
        _ => None,
    })
}

async fn after_no_space(
    store: &dyn Store,
    keys: &Keyspace,
    key: &Key,
    error: Error,
) -> Result<i64, CommitError> {
    match store.get(keys.encode(key).as_bytes()).await {
        Ok((Some(kv), _)) => Ok(kv.create_revision),
        Ok((None, _)) => Err(CommitError::NoSpace(error)),
        Err(read) => Err(CommitError::Unavailable(read)),
    }
}
