//! `cargo +nightly fuzz run fdinfo corpus/fdinfo seeds/fdinfo`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::fds::parse_info(bytes);
});
