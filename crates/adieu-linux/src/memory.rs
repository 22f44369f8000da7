//! Reading another process's memory through `/proc/PID/mem` (proc(5)).
//!
//! `process_vm_readv(2)` is refused in a default container; this file is readable there for a dumpable process of the
//! same user.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Reads `length` bytes at `address` of the thread or process `pid`.
///
/// # Errors
/// EACCES for an undumpable process without CAP_SYS_PTRACE; EIO for an unmapped address; ENOENT when it has ended.
pub fn read(pid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let file = File::open(format!("/proc/{pid}/mem"))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, address)?;
    Ok(bytes)
}
