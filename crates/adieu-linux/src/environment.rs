//! This process's environment as it is, without a copy (`environ(7)`).

use std::ffi::{CStr, c_char};

/// The entries as this process got them, mostly `KEY=VALUE`, in their order.
///
/// They live as long as the process: safe Rust cannot change an environment (`std::env::set_var` is unsafe), and adieu does not.
#[must_use]
pub fn entries() -> Vec<&'static CStr> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut entries = Vec::with_capacity(64);
    // SAFETY: null, or a NULL-terminated array of NUL-terminated strings that nobody changes.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            entries.push(CStr::from_ptr(*next));
            next = next.add(1);
        }
    }
    entries
}
