//! A list too large for one answer, read in parts at one revision.
//!
//! etcd counts the whole rest of the range for every page cut by a limit, so the pages are bounded on both sides:
//! first all keys without values, which also fixes the revision, then runs of keys from one to the next.

use bytes::Bytes;
use etcd_client::GetOptions;

use super::EtcdStore;
use crate::{Error, Kv, Listing, Range, Revision};

/// How many keys a first try reads at once.
const KEYS_A_PAGE: usize = 1024;

pub(super) async fn list(store: &EtcdStore, range: &Range) -> Result<Listing, Error> {
    let keys = store.read(range, GetOptions::new().with_keys_only(), None).await?;
    let revision = keys.revision;
    let keys: Vec<Bytes> = keys.kvs.into_iter().map(|kv| kv.key).collect();
    // Runs of keys still to be read, the next one last.
    let mut runs: Vec<&[Bytes]> = keys.chunks(KEYS_A_PAGE).rev().collect();
    let mut kvs = Vec::with_capacity(keys.len());
    while let Some(run) = runs.pop() {
        match page(store, run, revision).await {
            Ok(page) => kvs.extend(page),
            Err(Error::TooLarge { .. }) if run.len() > 1 => {
                let (left, right) = run.split_at(run.len() / 2);
                runs.extend([right, left]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Listing { kvs, revision })
}

/// The records from a run's first key to its last, at `revision`.
async fn page(store: &EtcdStore, run: &[Bytes], revision: Revision) -> Result<Vec<Kv>, Error> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Ok(Vec::new());
    };
    let end = Range::key(last.clone()).end.expect("a single key's range has an end");
    let range = Range::span(first.clone(), end);
    Ok(store.read(&range, GetOptions::new(), Some(revision)).await?.kvs)
}
