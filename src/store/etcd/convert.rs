//! Our nouns to etcd-client's and back.

use bytes::Bytes;
use etcd_client::proto::{PbEvent, PbKeyValue, PbResponseHeader, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{
    Compare as ClientCompare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn as ClientTxn, TxnOp,
};

use super::failure::Failure;
use crate::{
    Compare, Condition, Error, Event, EventKind, Kv, NO_LEASE, Op, OpAnswer, Range, Test, Txn, TxnAnswer,
};

/// The smallest key there is, and etcd's mark for "no upper bound".
const ZERO: &[u8] = &[0];

/// Start and end as etcd wants them: never empty.
pub(super) fn range(range: &Range) -> Result<(Vec<u8>, Vec<u8>), Error> {
    if range.is_empty() {
        // On the wire an empty end would mean the single key `start`, and an end before the start "nothing".
        return Err(Error::Invalid {
            endpoint: "client".to_owned(),
            reason: format!("range {range:?} is empty"),
        });
    }
    let start = if range.start.is_empty() { ZERO.to_vec() } else { range.start.to_vec() };
    let end = range.end.as_ref().map_or_else(|| ZERO.to_vec(), |end| end.to_vec());
    Ok((start, end))
}

pub(super) fn txn(txn: &Txn) -> Result<ClientTxn, Error> {
    let compares: Vec<_> = txn.compares.iter().map(compare).collect();
    let mut request = ClientTxn::new();
    if !compares.is_empty() {
        request = request.when(compares);
    }
    if !txn.success.is_empty() {
        request = request.and_then(txn.success.iter().map(op).collect::<Result<Vec<_>, _>>()?);
    }
    if !txn.failure.is_empty() {
        request = request.or_else(txn.failure.iter().map(op).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(request)
}

fn compare(compare: &Compare) -> ClientCompare {
    let key = compare.key.to_vec();
    let test = match compare.test {
        Test::Equal => CompareOp::Equal,
        Test::NotEqual => CompareOp::NotEqual,
        Test::Less => CompareOp::Less,
        Test::Greater => CompareOp::Greater,
    };
    match &compare.condition {
        Condition::Version(given) => ClientCompare::version(key, test, *given),
        Condition::Create(given) => ClientCompare::create_revision(key, test, *given),
        Condition::Mod(given) => ClientCompare::mod_revision(key, test, *given),
        Condition::Value(given) => ClientCompare::value(key, test, given.to_vec()),
        Condition::Lease(given) => ClientCompare::lease(key, test, *given),
    }
}

fn op(op: &Op) -> Result<TxnOp, Error> {
    Ok(match op {
        Op::Put { key, value, lease } => {
            let options = (*lease != NO_LEASE).then(|| PutOptions::new().with_lease(*lease));
            TxnOp::put(key.to_vec(), value.to_vec(), options)
        }
        Op::Delete { range: span } => {
            let (start, end) = range(span)?;
            TxnOp::delete(start, Some(DeleteOptions::new().with_range(end)))
        }
        Op::Get { range: span } => {
            let (start, end) = range(span)?;
            TxnOp::get(start, Some(GetOptions::new().with_range(end)))
        }
    })
}

pub(super) fn txn_answer(response: PbTxnResponse) -> Result<TxnAnswer, Failure> {
    let header = header(response.header)?;
    let answers = response.responses.into_iter().map(|answer| match answer.response {
        Some(PbTxnOpResponse::ResponsePut(_)) => Ok(OpAnswer::Put),
        Some(PbTxnOpResponse::ResponseDeleteRange(answer)) => {
            Ok(OpAnswer::Delete { deleted: answer.deleted })
        }
        Some(PbTxnOpResponse::ResponseRange(answer)) => {
            Ok(OpAnswer::Get { kvs: answer.kvs.into_iter().map(kv).collect() })
        }
        Some(PbTxnOpResponse::ResponseTxn(_)) | None => Err(Failure::protocol("an operation's answer")),
    });
    let answers = answers.collect::<Result<Vec<_>, _>>()?;
    Ok(TxnAnswer { succeeded: response.succeeded, revision: header.revision, answers })
}

pub(super) fn header(header: Option<PbResponseHeader>) -> Result<PbResponseHeader, Failure> {
    header.ok_or_else(|| Failure::protocol("an answer without a header"))
}

pub(super) fn kv(kv: PbKeyValue) -> Kv {
    Kv {
        key: Bytes::from(kv.key),
        value: Bytes::from(kv.value),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

pub(super) fn event(event: PbEvent) -> Result<Event, Failure> {
    const PUT: i32 = etcd_client::EventType::Put as i32;
    const DELETE: i32 = etcd_client::EventType::Delete as i32;
    let kind = match event.r#type {
        PUT => EventKind::Put,
        DELETE => EventKind::Delete,
        _ => return Err(Failure::protocol("an event's type")),
    };
    let record = event.kv.ok_or_else(|| Failure::protocol("an event without a key"))?;
    Ok(Event { kind, kv: kv(record), prev: event.prev_kv.map(kv) })
}
