//! One watch, on a connection of its own.

use std::sync::Arc;

use etcd_client::proto::PbWatchResponse;
use etcd_client::{WatchOptions, WatchStream as ClientStream};
use futures::{StreamExt, stream};
use tokio::time::timeout;

use super::assemble::Assembler;
use super::convert;
use super::endpoints::Endpoints;
use super::failure::{Failure, FailureKind, by_words};
use crate::{Error, Range, Revision, WatchItem, WatchStream};

const WHAT: &str = "watch";

struct Watch {
    endpoints: Arc<Endpoints>,
    /// Which endpoint it is on.
    index: usize,
    stream: ClientStream,
    assembler: Assembler,
}

pub(super) fn stream(endpoints: Arc<Endpoints>, range: Range, from: Revision) -> WatchStream {
    let opened = stream::once(open(endpoints, range, from));
    opened
        .flat_map(|opened| match opened {
            Ok(watch) => {
                let created = stream::once(async { Ok(WatchItem::Created) });
                created.chain(stream::unfold(Some(watch), next)).boxed()
            }
            Err(error) => stream::once(async { Err(error) }).boxed(),
        })
        .boxed()
}

async fn open(endpoints: Arc<Endpoints>, range: Range, from: Revision) -> Result<Watch, Error> {
    let (key, end) = convert::range(&range)?;
    let options = WatchOptions::new().with_range(end).with_start_revision(from).with_fragment();
    let (within, bytes_max) = (endpoints.options().request_timeout, endpoints.options().answer_bytes_max);
    let (index, stream) = endpoints
        .open(WHAT, within, |client| {
            let (key, options) = (key.clone(), options.clone());
            async move {
                let mut watches = client.watch_client().max_decoding_message_size(bytes_max);
                let mut stream = watches.watch(key, Some(options)).await?;
                established(&mut stream).await?;
                Ok(stream)
            }
        })
        .await?;
    Ok(Watch { endpoints, index, stream, assembler: Assembler::new(from) })
}

/// Waits for the server's word that it has the watch.
async fn established(stream: &mut ClientStream) -> Result<(), Failure> {
    let response = stream.message().await?.ok_or_else(ended)?;
    if response.canceled() {
        return Err(canceled(&response.0));
    }
    if !response.created() {
        return Err(Failure::protocol("a watch that begins without being created"));
    }
    Ok(())
}

/// The next item; after an error, the end.
async fn next(watch: Option<Watch>) -> Option<(Result<WatchItem, Error>, Option<Watch>)> {
    let mut watch = watch?;
    match watch.next().await {
        Ok(item) => Some((Ok(item), Some(watch))),
        Err(failure) => {
            if failure.is_of_endpoint() {
                watch.endpoints.leave(watch.index);
            }
            Some((Err(failure.into_error(watch.endpoints.url(watch.index), WHAT, 0)), None))
        }
    }
}

impl Watch {
    async fn next(&mut self) -> Result<WatchItem, Failure> {
        loop {
            let response = self.message().await?;
            if response.canceled {
                return Err(canceled(&response));
            }
            let events = response.events.into_iter().map(convert::event).collect::<Result<Vec<_>, _>>()?;
            let pushed = self.assembler.push(events, response.fragment).map_err(|order| {
                Failure::protocol(&format!("an event of revision {} after {}", order.got, order.after))
            })?;
            if let Some(batch) = pushed {
                return Ok(WatchItem::Events(batch));
            }
        }
    }
}

impl Watch {
    /// The next message. A silent server is asked for its progress: not for the revision that the answer tells
    /// (see [`super::assemble`]), but because a live server gives one. Unlike HTTP/2's pings, etcd takes such
    /// questions as often as one likes.
    async fn message(&mut self) -> Result<PbWatchResponse, Failure> {
        let options = self.endpoints.options();
        let response = match timeout(options.watch_silence, self.stream.message()).await {
            Ok(response) => response,
            Err(_silent) => {
                let answer = async {
                    self.stream.request_progress().await?;
                    self.stream.message().await
                };
                timeout(options.watch_timeout, answer).await.map_err(|_silent| silent())?
            }
        };
        Ok(response?.ok_or_else(ended)?.0)
    }
}

fn silent() -> Failure {
    Failure::new(FailureKind::Unavailable, "the server gives no sign of life")
}

fn ended() -> Failure {
    Failure::new(FailureKind::Unavailable, "the server ended the stream")
}

fn canceled(response: &PbWatchResponse) -> Failure {
    if response.compact_revision > 0 {
        return Failure::new(FailureKind::Compacted(response.compact_revision), "compacted");
    }
    let kind = by_words(&response.cancel_reason).unwrap_or(FailureKind::Unavailable);
    Failure::new(kind, format!("canceled by the server: {}", response.cancel_reason))
}
