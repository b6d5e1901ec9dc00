//! Memory of secrets: zeroised after use, and used again instead of being given back to the system, whose fresh pages
//! cost more than most of what is computed in them.

use alloc::vec;
use alloc::vec::Vec;
use mpc_ring::kernels::prefer_large_pages;
use zeroize::{DefaultIsZeroes, Zeroize};

/// A buffer of so many bytes has several of the system's large pages (2 MiB on x86-64) in it.
const LARGE_BYTES: usize = 1 << 23;

/// `len` zeros, in a buffer that was retired if there is one.
pub(crate) fn take<E: DefaultIsZeroes + 'static>(len: usize) -> Vec<E> {
    #[cfg(feature = "std")]
    if let Some(buffer) = kept::take(len) {
        return buffer;
    }
    let mut buffer = vec![E::default(); len];
    if size_of_val(&*buffer) >= LARGE_BYTES {
        prefer_large_pages(&mut buffer);
    }
    buffer
}

/// Zeroises a buffer, and keeps it for [`take`] if it is large.
pub(crate) fn retire<E: DefaultIsZeroes + 'static>(mut buffer: Vec<E>) {
    buffer.as_mut_slice().zeroize();
    #[cfg(feature = "std")]
    kept::keep(buffer);
}

#[cfg(feature = "std")]
mod kept {
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::any::{Any, TypeId};
    use core::cell::RefCell;
    use std::collections::{HashMap, VecDeque};

    use zeroize::DefaultIsZeroes;

    /// Smaller buffers are left to the allocator, which is quick with them.
    const SMALLEST_BYTES: usize = 1 << 14;
    /// The most bytes that a thread keeps, of each type of element.
    const KEPT_BYTES: usize = 64 << 20;
    /// The search for a buffer passes by all that are kept.
    const KEPT_BUFFERS: usize = 256;

    std::thread_local! {
        static SHELVES: RefCell<HashMap<TypeId, Box<dyn Any>>> = RefCell::default();
    }

    /// Zeroised buffers of one type, the one kept last in front.
    struct Shelf<E> {
        buffers: VecDeque<Vec<E>>,
        bytes: usize,
    }

    /// The result of `action` on this thread's shelf. It is absent while the thread ends.
    fn on_shelf<E: 'static, T>(action: impl FnOnce(&mut Shelf<E>) -> Option<T>) -> Option<T> {
        let run = |shelves: &RefCell<HashMap<TypeId, Box<dyn Any>>>| {
            let mut shelves = shelves.try_borrow_mut().ok()?;
            let empty = || Box::new(Shelf::<E> { buffers: VecDeque::new(), bytes: 0 }) as Box<dyn Any>;
            action(shelves.entry(TypeId::of::<E>()).or_insert_with(empty).downcast_mut()?)
        };
        SHELVES.try_with(run).ok().flatten()
    }

    pub(super) fn take<E: DefaultIsZeroes + 'static>(len: usize) -> Option<Vec<E>> {
        if len.checked_mul(size_of::<E>())? < SMALLEST_BYTES {
            return None;
        }
        on_shelf(|shelf: &mut Shelf<E>| {
            // The smallest that is large enough, unless it would leave most of itself empty.
            let fitting = |&(_, capacity): &(usize, usize)| (len..=len.saturating_mul(2)).contains(&capacity);
            let capacities = shelf.buffers.iter().map(Vec::capacity).enumerate();
            let (index, capacity) = capacities.filter(fitting).min_by_key(|&(_, capacity)| capacity)?;
            let mut buffer = shelf.buffers.remove(index)?;
            shelf.bytes -= capacity * size_of::<E>();
            // A buffer is as long as its capacity or zeros follow: only what is beyond its length is written.
            buffer.resize(len, E::default());
            Some(buffer)
        })
    }

    /// Keeps a zeroised buffer; the ones kept longest make room.
    pub(super) fn keep<E: DefaultIsZeroes + 'static>(buffer: Vec<E>) {
        let bytes = buffer.capacity() * size_of::<E>();
        if !(SMALLEST_BYTES..=KEPT_BYTES).contains(&bytes) {
            return;
        }
        on_shelf(|shelf: &mut Shelf<E>| {
            shelf.bytes += bytes;
            shelf.buffers.push_front(buffer);
            while shelf.bytes > KEPT_BYTES || shelf.buffers.len() > KEPT_BUFFERS {
                shelf.bytes -= shelf.buffers.pop_back()?.capacity() * size_of::<E>();
            }
            Some(())
        });
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const LEN: usize = SMALLEST_BYTES;

        #[test]
        fn a_retired_buffer_comes_back_with_zeros() {
            let mut buffer = crate::SecretVec::<u64>::zeros(LEN);
            buffer.fill(7);
            let place = buffer.as_ptr();
            drop(buffer);
            let again = crate::SecretVec::<u64>::zeros(LEN - 5);
            assert_eq!(again.as_ptr(), place);
            assert!(again.len() == LEN - 5 && again.iter().all(|&word| word == 0));
            // Of another type, another size, or in use: another buffer.
            assert_ne!(crate::SecretVec::<u32>::zeros(LEN).as_ptr().cast(), place);
            assert_ne!(crate::SecretVec::<u64>::zeros(LEN).as_ptr(), place);
            drop(again);
            assert_ne!(crate::SecretVec::<u64>::zeros(LEN / 4).as_ptr(), place);
        }

        #[test]
        fn elements_may_take_no_bytes() {
            #[derive(Clone, Copy, Default)]
            struct Empty;
            impl DefaultIsZeroes for Empty {}
            assert_eq!(crate::SecretVec::<Empty>::zeros(LEN).len(), LEN);
        }

        #[test]
        fn what_is_kept_is_bounded() {
            let large = KEPT_BYTES / size_of::<u128>() / 2;
            for _ in 0..2 {
                let buffers = [large, large, large, 2 * large + 1].map(Vec::<u128>::with_capacity);
                buffers.into_iter().for_each(keep);
            }
            (0..2 * KEPT_BUFFERS).for_each(|_| keep(Vec::<u128>::with_capacity(LEN)));
            on_shelf(|shelf: &mut Shelf<u128>| {
                assert_eq!(shelf.buffers.len(), KEPT_BUFFERS);
                assert_eq!(shelf.bytes, shelf.buffers.iter().map(|b| b.capacity() * 16).sum::<usize>());
                assert!(shelf.bytes <= KEPT_BYTES);
                Some(())
            });
        }
    }
}
