//! Work that needs no cargo: as much at a time as there are processors.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// The results of all jobs, in their order. Each job's text is printed when it has ended.
pub(super) fn side_by_side<J: Send, O: Send>(jobs: Vec<J>, run: impl Fn(J) -> (O, String) + Sync) -> Vec<O> {
    let mut outcomes: Vec<Option<O>> = jobs.iter().map(|_| None).collect();
    let waiting = Mutex::new(jobs.into_iter().zip(&mut outcomes));
    let next = || locked(&waiting).next();
    let printing = Mutex::new(());
    let work = || {
        while let Some((job, place)) = next() {
            let (outcome, printed) = run(job);
            *place = Some(outcome);
            let _alone = locked(&printing);
            print!("{printed}");
        }
    };
    thread::scope(|scope| {
        for _ in 0..processors() {
            scope.spawn(work);
        }
    });
    outcomes.into_iter().flatten().collect()
}

/// The number of processors, as far as the system tells.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once_and_results_keep_their_order() {
        let squares = side_by_side((0..100).collect(), |x: u32| (x * x, String::new()));
        assert_eq!(squares, (0..100).map(|x| x * x).collect::<Vec<_>>());
    }
}
