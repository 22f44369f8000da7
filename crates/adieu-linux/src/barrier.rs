//! Memory barriers on every thread of this process, at the cost of the one that asks (`membarrier(2)`).

use std::io;

use crate::cvt_long;

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED` (`include/uapi/linux/membarrier.h`).
const PRIVATE_EXPEDITED: i32 = 1 << 3;
/// `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`.
const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;

/// To be called once before [`everywhere`]. A process with one thread returns at once; with more it takes some ms.
///
/// # Errors
/// ENOSYS or EINVAL before Linux 4.14; EPERM under a seccomp filter that forbids it.
pub fn register() -> io::Result<()> {
    membarrier(REGISTER_PRIVATE_EXPEDITED)
}

/// When this returns, every thread of this process has passed a full memory barrier since it was called. Some µs.
///
/// # Errors
/// EPERM without [`register`].
pub fn everywhere() -> io::Result<()> {
    membarrier(PRIVATE_EXPEDITED)
}

fn membarrier(command: i32) -> io::Result<()> {
    // SAFETY: takes integers only.
    cvt_long(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_process_has_its_barriers() {
        register().expect("Linux 4.14 or later");
        everywhere().expect("registered");
    }
}
