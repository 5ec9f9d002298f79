//! Job versions that the World keeps no text of, read from etcd when somebody asks.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use encamp_model::{Job, JobUid, Key};
use encamp_world::{Stored, World};

use crate::{call::Api, error::Error};

/// Texts kept: enough for the pages that one person looks at, at most 16 MiB.
const KEPT: usize = 64;

/// The texts read last. A version never changes once it is written, so that none goes stale.
#[derive(Default)]
pub(crate) struct Texts {
    last: Mutex<VecDeque<(JobUid, u64, Arc<Job>)>>,
}

impl Texts {
    fn find(&self, uid: JobUid, version: u64) -> Option<Arc<Job>> {
        let last = self.last.lock().expect("nothing panics while it holds the texts");
        last.iter().find(|(u, v, _)| (*u, *v) == (uid, version)).map(|(_, _, job)| job.clone())
    }

    fn keep(&self, uid: JobUid, version: u64, job: Arc<Job>) {
        let mut last = self.last.lock().expect("nothing panics while it holds the texts");
        last.retain(|(u, v, _)| (*u, *v) != (uid, version));
        last.truncate(KEPT - 1);
        last.push_front((uid, version, job));
    }
}

/// The declaration of one version, shared with whoever else shows it.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    /// The current one.
    Current(Arc<Stored<Job>>),
    /// One read from etcd.
    Read(Arc<Job>),
}

impl std::ops::Deref for Text {
    type Target = Job;
    fn deref(&self) -> &Job {
        match self {
            Text::Current(job) => job,
            Text::Read(job) => job,
        }
    }
}

impl Api {
    /// The declaration of one version; `None` if it is gone or cannot be read.
    pub(crate) async fn job_text(
        &self,
        world: &World,
        uid: JobUid,
        version: u64,
    ) -> Result<Option<Text>, Error> {
        let entry = world.registration(uid).and_then(|r| r.job.as_ref()).and_then(|id| world.job(id));
        if let Some(job) = entry.and_then(|e| e.job.as_ref())
            && job.uid == Some(uid)
            && job.version == version
        {
            return Ok(Some(Text::Current(job.clone())));
        }
        if let Some(job) = self.texts.find(uid, version) {
            return Ok(Some(Text::Read(job)));
        }
        let key = self.process.keyspace().encode(&Key::JobVersion(uid, version));
        let (kv, _) = self.process.store().get(key.as_bytes()).await?;
        let Some(job) = kv.and_then(|kv| serde_json::from_slice::<Job>(&kv.value).ok()) else {
            return Ok(None);
        };
        let job = Arc::new(job);
        self.texts.keep(uid, version, job.clone());
        Ok(Some(Text::Read(job)))
    }
}
