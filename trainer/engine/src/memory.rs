//! How the process keeps memory that tensors give back. Must not know tensors.
use std::sync::Once;

/// Memory kept at the top of the heap beyond what is asked for, so that it grows in few steps.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TOP_PAD: i32 = 64 << 20;

static ONCE: Once = Once::new();

/// Keeps freed memory in the process: every step asks for the same large blocks again, and glibc by default returns each of
/// them to the system, which zeroes the pages when they come back (measured: four of five page faults of a step, about a
/// tenth of its time with recomputation). One arena, because blocks beyond 64 MiB never come from the others. Does nothing
/// with another C library. Resident memory then stays at the peak of a step, which is what a trainer needs anyway.
pub(crate) fn keep_freed() {
    ONCE.call_once(|| {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        for (option, value) in [
            (libc::M_MMAP_MAX, 0),
            (libc::M_TRIM_THRESHOLD, i32::MAX),
            (libc::M_TOP_PAD, TOP_PAD),
            (libc::M_ARENA_MAX, 1),
        ] {
            if !set(option, value) {
                tracing::debug!(option, value, "the allocator kept its own setting; steps will be a little slower");
            }
        }
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn set(option: i32, value: i32) -> bool {
    // SAFETY: mallopt takes two integers, changes only the allocator's own settings, and does so under the allocator's lock.
    unsafe { libc::mallopt(option, value) == 1 }
}
