//! Large pages for large buffers.

/// The bytes of a large page of x86-64, and where it begins.
pub const LARGE_PAGE: usize = 1 << 21;

/// Asks the system for large pages under `memory`, before it is written. Reads at random places of several MiB wait for the addresses
/// of small pages, of which a processor keeps too few; and the system takes longer to give and take back many small ones.
///
/// The contents stay as they are. Where the system has no such pages, or was told to give none, nothing changes.
///
/// ```
/// let mut table = vec![0u128; 1 << 18];
/// mpc_ring::kernels::prefer_large_pages(&mut table);
/// assert!(table.iter().all(|&place| place == 0));
/// ```
pub fn prefer_large_pages<E>(memory: &mut [E]) {
    /// The smallest pages, at whose borders the system takes an advice.
    const PAGE: usize = 4096;
    let range = memory.as_mut_ptr_range();
    let (start, end) = (range.start.addr().next_multiple_of(PAGE), range.end.addr() / PAGE * PAGE);
    if start < end {
        advise(start, end - start);
    }
}

/// `madvise(start, bytes, MADV_HUGEPAGE)`: an advice that is not taken is no error.
#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
fn advise(start: usize, bytes: usize) {
    const MADVISE: isize = 28;
    const HUGE_PAGES: usize = 14;
    // SAFETY: the call changes how large the system's pages are, and nothing of what lies in them.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") MADVISE => _,
            in("rdi") start,
            in("rsi") bytes,
            in("rdx") HUGE_PAGES,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", not(miri))))]
fn advise(_: usize, _: usize) {}
