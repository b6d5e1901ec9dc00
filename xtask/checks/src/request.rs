//! Requests to Valgrind: instructions without effect on a processor, which Valgrind takes as calls.
//!
//! Valgrind's own header has them as macros of C; these are the ones for x86-64 on Linux.

use std::mem::size_of_val;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn request(arguments: [usize; 6]) -> usize {
    let mut answer = 0usize;
    // SAFETY: rdi is rotated by 128 bits in all, so that it stays as it is, and an exchange of rbx with itself does nothing.
    // Valgrind reads the arguments behind rax and writes rdx.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(), inout("rdx") answer, options(nostack),
        );
    }
    answer
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn request(_: [usize; 6]) -> usize {
    0
}

/// Whether this process runs under Valgrind.
pub fn is_there() -> bool {
    request([0x1001, 0, 0, 0, 0, 0]) > 0
}

/// The number of errors reported so far, without those that are suppressed.
pub fn errors() -> usize {
    request([0x1201, 0, 0, 0, 0, 0])
}

/// Requests of memcheck.
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;

/// Marks values as undefined: whatever branches on them or on what is computed from them is reported.
pub fn mark_secret<T: Copy>(values: &[T]) {
    request([MEMCHECK + 1, values.as_ptr() as usize, size_of_val(values), 0, 0, 0]);
}

/// Marks values as defined.
pub fn mark_public<T: Copy>(values: &[T]) {
    request([MEMCHECK + 2, values.as_ptr() as usize, size_of_val(values), 0, 0, 0]);
}
