//! The threads that this process computes on: one, unless the feature `threads` is there and more are asked for.
//!
//! Results do not depend on their number.

use core::sync::atomic::{AtomicUsize, Ordering};

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
        #[error("the number of threads is set already: set it once, before anything is computed")]
        AlreadySet,
        /// The system refuses them.
        #[error("the system does not start {count} threads: ask for fewer")]
        Refused {
            /// How many were asked for.
            count: usize,
        },
    }

    /// Lets this process compute on `count` threads, the caller's included.
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

    /// How many threads compute.
    #[must_use]
    pub fn count() -> usize {
        POOL.get().map_or(1, |pool| pool.current_num_threads() + 1)
    }

    /// Does `work` for all items, the last of them on this thread, and returns when all are done.
    pub fn for_each<T: Send>(items: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
        let Some(pool) = POOL.get() else { return items.for_each(work) };
        let mut items = items.peekable();
        let Some(first) = items.next() else { return };
        if items.peek().is_none() {
            return work(first);
        }
        pool.in_place_scope(|scope| {
            let mut item = first;
            for next in items {
                let (given, work) = (core::mem::replace(&mut item, next), &work);
                scope.spawn(move |_| work(given));
            }
            work(item);
        });
    }
}

#[cfg(feature = "threads")]
pub use pool::{ThreadsError, count, for_each, set};

/// How many threads compute.
#[cfg(not(feature = "threads"))]
#[must_use]
pub const fn count() -> usize {
    1
}

/// Does `work` for all items, the last of them on this thread, and returns when all are done.
#[cfg(not(feature = "threads"))]
pub fn for_each<T: Send>(items: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
    items.for_each(work);
}

/// Fewer values than this take less time than to wake a thread for them, which is 100 µs on an idle virtual machine.
static LEAST: AtomicUsize = AtomicUsize::new(1 << 16);

/// Cuts shorter parts, for tests that shall not take long.
#[doc(hidden)]
pub fn cut_from(least: usize) {
    LEAST.store(least.max(1), Ordering::Relaxed);
}

/// The values of each part when `len` of them are cut for the threads: a multiple of `unit`, and no part but the last is shorter.
///
/// ```
/// use mpc_ring::threads::{count, part_len};
/// let part = part_len(1_000_000, 64);
/// assert!(part.is_multiple_of(64) && 1_000_000_usize.div_ceil(part) <= count());
/// ```
#[must_use]
pub fn part_len(len: usize, unit: usize) -> usize {
    let parts = (len / LEAST.load(Ordering::Relaxed)).clamp(1, count());
    len.div_ceil(parts).next_multiple_of(unit).max(unit)
}

/// Does `work` for every block of `values`, with the position of its first value, and with `scratch` for blocks of at most so many
/// values, which those of one thread share.
///
/// ```
/// let mut values = [0; 10];
/// mpc_ring::threads::for_each_block(&mut values, 4, |_| (), |from, block, ()| {
///     block.iter_mut().enumerate().for_each(|(place, value)| *value = from + place);
/// });
/// assert_eq!(values, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
/// ```
pub fn for_each_block<T: Send, S>(
    values: &mut [T],
    block: usize,
    scratch: impl Fn(usize) -> S + Sync,
    work: impl Fn(usize, &mut [T], &mut S) + Sync,
) {
    let part = part_len(values.len(), block);
    for_each(values.chunks_mut(part).enumerate(), |(index, values)| {
        let mut scratch = scratch(block.min(values.len()));
        for (place, values) in values.chunks_mut(block).enumerate() {
            work(index * part + place * block, values, &mut scratch);
        }
    });
}
