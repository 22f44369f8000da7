//! `cargo +nightly fuzz run stat corpus/stat seeds/stat`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = adieu_linux::proc::stat::parse(bytes);
});
