//! Writes: decide on a fresh World, commit one unit, and decide anew if somebody was faster.

use encamp_model::{EvalId, Unit};
use encamp_runtime::CommitError;
use encamp_world::World;

use crate::{call::Api, error::Error};

/// Decisions before a write gives up against others.
const ATTEMPTS: u32 = 8;

/// What a write comes to.
pub(crate) enum Decision<T> {
    /// These writes, which create this evaluation.
    Write(Unit, EvalId, T),
    /// Nothing is to be done.
    Nothing(T),
}

/// What was decided, and the revision it was written under; `None` if nothing was.
pub(crate) struct Written<T> {
    pub(crate) outcome: T,
    pub(crate) revision: Option<i64>,
}

impl Api {
    /// Runs `decide` on a fresh World and commits what it says. It runs again if what it rests on changed meanwhile;
    /// an error of its own (a user's check-index that does not match) ends the matter.
    pub(crate) async fn commit<T>(
        &self,
        what: &str,
        decide: impl Fn(&World) -> Result<Decision<T>, Error>,
    ) -> Result<Written<T>, Error> {
        for _ in 0..ATTEMPTS {
            if let Some(why) = self.process.health().foreign {
                return Err(Error::Unavailable(why));
            }
            let world = self.process.fresh().await?;
            let (unit, eval, outcome) = match decide(&world)? {
                Decision::Nothing(outcome) => return Ok(Written { outcome, revision: None }),
                Decision::Write(unit, eval, outcome) => (unit, eval, outcome),
            };
            match self.process.commit(&unit, eval).await {
                Ok(revision) => return Ok(Written { outcome, revision: Some(revision) }),
                Err(CommitError::Conflict) => tracing::debug!(what, "lost a race; deciding anew"),
                Err(CommitError::NoSpace(error)) => return Err(Error::NoSpace(error.to_string())),
                Err(CommitError::TooLarge(error)) => return Err(Error::TooLarge(error.to_string())),
                Err(CommitError::Unavailable(error)) => return Err(Error::Unavailable(error.to_string())),
            }
        }
        Err(Error::Contended { what: what.to_owned(), attempts: ATTEMPTS })
    }
}
