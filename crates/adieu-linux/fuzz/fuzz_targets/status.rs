//! `cargo +nightly fuzz run status corpus/status seeds/status`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::status::parse(bytes);
});
