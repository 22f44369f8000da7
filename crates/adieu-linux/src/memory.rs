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

/// Lets go the pages of this program's own code and constants that are in memory for it, but those from the first to the last
/// of the functions `keep`: what is needed again comes back from the page cache, page by page. After a start, most of them
/// were needed for the start only (`madvise(2)`, MADV_DONTNEED).
pub fn release_code(keep: &[*const ()]) {
    unsafe extern "C" {
        /// From the linker: where the first segment begins, and where code ends (`end(3)`).
        static __executable_start: u8;
        static etext: u8;
    }
    let (start, end) = (&raw const __executable_start as usize, &raw const etext as usize);
    let kept = keep.iter().map(|function| function.addr()).filter(|address| (start..end).contains(address));
    let (first, last) = (kept.clone().min().unwrap_or(end), kept.max().unwrap_or(end));
    for (from, to) in [(start, first), (last, end)] {
        let (from, to) = (from.next_multiple_of(PAGE), to - to % PAGE);
        if from < to {
            // SAFETY: between the linker's two marks a program has only read-only mappings of its own file: dropping their
            // pages changes no byte of them. Holes between them are ENOMEM, after the rest was done.
            unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
        }
    }
}

/// At least the size of a page.
const PAGE: usize = 4096;
