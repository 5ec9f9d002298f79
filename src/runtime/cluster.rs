//! `cluster`: created once, read by whoever comes later.

use encamp_model::{
    ClusterUid, Key, Keyspace,
    records::{ClusterRecord, LAYOUT},
};
use encamp_store::{Compare, Op, OpAnswer, Range, Store, Txn};

use crate::process::Error;

/// Creates the record if it is absent, else reads it. The loser of a race reads the winner's.
pub(crate) async fn ensure(store: &dyn Store, keys: &Keyspace, region: &str) -> Result<ClusterRecord, Error> {
    let raw = keys.encode(&Key::Cluster);
    let fresh = ClusterRecord { uid: ClusterUid::random(), layout: LAYOUT, region: region.to_owned() };
    let value = serde_json::to_vec(&fresh).expect("model types serialise");
    let txn = Txn::new()
        .when(Compare::absent(raw.clone()))
        .then(Op::put(raw.clone(), value))
        .or_else(Op::Get { range: Range::key(raw.clone()) });
    let answer = store.txn(txn).await.map_err(Error::Store)?;
    if answer.succeeded {
        tracing::info!(cluster = %fresh.uid, key = raw, "created");
        return Ok(fresh);
    }
    let found = answer.answers.into_iter().find_map(|a| match a {
        OpAnswer::Get { kvs } => kvs.into_iter().next(),
        _ => None,
    });
    let kv = found
        .ok_or_else(|| Error::Cluster { key: raw.clone(), reason: "it vanished while being read".into() })?;
    let record: ClusterRecord = serde_json::from_slice(&kv.value).map_err(|error| Error::Cluster {
        key: raw.clone(),
        reason: format!("it cannot be read: {error}"),
    })?;
    if record.layout > LAYOUT {
        let reason =
            format!("layout {} is newer than {LAYOUT}, which this version knows: upgrade it", record.layout);
        return Err(Error::Cluster { key: raw, reason });
    }
    Ok(record)
}
