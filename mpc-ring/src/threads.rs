//! The threads that convolutions of this process use: one, unless the feature `threads` is there and more are asked for.
//!
//! Results do not depend on their number.

#[cfg(feature = "threads")]
mod pool {
    use core::num::NonZeroUsize;
    use std::sync::OnceLock;

    use rayon_core::{ThreadPool, ThreadPoolBuilder};

    static POOL: OnceLock<ThreadPool> = OnceLock::new();

    /// Threads that could not be had.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[non_exhaustive]
    pub enum ThreadsError {
        /// Their number is asked for more than once in a process, or after kernels ran.
        #[error("the number of threads is set already: set it once, before the first convolution")]
        AlreadySet,
        /// The system refuses them.
        #[error("the system does not start {count} threads: ask for fewer")]
        Refused {
            /// How many were asked for.
            count: usize,
        },
    }

    /// Lets the convolutions of this process use `count` threads, the caller's included.
    ///
    /// To be called before buffers are made: the length of scratch depends on it.
    ///
    /// # Errors
    /// [`ThreadsError`]
    pub fn set(count: NonZeroUsize) -> Result<(), ThreadsError> {
        // The caller works too.
        let others = count.get() - 1;
        if others == 0 {
            return if POOL.get().is_none() { Ok(()) } else { Err(ThreadsError::AlreadySet) };
        }
        let pool = ThreadPoolBuilder::new().num_threads(others).build();
        POOL.set(pool.map_err(|_| ThreadsError::Refused { count: count.get() })?).map_err(|_| ThreadsError::AlreadySet)
    }

    /// How many threads convolutions use.
    #[must_use]
    pub fn count() -> usize {
        POOL.get().map_or(1, |pool| pool.current_num_threads() + 1)
    }

    /// Does `work` for all items, the last of them on this thread, and returns when all are done.
    pub(crate) fn for_each<T: Send>(items: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
        let Some(pool) = POOL.get() else { return items.for_each(work) };
        pool.in_place_scope(|scope| {
            let mut items = items.peekable();
            while let Some(item) = items.next() {
                if items.peek().is_none() {
                    work(item);
                } else {
                    let work = &work;
                    scope.spawn(move |_| work(item));
                }
            }
        });
    }
}

#[cfg(feature = "threads")]
pub(crate) use pool::for_each;
#[cfg(feature = "threads")]
pub use pool::{ThreadsError, count, set};

/// How many threads convolutions use.
#[cfg(not(feature = "threads"))]
#[must_use]
pub const fn count() -> usize {
    1
}

#[cfg(not(feature = "threads"))]
pub(crate) fn for_each<T>(items: impl Iterator<Item = T>, work: impl Fn(T)) {
    items.for_each(work);
}
