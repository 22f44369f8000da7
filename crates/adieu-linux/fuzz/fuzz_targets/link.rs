//! `cargo +nightly fuzz run link corpus/link seeds/link`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::fds::parse_link(std::os::unix::ffi::OsStrExt::from_bytes(bytes));
});
