//! Reading another process's memory through `/proc/PID/mem` (proc(5)).
//!
//! `process_vm_readv(2)` is refused in a default container; this file is readable there for a dumpable process of the
//! same user.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Reads `length` bytes at `address` of the thread `tid`, which may be a process's main thread.
///
/// # Errors
/// EACCES for an undumpable process without CAP_SYS_PTRACE; EIO for an unmapped address; ENOENT when it has ended.
pub fn read(tid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let file = File::open(format!("/proc/{tid}/mem"))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, address)?;
    Ok(bytes)
}

/// Lets go the pages of this program's own code and constants that are in memory for it: what is needed again comes back from
/// the page cache, some pages at a time. After a start, most of them were needed for the start only (`madvise(2)`,
/// MADV_DONTNEED). What surrounds the functions in `soon` is brought back at once, and no more: each page that is there makes
/// the end of the process longer.
pub fn release_code(soon: &[*const ()]) {
    unsafe extern "C" {
        /// From the linker: where the first segment begins, and where code ends (`end(3)`).
        static __executable_start: u8;
        static etext: u8;
    }
    /// The smallest page; where pages are larger and the end is not on the border of one, nothing is let go.
    const PAGE: usize = 4096;
    let (start, end) = (&raw const __executable_start as usize, &raw const etext as usize);
    let (from, to) = (start.next_multiple_of(PAGE), end - end % PAGE);
    if from < to {
        // SAFETY: between the linker's two marks a program has only read-only mappings of its own file: dropping their
        // pages changes no byte of them. A hole between them is ENOMEM, after the rest was done.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
    }
    // The one function of libc's that only an end needs.
    let kill = libc::kill as *const ();
    for address in soon.iter().chain([&kill]).map(|function| function.addr()).filter(|at| (from..to).contains(at)) {
        // SAFETY: within the same mappings, and readable code.
        unsafe { std::ptr::with_exposed_provenance::<u8>(address).read_volatile() };
    }
}
