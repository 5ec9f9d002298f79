//! The async shell around a [`Driver`]: moves steps and answers in, transactions out.

use std::{sync::Arc, time::Duration};

use encamp_store::{Store, Txn};
use encamp_world::control::Controller;
use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, Stream},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    Process,
    driver::{Answer, Driver, Ran, TxnId},
    hub::Step,
    task,
};

/// Steps taken in before the loop looks at keys again: a burst is answered once, on its last World.
const STEPS_AT_ONCE: usize = 256;

/// Runs a controller until shutdown: a stream of what each reconcile did. Whether this process leads the loop is
/// decided in etcd; while another does, nothing is written and the stream is silent.
pub fn run_controller<C>(
    controller: C,
    process: &Process,
    shutdown: CancellationToken,
) -> impl Stream<Item = Ran<C::Key>> + Send + Unpin + 'static
where
    C: Controller + 'static,
{
    let driver = Driver::new(
        controller,
        process.keyspace().clone(),
        process.cluster().uid,
        process.instance(),
        process.address().to_owned(),
    );
    let (sender, receiver) = mpsc::unbounded_channel();
    let shell = Shell { driver, process: process.clone(), in_flight: FuturesUnordered::new(), ran: sender };
    let span = tracing::info_span!("loop", name = C::NAME);
    task::spawn(C::NAME, shell.run(shutdown).instrument(span));
    UnboundedReceiverStream::new(receiver)
}

struct Shell<C: Controller> {
    driver: Driver<C>,
    process: Process,
    in_flight: FuturesUnordered<BoxFuture<'static, (TxnId, Answer)>>,
    ran: mpsc::UnboundedSender<Ran<C::Key>>,
}

impl<C: Controller + 'static> Shell<C> {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut steps = self.process.steps();
        let mut lease = self.process.lease();
        self.driver.on_lease(*lease.borrow_and_update());
        self.driver.on_step(self.process.world(), &[], true, self.process.now());
        loop {
            self.send();
            let due = self.driver.due();
            let clock = self.process.clock();
            tokio::select! {
                step = steps.recv() => match step {
                    Some(step) => self.step(step, &mut steps),
                    None => break,
                },
                Some((id, answer)) = self.in_flight.next() => self.driver.on_answer(id, answer, clock.now()),
                Ok(()) = lease.changed() => self.driver.on_lease(*lease.borrow_and_update()),
                () = async { clock.sleep_until(due.unwrap_or_default()).await }, if due.is_some() => {}
                () = shutdown.cancelled() => break,
            }
        }
        // What is on its way is awaited, bounded. The session may end first: then it lands under a dead epoch, or not.
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            while self.in_flight.next().await.is_some() {}
        })
        .await;
    }

    fn step(&mut self, first: Step, steps: &mut mpsc::UnboundedReceiver<Step>) {
        let mut changes = first.changes.to_vec();
        let mut relisted = first.relisted;
        for _ in 1..STEPS_AT_ONCE {
            let Ok(step) = steps.try_recv() else { break };
            changes.extend_from_slice(&step.changes);
            relisted |= step.relisted;
        }
        self.driver.on_step(self.process.world(), &changes, relisted, self.process.now());
    }

    fn send(&mut self) {
        for (id, txn) in self.driver.poll(self.process.now()) {
            self.in_flight.push(Box::pin(send(self.process.store().clone(), id, txn)));
        }
        for ran in self.driver.take_ran() {
            tracing::debug!(key = ?ran.key, units = ran.units, placed = ran.placed, "reconciled");
            // Nobody need listen.
            let _ = self.ran.send(ran);
        }
    }
}

async fn send(store: Arc<dyn Store>, id: TxnId, txn: Txn) -> (TxnId, Answer) {
    let answer = match store.txn(txn).await {
        Ok(answer) if answer.succeeded => Answer::Committed(answer.revision),
        Ok(_) => Answer::Conflict,
        Err(error) => {
            tracing::warn!(%error, label = error.label(), "transaction failed");
            Answer::Unknown
        }
    };
    (id, answer)
}
