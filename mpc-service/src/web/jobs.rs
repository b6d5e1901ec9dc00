//! The inferences that pages have asked for: those that run, and the answers of those that have ended.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;

use super::problem::Problem;
use crate::at_rest::private_file::random;
use crate::names::hexadecimal;

/// The most inferences that run or whose answers wait.
const MAX_JOBS: usize = 1024;
/// How long an answer waits.
const WAIT: Duration = Duration::from_secs(120);

/// How an inference is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct JobId(pub(crate) [u8; 16]);

hexadecimal!(JobId, "an inference has 32 hexadecimal digits");

/// The state of an inference.
#[derive(Clone)]
pub(crate) enum State {
    Running,
    /// The sealed answer.
    Done(Bytes),
    Failed(Problem),
}

struct Job {
    holder: usize,
    state: State,
    /// When it is forgotten; not while it runs.
    until: Option<Instant>,
    /// Whether its holder has been told how it ended.
    is_told: bool,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<HashMap<JobId, Job>>);

impl Jobs {
    /// A new one of a holder of a token.
    pub(crate) fn begin(&self, holder: usize) -> Result<JobId, Problem> {
        let id = JobId(random().map_err(|_| Problem::Internal)?);
        let now = Instant::now();
        let mut jobs = self.lock();
        jobs.retain(|_, job| job.until.is_none_or(|until| until > now));
        if jobs.len() >= MAX_JOBS {
            return Err(Problem::Busy(format!(
                "{MAX_JOBS} inferences run or wait to be fetched here: try again later"
            )));
        }
        jobs.insert(id, Job { holder, state: State::Running, until: None, is_told: false });
        Ok(id)
    }

    pub(crate) fn end(&self, id: JobId, state: State) {
        if let Some(job) = self.lock().get_mut(&id) {
            (job.state, job.until) = (state, Some(Instant::now() + WAIT));
        }
    }

    /// The state of an inference of that holder. Nobody else is told that it exists.
    pub(crate) fn state(&self, id: JobId, holder: usize) -> Result<State, Problem> {
        let mut jobs = self.lock();
        let job = jobs.get_mut(&id).filter(|job| job.holder == holder).ok_or(Problem::NoInference)?;
        job.is_told |= job.until.is_some();
        Ok(job.state.clone())
    }

    /// Whether one runs.
    pub(crate) fn runs(&self) -> bool {
        self.lock().values().any(|job| job.until.is_none())
    }

    /// Whether one runs, or has ended and its holder has not been told yet.
    pub(crate) fn waits(&self) -> bool {
        self.lock().values().any(|job| !job.is_told)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_holders() {
        let jobs = Jobs::default();
        let id = jobs.begin(1).unwrap();
        assert!(matches!(jobs.state(id, 1), Ok(State::Running)));
        assert!(jobs.runs() && jobs.waits());
        jobs.end(id, State::Done(Bytes::from_static(b"answer")));
        assert!(matches!(jobs.state(id, 0), Err(Problem::NoInference)));
        assert!(!jobs.runs() && jobs.waits());
        assert!(matches!(jobs.state(id, 1), Ok(State::Done(answer)) if &answer[..] == b"answer"));
        assert!(!jobs.waits());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let jobs = Jobs::default();
        for _ in 0..MAX_JOBS {
            jobs.begin(0).unwrap();
        }
        assert!(matches!(jobs.begin(0), Err(Problem::Busy(_))));
    }
}
